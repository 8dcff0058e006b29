"""What a classifier's training is made of: network, objective, optimizers, steps done."""

from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from classifiers._config import ClassifierConfig, TrainingConfig
from classifiers._objective import Objective
from lab.training.state import TrainingState
from lab.training.tensors import parameters_of

TEMPERATURE_STEP = 0.3
"""Adam's step size for log(1 / T): slower, and the network outruns a learned temperature by growing its features."""


class ClassifierState(TrainingState):
    """A network, what it minimises, and their optimizers, on one device."""

    def __init__(self, network: nn.Module, objective: Objective, run: TrainingConfig, accelerator: Accelerator) -> None:
        network = network.to(memory_format=torch.channels_last)
        if run.sync_batchnorm:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        self.objective = objective.to(accelerator.device)
        self.network = accelerator.prepare(network)
        # Each process has the gradients of learned temperatures whole: they are not to be averaged.
        learned = list(self.objective.parameters())
        self.temperatures = torch.optim.Adam(learned, TEMPERATURE_STEP) if learned else None
        self.bare: nn.Module = accelerator.unwrap_model(self.network)
        # Accelerate's own would look in each step, on the disk, whether a certain library is installed.
        self.optimizer = make_optimizer(self.bare, run.settings)
        if run.compile:
            self.bare.compile()

    def networks(self) -> dict[str, nn.Module]:
        """The network."""
        return {"network": self.bare}

    def rest(self) -> dict[str, Any]:
        """The objective, and the optimizers that there are."""
        parts = {"optimizer": self.optimizer, "objective": self.objective, "temperatures": self.temperatures}
        return {name: part for name, part in parts.items() if part is not None}

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
        return parameters_of(self.bare)


def make_optimizer(network: nn.Module, settings: ClassifierConfig) -> torch.optim.Optimizer:
    """The optimizer that the settings name, of all the network's parameters."""
    weights, rate, decay = network.parameters(), settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return torch.optim.SGD(weights, rate, settings.momentum, weight_decay=decay, fused=True)
    return torch.optim.Adam(weights, rate, weight_decay=decay, fused=True)
