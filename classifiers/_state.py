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


class TrainingState:
    """A network, what it minimises, and the optimizer of both, on one device."""

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
        # Every process has the gradients of learned temperatures whole: only the network's are to be averaged.
        optimizer = make_optimizer(network, objective, settings)
        self.network, self.optimizer = accelerator.prepare(network, optimizer)
        self.bare: nn.Module = accelerator.unwrap_model(self.network)
        if compiled:
            self.bare.compile()
        self.step = 0

    def files(self) -> dict[str, bytes]:
        """All that the state is, as the files of a checkpoint."""
        rest = {"optimizer": self.optimizer.state_dict(), "objective": self.objective.state_dict()}
        return {NETWORK: save(contiguous(self.bare.state_dict())), REST: packed(rest)}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Become what `files` gave when the checkpoint was saved."""
        self.bare.load_state_dict(load(checkpoint.files[NETWORK]))
        rest = unpacked(checkpoint.files[REST])
        self.optimizer.load_state_dict(rest["optimizer"])
        self.objective.load_state_dict(rest["objective"])
        self.step = checkpoint.step

    @property
    def parameters(self) -> int:
        """How many parameters the network has."""
        return sum(parameter.numel() for parameter in self.bare.parameters())


def make_optimizer(network: nn.Module, objective: Objective, settings: ClassifierConfig) -> torch.optim.Optimizer:
    """The optimizer that the settings name; learned temperatures do not decay."""
    groups: list[dict[str, Any]] = [
        {"params": list(network.parameters()), "weight_decay": settings.weight_decay},
        {"params": list(objective.parameters()), "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, settings.learning_rate, settings.momentum, fused=True)
    return torch.optim.Adam(groups, settings.learning_rate, fused=True)
