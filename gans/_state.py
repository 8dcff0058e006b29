"""What a GAN's training is made of and what resuming it needs: networks, their average, optimizers, steps done."""

import copy
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gans._config import GanConfig
from lab.draws import derive_seed
from lab.files import write_json
from lab.imageset import Spec

LATEST = "LATEST"


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

    def save(self, folder: Path) -> None:
        """Write a checkpoint below `folder`, aside at first, and point `LATEST` at it; older ones are removed."""
        name = f"step-{self.step:08d}"
        aside = folder / f".{name}.{os.getpid()}"
        aside.mkdir(parents=True)
        for file, network in self._networks().items():
            save_file(contiguous(network.state_dict()), aside / file)
        torch.save(self._optimizer_states(), aside / "optimizers.pt")
        write_json(aside / "state.json", {"step": self.step})
        shutil.rmtree(folder / name, ignore_errors=True)
        aside.rename(folder / name)
        write_json(folder / LATEST, name)
        for old in folder.glob("step-*"):
            if old.name != name:
                shutil.rmtree(old)

    def restore(self, folder: Path) -> bool:
        """Go on from the checkpoint that `LATEST` points at; False where there is none."""
        if not (folder / LATEST).exists():
            return False
        checkpoint = folder / json.loads((folder / LATEST).read_text(encoding="utf-8"))
        for file, network in self._networks().items():
            network.load_state_dict(load_file(checkpoint / file))
        states = torch.load(checkpoint / "optimizers.pt", weights_only=True)
        self.generator_optimizer.load_state_dict(states["generator"])
        self.discriminator_optimizer.load_state_dict(states["discriminator"])
        self.step = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))["step"]
        return True

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


def contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict as safetensors takes it: every tensor in plain memory order."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def _count(parameters: Iterable[Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)
