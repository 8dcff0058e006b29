"""Searching settings by a Gaussian process: Optuna proposes them, cells try them, and the best become a preset file.

runs/searches/NAME/HASH/
    search.json    the cells of its trials, a hash of what is searched; in another folder, where its runs are
    journal.log    Optuna's journal: what is searched, and every trial; the search goes on from it
    trials.csv     the trials as a table
    preset.json    the best settings, as a file that the study takes
    lock           held by the process at work

A trial's cells are ordinary cells in runs/cells. Trials are asked for in rounds, as many as the slots can do side by
side. What is proposed is a function of the journal and of how many trials there were, so a search that was stopped
ends as an undisturbed one does that has as many slots.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from lab.cells import layout
from lab.cells.cell import Cell, with_needs
from lab.cells.folder import CellFolder
from lab.cells.fresh import dropped_if_bare
from lab.cells.record import IDENTITY
from lab.config import Config
from lab.errors import DivergedError, Say, WorkbenchError
from lab.files import atomic_write, explaining, write_json
from lab.hashing import content_hash
from lab.reporting.tables import Table, columns
from lab.running.place import SLOTS, Place
from lab.running.schedule import Outcome
from lab.studying.journal import Journal, check_optuna
from lab.studying.plan import Plan, plan_cells
from lab.studying.preset import write_preset
from lab.studying.search_folder import check_same, entered
from lab.studying.shared import SharedTrials
from lab.studying.space import Searchable, Space, Values
from lab.studying.study import do_cells

TOGETHER = 8
"""How many cells are done side by side where a queue does not say how many it can do."""


@dataclass(frozen=True)
class Trial:
    """One trial: its number, the values tried, and their score."""

    number: int
    values: Values
    score: float


@dataclass(frozen=True)
class Searching:
    """What a search is to do: its folder, that of the runs, what is searched, its identity, the cells of a trial, cells
    at a time."""

    folder: Path
    runs: Path
    space: Space
    identity: dict[str, Any]
    example: list[Cell[Any]]
    slots: int

    @property
    def together(self) -> int:
        """How many trials a round has."""
        return max(1, self.slots // len(self.example))

    @property
    def told(self) -> int:
        """How many trials the folder tells of."""
        table = self.folder / layout.TRIALS
        return max(0, len(table.read_text(encoding="utf-8").splitlines()) - 1) if table.is_file() else 0


@dataclass(frozen=True)
class Found:
    """What a search came to: its folder, and its trials."""

    study: str
    folder: Path
    trials: list[Trial]

    @property
    def best(self) -> Trial:
        """The trial with the highest score, of equal ones the first."""
        return max(self.trials, key=lambda trial: trial.score)

    @property
    def preset(self) -> Path:
        """The file with the best settings."""
        return self.folder / layout.PRESET

    def rows(self) -> list[list[Any]]:
        """The trials as a table, its heading first; trials count from 1."""
        heading = ["trial", *self.best.values, "score"]
        return [heading, *([one.number + 1, *one.values.values(), round(one.score, 6)] for one in self.trials)]

    def plain(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        return {
            "study": self.study,
            "folder": str(self.folder),
            "preset": str(self.preset),
            "best": asdict(self.best),
            "trials": [asdict(trial) for trial in self.trials],
        }


def search(
    study: str,
    searchable: Searchable,
    config: Config,
    *,
    trials: int,
    runs: Path,
    data: Path,
    local: dict[str, Any],
    folder: Path | None = None,
    place: Place = SLOTS,
    storage: str | None = None,
    planned: Callable[[Iterable[Path]], None] = lambda cells: None,
    say: Say = lambda text: None,
) -> Found:
    """Try settings until there are `trials` trials, or go on with a search, and write the best as a preset file.

    Args:
        study: the study's name.
        searchable: what it says of its search.
        config: the search's settings.
        trials: how many trials there are to be in all, those of earlier commands included.
        runs: the runs folder.
        data: the folder of the data.
        local: what cells' folders say beside what decides their results.
        folder: the search's folder; None for one that is named by what is searched.
        place: where cells are done.
        storage: the URL of a database from which several workers take trials; None for a journal in the folder.
        planned: is told the folders of the cells that are to be done, before they are.
        say: is told of each trial.

    Raises:
        UsageError: Optuna is not installed, a setting is impossible, or the folder holds another search, or something
            else of the names that a search writes.
        WorkbenchError: a cell failed, another process is at work in the folder, or its journal is damaged.
    """
    check_optuna()
    searching = plan_search(study, searchable, config, runs=runs, data=data, folder=folder, place=place)
    named, folder, space = folder is not None, searching.folder, searching.space
    parts = {name: part.distribution() for name, part in space.items()}
    with dropped_if_bare([folder]), explaining(folder), entered(folder, named=named, alone=storage is None):
        check_same(folder, searching.identity)
        trying = (
            SharedTrials(storage, searching.identity, parts) if storage else Journal(folder, searching.identity, parts)
        )

        def cells_of(proposed: Iterable[dict[str, Any]]) -> list[Cell[Any]]:
            return [cell for raw in proposed for cell in searchable.cells(config, _values(space, raw), data)]

        with closing(trying.rounds(trials, searching.together)) as rounds:
            for proposed in rounds:
                _note(searching, study, cells_of(trying.whole()))
                tried = {number: _values(space, raw) for number, raw in proposed.items()}
                wanted = {number: searchable.cells(config, one, data) for number, one in tried.items()}
                plan = plan_cells(study, config, chain.from_iterable(wanted.values()), runs)
                planned(layout.cell(runs, cell.folder_name) for cell in plan.to_do)
                scores = _scores(searchable, plan, wanted, local=local, place=place)
                for number, score in scores.items():
                    trying.tell(number, score)
                    _keep(Found(study, folder, _trials(trying, space)), searchable, config)
                    words = ", ".join(f"{name} {value}" for name, value in tried[number].items())
                    say(f"trial {number + 1} ({len(trying.told())} of {trials}): {words}: {score:.4f}")
        found = Found(study, folder, _trials(trying, space))
        _keep(found, searchable, config)  # a command that was killed may have told the last trial and no more
        if found.trials:
            _note(searching, study, cells_of(trying.whole()))  # the folder may have moved, and others have told more
            layout.mark(folder, {})
    return found


def _scores(
    searchable: Searchable, plan: Plan, wanted: Mapping[int, list[Cell[Any]]], *, local: dict[str, Any], place: Place
) -> dict[int, float]:
    """The scores of trials by their cells, all of which are in the plan, and are done side by side."""
    paths = {number: [layout.cell(plan.runs, cell.folder_name) for cell in some] for number, some in wanted.items()}
    with dropped_if_bare(chain.from_iterable(paths.values())):
        outcome = do_cells(plan, local=local, place=place)
        return {number: _score(searchable, outcome, some) for number, some in paths.items()}


def plan_search(
    study: str,
    searchable: Searchable,
    config: Config,
    *,
    runs: Path,
    data: Path,
    folder: Path | None = None,
    place: Place = SLOTS,
) -> Searching:
    """What a search is of, and where, as `search` takes its arguments; nothing is written.

    Raises:
        UsageError: a setting is impossible.
    """
    space = searchable.space(config)
    example = searchable.cells(config, {name: part.example for name, part in space.items()}, data)
    identity = {
        "study": study,
        "settings": config.plain(),
        "space": {name: asdict(part) for name, part in space.items()},
        "code": content_hash([[dict(cell.versions), cell.data] for cell in example]),
    }
    slots = place.jobs or (TOGETHER if place.queues else plan_cells(study, config, example, runs).places)
    folder = folder or layout.search(runs, study, content_hash(identity)[:8])
    return Searching(folder, runs, space, identity, example, slots)


def _score(searchable: Searchable, outcome: Outcome, paths: Sequence[Path]) -> float:
    """The score of a trial by its cells' folders: 0 where its settings, and nothing else, are at fault.

    Raises:
        WorkbenchError: a cell failed of something else.
    """
    failed = {path: outcome.failed[path] for path in paths if path in outcome.failed}
    for path, failure in failed.items():
        if failure.kind != DivergedError.kind:
            raise WorkbenchError(f"{path.name} failed: {failure} The same command goes on with it.")
    return 0.0 if failed else searchable.score([CellFolder(path) for path in paths])


def _note(searching: Searching, study: str, asked: Iterable[Cell[Any]]) -> None:
    """Write down the cells of the trials so far, and where they are, so that whoever looks at the search finds them.

    A search that lies in its folder of runs is found there, too, and nobody removes a cell that it needs. From the runs
    no way leads to a search elsewhere: its cells can be removed as those of nobody.
    """
    layout.unmark(searching.folder)
    names = [cell.folder_name for cell in with_needs(asked)]
    about = {IDENTITY: content_hash(searching.identity), **layout.naming(searching.folder, searching.runs)}
    write_json(searching.folder / layout.SEARCH, {"study": study, "cells": names, **about})


def _keep(found: Found, searchable: Searchable, config: Config) -> None:
    """Write the best settings and the table of trials, if there is a trial."""
    if found.trials:
        write_preset(found.preset, found.study, searchable.preset(config, found.best.values))
        heading, *rows = found.rows()
        atomic_write(found.folder / layout.TRIALS, Table("trials", "", columns(*heading), rows).to_csv())


def _values(space: Space, proposed: dict[str, Any]) -> Values:
    return {name: part.value(proposed[name]) for name, part in space.items()}


def _trials(trying: Journal | SharedTrials, space: Space) -> list[Trial]:
    return [Trial(number, _values(space, raw), score) for number, raw, score in trying.told()]
