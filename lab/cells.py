"""Cells: idempotent pieces of work, identified by everything that decides their result."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

FORMAT = 1
"""Version of the layout of run folders; it is part of every cell's identity."""


@dataclass(frozen=True)
class Cell:
    """One piece of work: train this GAN on these images with this seed; measure that model.

    Attributes:
        run: the function that does it, `package.module:function`; it takes a `lab.folder.CellFolder`.
        label: what people read in the folder's name, e.g. `gan-dcgan-mnist-s0`; not part of the identity.
        config: the resolved settings, JSON-ready.
        parts: what else decides the result: code versions and the image set's fingerprint.
        needs: the cells whose folders this one reads.
        processes: how many processes work on it together.
        cost: a guess of its duration in seconds on one processor core; not part of the identity.
    """

    run: str
    label: str
    config: Mapping[str, Any]
    parts: Mapping[str, str | int] = field(default_factory=dict)
    needs: tuple["Cell", ...] = ()
    processes: int = 1
    cost: float = 1.0

    @property
    def key(self) -> str:
        """Hash (16 hexadecimal digits) of all that decides the result."""
        return content_hash(self.identity())

    @property
    def folder_name(self) -> str:
        """`label-key`, with the key's first 8 digits."""
        return f"{self.label}-{self.key[:8]}"

    def identity(self) -> dict[str, Any]:
        """What the key is made of."""
        return {
            "format": FORMAT,
            "run": self.run,
            "config": dict(self.config),
            "parts": dict(self.parts),
            "needs": [cell.key for cell in self.needs],
            "processes": self.processes,
        }


def recorded_identity(record: Mapping[str, Any]) -> dict[str, Any]:
    """The identity of a cell that a record holds, beside other things.

    Raises:
        KeyError: a part of the identity is not there.
    """
    return {name: record[name] for name in Cell("", "", {}).identity()}


def recorded_cell(record: Mapping[str, Any]) -> Cell:
    """The cell of a record, where it needs no other cells."""
    identity = recorded_identity(record)
    return Cell(
        identity["run"], record["label"], identity["config"], identity["parts"], processes=identity["processes"]
    )


def content_hash(value: Any) -> str:
    """A hash (16 hexadecimal digits) of a JSON-ready value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def with_needs(cells: Iterable[Cell]) -> list[Cell]:
    """The cells and all that they need, each once, needs before those that need them."""
    found: dict[str, Cell] = {}
    for cell in cells:
        for wanted in _needs_first(cell):
            found.setdefault(wanted.key, wanted)
    return list(found.values())


def _needs_first(cell: Cell) -> Iterator[Cell]:
    for needed in cell.needs:
        yield from _needs_first(needed)
    yield cell
