"""What a GAN's training is made of: networks, their average, optimizers, steps done."""

import copy
from types import ModuleType
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from gans._config import TrainingConfig
from lab.training.draws import derive_seed
from lab.training.state import TrainingState
from lab.training.tensors import parameters_of


class GanState(TrainingState):
    """The generator, its average over training (EMA), the discriminator, and their optimizers, on one device."""

    def __init__(self, gan: ModuleType, run: TrainingConfig, accelerator: Accelerator) -> None:
        config, spec = run.settings, run.spec_of_images
        torch.manual_seed(derive_seed(run.seed, "weights"))
        generator = gan.Generator(config, spec).to(memory_format=torch.channels_last)
        discriminator = gan.Discriminator(config, spec).to(memory_format=torch.channels_last)
        if run.sync_batchnorm:
            generator, discriminator = map(nn.SyncBatchNorm.convert_sync_batchnorm, (generator, discriminator))
        self.ema = average_of(generator).to(accelerator.device)
        betas = (config.beta1, config.beta2)
        optimizers = (
            torch.optim.Adam(network.parameters(), config.learning_rate, betas, fused=True)
            for network in (generator, discriminator)
        )
        prepared = accelerator.prepare(generator, discriminator, *optimizers)
        self.generator, self.discriminator, self.generator_optimizer, self.discriminator_optimizer = prepared
        self._bare = [accelerator.unwrap_model(network) for network in (self.generator, self.discriminator)]
        if run.compile:
            self._bare[0].compile()
            if not config.DIFFERENTIATES_TWICE:
                self._bare[1].compile()

    @property
    def bare_discriminator(self) -> nn.Module:
        """The discriminator without what averages its gradients over processes."""
        return self._bare[1]

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the average's weights towards the generator's by 1 - decay; its BatchNorm statistics are copied."""
        generator = self._bare[0]
        torch._foreach_lerp_(list(self.ema.parameters()), list(generator.parameters()), 1 - decay)
        for kept, new in zip(self.ema.buffers(), generator.buffers(), strict=True):
            kept.copy_(new)

    def networks(self) -> dict[str, nn.Module]:
        """Both networks, and the average."""
        return {"generator": self._bare[0], "discriminator": self._bare[1], "ema": self.ema}

    def rest(self) -> dict[str, Any]:
        """Both optimizers."""
        return {"generator": self.generator_optimizer, "discriminator": self.discriminator_optimizer}

    def parameters(self) -> dict[str, int]:
        """How many parameters each network has."""
        return {"generator": parameters_of(self._bare[0]), "discriminator": parameters_of(self._bare[1])}


def average_of(generator: nn.Module) -> nn.Module:
    """A copy of the generator to hold its average, in evaluation mode and without gradients."""
    return copy.deepcopy(generator).eval().requires_grad_(False)
