"""The plan of a study: its cells, which of them are finished, and how many the machine does side by side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import machine, registry
from lab.cells import layout
from lab.cells.cell import Cell, with_needs
from lab.config import Config, with_preset
from lab.hashing import content_hash
from lab.running.place import Place
from lab.studying.preset import read_preset


@dataclass(frozen=True)
class Planned:
    """One cell of a plan and what is to happen with it: `done`, `published` or `to do`."""

    cell: Cell[Any]
    state: str


@dataclass(frozen=True)
class Plan:
    """A study's cells, needs first, and where they belong; and what people call what cells know by keys."""

    study: str
    config: Config
    runs: Path
    cells: list[Planned]
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The study's own folder."""
        keys = [planned.cell.key for planned in self.cells]
        identity = {"study": self.study, "config": self.config.changed(), "cells": keys}
        return layout.study(self.runs, self.study, content_hash(identity)[:8])

    @property
    def to_do(self) -> list[Cell[Any]]:
        """The cells that are not finished."""
        return [planned.cell for planned in self.cells if planned.state == "to do"]

    @property
    def published(self) -> list[Cell[Any]]:
        """Those of them that ship with the code, finished by others, and that nothing to do wants the weights of."""
        missing = _missing([planned.cell for planned in self.cells], self.runs, layout.PUBLISHED)
        return [cell for cell in self.to_do if cell.key not in missing]

    @property
    def device(self) -> str:
        """The kind of device that the cells use here: `cuda` if any of them does, else `cpu`."""
        named = {planned.cell.config.plain().get("device", "cpu") for planned in self.cells}
        return "cuda" if "cuda" in map(machine.resolve_device, named) else "cpu"

    @property
    def places(self) -> int:
        """How many of the cells the machine can do side by side: one a core or GPU.

        A training that wants several processes takes as many cores or GPUs.
        """
        places = len(machine.gpus()) if self.device == "cuda" else machine.cores()
        return max(1, places // max((planned.cell.processes for planned in self.cells), default=1))

    def slots(self, jobs: int | None) -> int:
        """How many cells are done side by side: `jobs`, or as many as places, but no more than the study has.

        However many are left: each slot has its share of the threads, on which the last bits of a sum depend.
        """
        return max(1, min(jobs or self.places, len(self.cells)))

    def slots_at(self, place: Place) -> int:
        """The same at a place; a queue takes as many as there are."""
        return place.jobs or max(1, len(self.cells)) if place.queues else self.slots(place.jobs)


def study_config(name: str, preset: str, given: dict[str, Any], file: Path | None = None) -> Config:
    """The settings of a study: a preset's, with those of a file in their place, and the given ones in theirs.

    Raises:
        UsageError: an unknown study, preset or setting, an impossible value, or a file of another kind.
    """
    module = registry.load("studies", name)
    filed = read_preset(file, name, module.Config) if file else {}
    return with_preset(module.Config, module.PRESETS, preset, {**filed, **given})


def plan_study(name: str, config: Config, data: Path, runs: Path, *, published: bool = False) -> Plan:
    """The cells of a study, on data below `data`, and which are finished; with `published`, those that ship, too."""
    return plan_cells(name, config, registry.load("studies", name).plan(config, data), runs, published=published)


def plan_cells(name: str, config: Config, asked: Iterable[Cell[Any]], runs: Path, *, published: bool = False) -> Plan:
    """The same for cells that are asked for, and those that they need."""
    cells = with_needs(asked)
    missing = _missing(cells, runs, *([layout.shipped()] if published else []))
    return Plan(name, config, runs, [Planned(cell, _state(cell, runs, missing)) for cell in cells])


def _missing(cells: Sequence[Cell[Any]], runs: Path, *shipped: Path) -> set[str]:
    """The keys of the cells that are to do, of some with needs first; those that ship have no weights to go on with."""
    missing = {cell.key for cell in cells if not _is_done(cell, runs, *shipped)}
    for cell in reversed(cells):
        if cell.key in missing:
            missing |= {need.key for need in cell.needs if not _is_done(need, runs)}
    return missing


def _is_done(cell: Cell[Any], *places: Path) -> bool:
    return any(layout.is_done(layout.cells(place) / cell.folder_name) for place in places)


def _state(cell: Cell[Any], runs: Path, missing: set[str]) -> str:
    if cell.key in missing:
        return "to do"
    return "done" if _is_done(cell, runs) else "published"
