"""Cells: idempotent pieces of work, identified by everything that decides their result, and by nothing else.

The key is made of the names of the task and of what it works with, not of modules or files, so that code may move; and
of the settings that differ from their defaults, so that a new setting with a default changes no key. What a default or
the code decides is told apart by versions, `VERSION` in the file of a task, a GAN, a classifier, and of the engine.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from lab.config import Config
from lab.hashing import content_hash

ConfigT = TypeVar("ConfigT", bound=Config)
FORMAT = 2
"""Version of the layout of run folders; it is part of every cell's identity."""


@dataclass(frozen=True)
class Cell(Generic[ConfigT]):
    """One piece of work: train this GAN on these images with this seed; measure that model.

    Attributes:
        task: the name of what is done, an entry of the folder `tasks`.
        label: what people read in the folder's name, e.g. `gan-dcgan-mnist-s0`; not part of the identity.
        config: the settings.
        versions: of the code that decides the result, by entry: `{"tasks/train-gan": 1, "gans/dcgan": 1}`.
        data: the fingerprint of the image set that is read; empty where only other cells are.
        needs: the cells whose folders this one reads.
        processes: how many processes work on it together.
        cost: a guess of its duration in seconds on one processor core; not part of the identity.
    """

    task: str
    label: str
    config: ConfigT
    versions: Mapping[str, int] = field(default_factory=dict)
    data: str = ""
    needs: tuple["Cell[Any]", ...] = ()
    processes: int = 1
    cost: float = 1.0

    @cached_property
    def key(self) -> str:
        """Hash (16 hexadecimal digits) of all that decides the result."""
        return content_hash(self.identity())

    @property
    def folder_name(self) -> str:
        """`label-key`, with the key's first 8 digits."""
        return folder_name(self.label, self.key)

    def identity(self) -> dict[str, Any]:
        """What the key is made of."""
        return {
            "format": FORMAT,
            "task": self.task,
            "config": self.config.changed(),
            "versions": dict(self.versions),
            "data": self.data,
            "needs": [cell.key for cell in self.needs],
            "processes": self.processes,
        }


def folder_name(label: str, key: str) -> str:
    """The name of a cell's folder."""
    return f"{label}-{key[:8]}"


def with_needs(cells: Iterable[Cell[Any]]) -> list[Cell[Any]]:
    """The cells and all that they need, each once, needs before those that need them."""
    found: dict[str, Cell[Any]] = {}
    for cell in cells:
        for wanted in _needs_first(cell):
            found.setdefault(wanted.key, wanted)
    return list(found.values())


def _needs_first(cell: Cell[Any]) -> Iterator[Cell[Any]]:
    for needed in cell.needs:
        yield from _needs_first(needed)
    yield cell
