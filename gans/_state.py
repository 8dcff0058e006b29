"""What a GAN's training is made of: networks, their average, optimizers, steps done."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from gans._config import TrainingConfig
from gans._labels import shares_of
from imagesets import ImageSet
from lab.training.draws import seed_torch
from lab.training.state import TrainingState
from lab.training.tensors import parameters_of


class GanState(TrainingState):
    """The generator, its average over training (EMA), the discriminator, and their optimizers, on one device.

    A GAN may have no discriminator: then there is neither the network nor its optimizer, and the objective may be in
    the features of a guide, a network that is not trained.
    """

    def __init__(
        self, gan: ModuleType, run: TrainingConfig, accelerator: Accelerator, guide: nn.Module | None = None
    ) -> None:
        config, spec = run.settings, run.spec_of_images
        makers = {"generator": gan.Generator, "discriminator": gan.Discriminator}
        seed_torch(run.seed, "weights")
        made = {name: make(config, spec) for name, make in makers.items() if make is not None}
        made = {name: network.to(memory_format=torch.channels_last) for name, network in made.items()}
        if run.sync_batchnorm:
            made = {name: nn.SyncBatchNorm.convert_sync_batchnorm(network) for name, network in made.items()}
        self.guide = None if guide is None else guide.to(accelerator.device).requires_grad_(False)
        self.ema = average_of(made["generator"]).to(accelerator.device)
        betas = (config.beta1, config.beta2)
        self.wrapped: dict[str, nn.Module] = {name: accelerator.prepare(network) for name, network in made.items()}
        """The networks that are trained, with what averages their gradients over processes."""
        self.bare = {name: accelerator.unwrap_model(network) for name, network in self.wrapped.items()}
        """The same without it."""
        # Accelerate's own would look in each step, on the disk, whether a certain library is installed.
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(network.parameters(), config.learning_rate, betas, fused=True)
            for name, network in self.bare.items()
        }
        for name, network in self.bare.items():
            if run.compile and not (name == "discriminator" and config.DIFFERENTIATES_TWICE):
                network.compile()

    def tell_shares(self, images: ImageSet) -> None:
        """Let a conditional generator and its average know the classes' shares of the training images."""
        assert images.labels is not None, "the settings were checked against the images"
        for network in (self.bare["generator"], self.ema):
            shares = shares_of(network)
            if shares is not None:
                counts = torch.bincount(images.labels, minlength=len(shares))
                shares.copy_(counts / len(images))

    @contextmanager
    def frozen_discriminator(self) -> Iterator[nn.Module | None]:
        """The discriminator for a step of the generator: no gradient of its own is computed or averaged over
        processes; where there is none, the guide."""
        discriminator = self.bare.get("discriminator")
        if discriminator is None:
            yield self.guide
            return
        discriminator.requires_grad_(False)
        yield discriminator
        discriminator.requires_grad_(True)

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the average's weights towards the generator's by 1 - decay; its BatchNorm statistics are copied."""
        generator = self.bare["generator"]
        torch._foreach_lerp_(list(self.ema.parameters()), list(generator.parameters()), 1 - decay)
        for kept, new in zip(self.ema.buffers(), generator.buffers(), strict=True):
            kept.copy_(new)

    def networks(self) -> dict[str, nn.Module]:
        """The networks that are trained, and the average."""
        return {**self.bare, "ema": self.ema}

    def rest(self) -> dict[str, Any]:
        """Their optimizers."""
        return self.optimizers

    def parameters(self) -> dict[str, int]:
        """How many parameters each network has."""
        return {name: parameters_of(network) for name, network in self.bare.items()}


def average_of(generator: nn.Module) -> nn.Module:
    """A copy of the generator to hold its average, in evaluation mode and without gradients."""
    return copy.deepcopy(generator).eval().requires_grad_(False)
