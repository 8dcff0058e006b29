"""Cells of made-up tasks, for tests of what does not care what a cell does."""

from pydantic import ConfigDict

from lab.cells.cell import Cell
from lab.cells.work import work
from lab.config import Config

LOCAL = {"data": "/somewhere", "download": True}


class Free(Config):
    """Any settings at all."""

    model_config = ConfigDict(extra="allow", frozen=True)


def made(task="train", label="name", config=None, **more):
    """A cell of a made-up task."""
    return Cell(task, label, Free(**(config or {})), **more)


def do(folder, monkeypatch, function):
    """Do a cell by a function in place of its task."""
    from types import SimpleNamespace

    from lab import registry

    monkeypatch.setattr(registry, "load", lambda kind, name: SimpleNamespace(run=function))
    work(folder)
