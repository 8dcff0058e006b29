"""What a GAN's training is made of and what resuming it needs: networks, their average, optimizers, steps done."""

import copy
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import load, save
from torch import Tensor, nn

from gans._config import GanConfig
from lab.checkpoint import Checkpoint
from lab.draws import derive_seed
from lab.imageset import Spec
from lab.tensors import contiguous, packed, unpacked

OPTIMIZERS = "optimizers.pt"


class TrainingState:
    """The generator, its average over training (EMA), the discriminator, and their optimizers, on one device."""

    def __init__(
        self,
        gan: ModuleType,
        config: GanConfig,
        spec: Spec,
        seed: int,
        accelerator: Accelerator,
        *,
        sync_batchnorm: bool = False,
        compiled: bool = False,
    ) -> None:
        torch.manual_seed(derive_seed(seed, "weights"))
        generator = gan.Generator(config, spec).to(memory_format=torch.channels_last)
        discriminator = gan.Discriminator(config, spec).to(memory_format=torch.channels_last)
        if sync_batchnorm:
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
        if compiled:
            self._bare[0].compile()
            if not getattr(gan, "DIFFERENTIATES_TWICE", False):
                self._bare[1].compile()
        self.step = 0

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

    def files(self) -> dict[str, bytes]:
        """All that the state is, as the files of a checkpoint."""
        networks = {file: save(contiguous(network.state_dict())) for file, network in self._networks().items()}
        return {**networks, OPTIMIZERS: packed(self._optimizer_states())}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Become what `files` gave when the checkpoint was saved."""
        networks = {file: load(checkpoint.files[file]) for file in self._networks()}
        optimizers = unpacked(checkpoint.files[OPTIMIZERS])
        for file, network in self._networks().items():
            network.load_state_dict(networks[file])
        self.generator_optimizer.load_state_dict(optimizers["generator"])
        self.discriminator_optimizer.load_state_dict(optimizers["discriminator"])
        self.step = checkpoint.step

    def parameters(self) -> dict[str, int]:
        """How many parameters each network has."""
        return {
            "generator": _count(self._bare[0].parameters()),
            "discriminator": _count(self._bare[1].parameters()),
        }

    def _networks(self) -> dict[str, nn.Module]:
        files = ("generator.safetensors", "discriminator.safetensors", "ema.safetensors")
        return dict(zip(files, (*self._bare, self.ema), strict=True))

    def _optimizer_states(self) -> dict[str, Any]:
        return {
            "generator": self.generator_optimizer.state_dict(),
            "discriminator": self.discriminator_optimizer.state_dict(),
        }


def average_of(generator: nn.Module) -> nn.Module:
    """A copy of the generator to hold its average, in evaluation mode and without gradients."""
    return copy.deepcopy(generator).eval().requires_grad_(False)


def _count(parameters: Iterable[Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)
