"""Cells of made-up tasks, for tests of what does not care what a cell does."""

from pathlib import Path
from types import SimpleNamespace

from pydantic import ConfigDict

from lab.cells.cell import Cell
from lab.cells.work import work
from lab.config import Config

LOCAL = {"data": "/somewhere", "download": True}
NOWHERE = SimpleNamespace(
    data={"root": Path(), "download": False}, record={"local": {}}, path=Path("nowhere"), note=lambda **facts: None
)
"""A cell without a folder, for a training whose steps a test takes itself."""


class Free(Config):
    """Any settings at all."""

    model_config = ConfigDict(extra="allow", frozen=True)


def made(task="train", label="name", config=None, **more):
    """A cell of a made-up task."""
    return Cell(task, label, Free(**(config or {})), **more)


def fake(task, number=0, needs=(), **more):
    """A cell of a task in `tests/lab/fakes`, for tests that use `importable`."""
    from lab import registry

    config = registry.load("tasks", task).Config(number=number)
    return Cell(task, f"{task}-{number}", config, needs=tuple(needs), **more)


def do(folder, monkeypatch, function):
    """Do a cell by a function in place of its task."""
    from lab import registry

    monkeypatch.setattr(registry, "load", lambda kind, name: SimpleNamespace(run=function))
    work(folder)
