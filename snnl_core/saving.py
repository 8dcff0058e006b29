"""What a forward pass leaves to its backward pass: values taken apart into their tensors, which autograd then saves.

Only tensors that autograd saves are freed with the graph, where somebody keeps the loss; and only they are seen by the
caller's hooks, such as those of checkpoints.
"""

from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from typing import Any

from torch import Tensor


class _Place(int):
    """Stands for a tensor, by its number."""


def taken_apart(value: Any) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], Any]]:
    """The tensors in dataclasses, tuples and dictionaries, and what makes the same value of them again."""
    tensors: list[Tensor] = []

    def place(tensor: Tensor) -> _Place:
        tensors.append(tensor)
        return _Place(len(tensors) - 1)

    shell = _mapped(value, Tensor, place)
    return tensors, lambda saved: _mapped(shell, _Place, saved.__getitem__)


def _mapped(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """The value with all parts of a kind changed."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, dict):
        return {name: _mapped(part, kind, change) for name, part in value.items()}
    if isinstance(value, tuple):
        return tuple(_mapped(part, kind, change) for part in value)
    if is_dataclass(value):
        found = object.__new__(type(value))
        vars(found).update(_mapped(vars(value), kind, change))  # with what it has worked out
        return found
    return value
