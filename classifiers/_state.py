"""What a classifier's training is made of and what resuming it needs: network, objective, optimizer, steps done."""

from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import load, save
from torch import nn

from classifiers._config import ClassifierConfig
from classifiers._objective import Objective
from lab.checkpoint import Checkpoint
from lab.tensors import contiguous, packed, unpacked

NETWORK, REST = "network.safetensors", "training.pt"
TEMPERATURE_STEP = 0.3
"""Adam's step size for log(1 / T): slower, and the network outruns a learned temperature by growing its features."""


class TrainingState:
    """A network, what it minimises, and their optimizers, on one device."""

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        settings: ClassifierConfig,
        accelerator: Accelerator,
        *,
        sync_batchnorm: bool = False,
        compiled: bool = False,
    ) -> None:
        network = network.to(memory_format=torch.channels_last)
        if sync_batchnorm:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        self.objective = objective.to(accelerator.device)
        self.network, self.optimizer = accelerator.prepare(network, make_optimizer(network, settings))
        # Each process has the gradients of learned temperatures whole: they are not to be averaged.
        learned = list(self.objective.parameters())
        self.temperatures = torch.optim.Adam(learned, TEMPERATURE_STEP) if learned else None
        self.bare: nn.Module = accelerator.unwrap_model(self.network)
        if compiled:
            self.bare.compile()
        self.step = 0

    def files(self) -> dict[str, bytes]:
        """All that the state is, as the files of a checkpoint."""
        rest = {name: part.state_dict() for name, part in self._rest().items()}
        return {NETWORK: save(contiguous(self.bare.state_dict())), REST: packed(rest)}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Become what `files` gave when the checkpoint was saved."""
        self.bare.load_state_dict(load(checkpoint.files[NETWORK]))
        rest = unpacked(checkpoint.files[REST])
        for name, part in self._rest().items():
            part.load_state_dict(rest[name])
        self.step = checkpoint.step

    def take_step(self, learning_rate: float) -> None:
        """Move all parameters by their gradients, and forget those."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        for optimizer in filter(None, (self.optimizer, self.temperatures)):
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1

    @property
    def parameters(self) -> int:
        """How many parameters the network has."""
        return sum(parameter.numel() for parameter in self.bare.parameters())

    def _rest(self) -> dict[str, Any]:
        parts = {"optimizer": self.optimizer, "objective": self.objective, "temperatures": self.temperatures}
        return {name: part for name, part in parts.items() if part is not None}


def make_optimizer(network: nn.Module, settings: ClassifierConfig) -> torch.optim.Optimizer:
    """The optimizer that the settings name, of all the network's parameters."""
    weights, rate, decay = network.parameters(), settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return torch.optim.SGD(weights, rate, settings.momentum, weight_decay=decay, fused=True)
    return torch.optim.Adam(weights, rate, weight_decay=decay, fused=True)
