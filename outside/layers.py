"""The layers of a network by name, whether they are nodes of its graph (`graph`) or its modules (`hooks`)."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lab.errors import check_known


@dataclass(frozen=True)
class Layers:
    """What can be had of a network.

    Attributes:
        known: all names.
        parts: the modules that it is made of, in order of execution.
        stages: those of them, before the head, that are its hidden layers; none where this is not known.
        logits: the two that give the logits: the head, and whatever comes last.
        giving: makes a network that gives a dict of the outputs of layers, by the name that each is given.
    """

    known: Collection[str]
    parts: Sequence[str]
    stages: Sequence[str]
    logits: tuple[str, str]
    giving: Callable[[Mapping[str, str]], nn.Module]

    def usual(self, *, hidden: bool) -> Sequence[str]:
        """Those that are looked at unless told otherwise: of hidden layers the stages, if there are two or more."""
        return self.stages if hidden and len(self.stages) > 1 else self.parts

    def checked(self, names: Iterable[str]) -> list[str]:
        """The names, each once, if there are such layers.

        Raises:
            UsageError: one is unknown; the message tells the nearest.
        """
        chosen = list(dict.fromkeys(names))
        check_known("layer", chosen, self.known)
        return chosen


def copy_of(output: Any) -> Any:
    """A copy of a layer's output; what is no tensor stays as it is."""
    return output.clone() if isinstance(output, Tensor) else output
