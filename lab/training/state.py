"""What a training is made of and what resuming it needs, as the files of a checkpoint: networks, and the rest."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from safetensors.torch import load, save
from torch import nn

from lab.training.checkpoint import Checkpoint
from lab.training.tensors import contiguous, fill, packed, unpacked

REST = "rest.pt"


class TrainingState(ABC):
    """Networks, and what else has a state: optimizers, objectives."""

    step: int = 0
    """The updates done."""

    @abstractmethod
    def networks(self) -> Mapping[str, nn.Module]:
        """The networks, by name."""

    @abstractmethod
    def rest(self) -> Mapping[str, Any]:
        """What else has `state_dict` and `load_state_dict`, by name."""

    def files(self) -> dict[str, bytes]:
        """All that the state is, as the files of a checkpoint."""
        networks = {name: save(contiguous(network.state_dict())) for name, network in self.networks().items()}
        rest = {name: part.state_dict() for name, part in self.rest().items()}
        return {**{_file(name): data for name, data in networks.items()}, REST: packed(rest)}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Become what `files` gave when the checkpoint was saved."""
        rest = unpacked(checkpoint.files[REST])
        for name, network in self.networks().items():
            fill(network, load(checkpoint.files[_file(name)]))
        for name, part in self.rest().items():
            part.load_state_dict(rest[name])
        self.step = checkpoint.step


def _file(name: str) -> str:
    return f"{name}.safetensors"
