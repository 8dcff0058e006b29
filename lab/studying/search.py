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
from lab.studying.plan import plan_cells
from lab.studying.preset import write_preset
from lab.studying.search_folder import check_same, entered
from lab.studying.shared import SharedTrials, answering
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
    """A search that is planned.

    Attributes:
        study: the study's name.
        searchable: what it says of its search.
        config: the search's settings.
        runs: the runs folder.
        data: the folder of the data.
        folder: the search's own.
        named: whether people have named that.
        place: where cells are done.
        space: what is searched.
        identity: what tells it from other searches.
        example: the cells of a trial.
        slots: cells at a time.
    """

    study: str
    searchable: Searchable
    config: Config
    runs: Path
    data: Path
    folder: Path
    named: bool
    place: Place
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

    def values(self, proposed: dict[str, Any]) -> Values:
        """The settings that Optuna's values mean."""
        return {name: part.value(proposed[name]) for name, part in self.space.items()}

    def cells(self, proposed: dict[str, Any]) -> list[Cell[Any]]:
        """The cells that try them."""
        return self.searchable.cells(self.config, self.values(proposed), self.data)


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
    searching: Searching,
    *,
    trials: int,
    local: dict[str, Any],
    storage: str | None = None,
    planned: Callable[[Iterable[Path]], None] = lambda cells: None,
    say: Say = lambda text: None,
) -> Found:
    """Try settings until there are `trials` trials, or go on with a search, and write the best as a preset file.

    Args:
        searching: what is searched, and where.
        trials: how many trials there are to be in all, those of earlier commands included.
        local: what cells' folders say beside what decides their results.
        storage: the URL of a database from which several workers take trials; None for a journal in the folder.
        planned: is told the folders of the cells that are to be done, before they are.
        say: is told of each trial.

    Raises:
        UsageError: Optuna is not installed, or the folder holds another search, or something else of the names that a
            search writes.
        WorkbenchError: a cell failed, another process is at work in the folder, or its journal or the database is
            damaged.
    """
    check_optuna()
    folder, identity = searching.folder, searching.identity
    parts = {name: part.distribution() for name, part in searching.space.items()}
    with (
        dropped_if_bare([folder]),
        explaining(folder),
        entered(folder, named=searching.named, alone=storage is None),
        answering(storage),
    ):
        check_same(folder, identity)
        trying = Journal(folder, identity, parts) if storage is None else SharedTrials(storage, identity, parts)
        with closing(trying.rounds(trials, searching.together)) as rounds:
            for proposed in rounds:
                _note(searching, trying)
                for number, score in _scores(searching, proposed, local, planned).items():
                    trying.tell(number, score)
                    _keep(searching, trying)
                    tried = searching.values(proposed[number])
                    words = ", ".join(f"{name} {value}" for name, value in tried.items())
                    say(f"trial {number + 1} ({len(trying.told())} of {trials}): {words}: {score:.4f}")
        found = _keep(searching, trying)  # a command that was killed may have told the last trial and no more
        if found.trials:
            _note(searching, trying)  # the folder may have moved, and others have told more
            layout.mark(folder, {})
    return found


def _scores(
    searching: Searching,
    proposed: Mapping[int, dict[str, Any]],
    local: dict[str, Any],
    planned: Callable[[Iterable[Path]], None],
) -> dict[int, float]:
    """The scores of trials by number, whose cells are done side by side."""
    wanted = {number: searching.cells(raw) for number, raw in proposed.items()}
    plan = plan_cells(searching.study, searching.config, chain.from_iterable(wanted.values()), searching.runs)
    planned(layout.cell(plan.runs, cell.folder_name) for cell in plan.to_do)
    paths = {number: [layout.cell(plan.runs, cell.folder_name) for cell in some] for number, some in wanted.items()}
    with dropped_if_bare(chain.from_iterable(paths.values())):
        outcome = do_cells(plan, local=local, place=searching.place)
        return {number: _score(searching.searchable, outcome, some) for number, some in paths.items()}


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
    """Plan a search of what `Searching` tells, in a folder, or in one that is named by what is searched; nothing is
    written.

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
    own = folder or layout.search(runs, study, content_hash(identity)[:8])
    named = folder is not None
    return Searching(study, searchable, config, runs, data, own, named, place, space, identity, example, slots)


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


def _note(searching: Searching, trying: Journal | SharedTrials) -> None:
    """Write down the cells of the trials so far, and where they are, so that whoever looks at the search finds them.

    A search that lies in its folder of runs is found there, too, and nobody removes a cell that it needs. From the runs
    no way leads to a search elsewhere: its cells can be removed as those of nobody.
    """
    layout.unmark(searching.folder)
    asked = chain.from_iterable(map(searching.cells, trying.whole()))
    names = [cell.folder_name for cell in with_needs(asked)]
    about = {IDENTITY: content_hash(searching.identity), **layout.naming(searching.folder, searching.runs)}
    write_json(searching.folder / layout.SEARCH, {"study": searching.study, "cells": names, **about})


def _keep(searching: Searching, trying: Journal | SharedTrials) -> Found:
    """Write the best settings and the table of trials, if there is a trial."""
    trials = [Trial(number, searching.values(raw), score) for number, raw, score in trying.told()]
    found = Found(searching.study, searching.folder, trials)
    if trials:
        write_preset(found.preset, found.study, searching.searchable.preset(searching.config, found.best.values))
        heading, *rows = found.rows()
        atomic_write(found.folder / layout.TRIALS, Table("trials", "", columns(*heading), rows).to_csv())
    return found
