"""Searching settings by a Gaussian process: Optuna proposes them, cells try them, and the best become a preset file.

runs/searches/NAME/HASH/
    journal.log    Optuna's journal: what is searched, and every trial; the search goes on from it
    trials.csv     the trials as a table
    preset.json    the best settings, as a file that the study takes
    lock           held by the process at work

A trial's cells are ordinary cells in runs/cells. Trials are asked for in rounds, as many as the slots can do side by
side. What is proposed is a function of the journal and of how many trials there were, so a search that was stopped
ends as an undisturbed one does that has as many slots.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.config import Config
from lab.errors import DIVERGED, WorkbenchError
from lab.files import atomic_write, explaining, remove_leftovers
from lab.hashing import content_hash
from lab.locks import LOOK_SECONDS, held
from lab.running.executor import Outcome
from lab.studying.journal import Journal, check_optuna
from lab.studying.preset import write_preset
from lab.studying.study import Plan, do_cells, plan_cells

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SIGNIFICANT = 3
"""Digits that proposed numbers are rounded to."""


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both above 0, searched by their logarithm; with `sign` -1 their negatives."""

    low: float
    high: float
    sign: int = 1

    def distribution(self) -> "BaseDistribution":
        """The range as Optuna has it."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=True)

    def value(self, proposed: Any) -> float:
        """The setting that Optuna's number means."""
        return self.sign * float(f"{proposed:.{SIGNIFICANT}g}")

    @property
    def example(self) -> float:
        """A setting of the range."""
        return self.value(self.low)


@dataclass(frozen=True)
class Choice:
    """One of several words."""

    words: tuple[str, ...]

    def distribution(self) -> "BaseDistribution":
        """The choice as Optuna has it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.words)

    def value(self, proposed: Any) -> str:
        """The setting that Optuna's word means."""
        return str(proposed)

    @property
    def example(self) -> str:
        """A setting of the choice."""
        return self.words[0]


Space = Mapping[str, Range | Choice]
Values = dict[str, float | str]


@dataclass(frozen=True)
class Searchable:
    """What a study says of the search of its settings, as its `SEARCH`.

    Attributes:
        settings: the class of the search's own settings.
        space: what is searched, by name.
        cells: the cells that try values; they are trained, and see no held-out data.
        score: the score of those cells when they are done; higher is better.
        preset: the settings of the study that values make.
    """

    settings: type[Config]
    space: Callable[[Any], Space]
    cells: Callable[[Any, Values], list[Cell]]
    score: Callable[[Sequence[CellFolder]], float]
    preset: Callable[[Any, Values], dict[str, Any]]


@dataclass(frozen=True)
class Trial:
    """One trial: its number, the values tried, and their score."""

    number: int
    values: Values
    score: float


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
        return self.folder / "preset.json"

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
    local: dict[str, Any],
    folder: Path | None = None,
    jobs: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Found:
    """Try settings until there are `trials` trials, or go on with a search, and write the best as a preset file.

    Args:
        study: the study's name.
        searchable: what it says of its search.
        config: the search's settings.
        trials: how many trials there are to be in all, those of earlier commands included.
        runs: the runs folder.
        local: what cells' folders say beside what decides their results.
        folder: the search's folder; None for one that is named by what is searched.
        jobs: how many cells are done side by side; None for one a core.
        say: is told of each trial.

    Raises:
        UsageError: Optuna is not installed, a setting is impossible, or the folder holds another search.
        WorkbenchError: a cell failed, another process is at work in the folder, or its journal is damaged.
    """
    check_optuna()
    space = searchable.space(config)
    example = searchable.cells(config, {name: part.example for name, part in space.items()})
    identity = {
        "study": study,
        "settings": config.plain(),
        "space": {name: asdict(part) for name, part in space.items()},
        "code": content_hash([dict(cell.parts) for cell in example]),
    }
    folder = folder or runs / "searches" / study / content_hash(identity)[:8]
    places = jobs or plan_cells(study, config, example, runs).places
    together = max(1, places // len(example))
    with explaining(folder), _alone(folder):
        journal = Journal(folder, identity, {name: part.distribution() for name, part in space.items()})
        for proposed in journal.rounds(trials, together):
            tried = {number: _values(space, raw) for number, raw in proposed.items()}
            scores = _try(study, searchable, config, tried, runs, local, jobs)
            for number, score in scores.items():
                journal.tell(number, score)
                _keep(Found(study, folder, _trials(journal, space)), searchable, config)
                say(f"trial {number + 1} of {trials}: {_words(tried[number])}: {score:.4f}")
        found = Found(study, folder, _trials(journal, space))
        _keep(found, searchable, config)  # a command that was killed may have told the last trial and no more
    return found


def _keep(found: Found, searchable: Searchable, config: Config) -> None:
    """Write the best settings and the table of trials, if there is a trial."""
    if found.trials:
        write_preset(found.preset, found.study, searchable.preset(config, found.best.values))
        atomic_write(found.folder / "trials.csv", _csv(found.rows()))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    def busy() -> None:
        raise WorkbenchError(f"Another command is at work in {folder}: wait for it, or stop it.")

    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / "lock", LOOK_SECONDS, busy):
        remove_leftovers(folder)
        yield


def _try(
    study: str,
    searchable: Searchable,
    config: Config,
    tried: dict[int, Values],
    runs: Path,
    local: dict[str, Any],
    jobs: int | None,
) -> dict[int, float]:
    """The score of each trial of a round, its cells done side by side with the others'."""
    cells = {number: searchable.cells(config, values) for number, values in tried.items()}
    plan = plan_cells(study, config, [cell for some in cells.values() for cell in some], runs)
    outcome = do_cells(plan, local=local, jobs=jobs)
    return {number: _score(searchable, plan, outcome, some) for number, some in cells.items()}


def _score(searchable: Searchable, plan: Plan, outcome: Outcome, cells: Sequence[Cell]) -> float:
    paths = [plan.runs / "cells" / cell.folder_name for cell in cells]
    failed = {path: outcome.failed[path] for path in paths if path in outcome.failed}
    for path, reason in failed.items():
        if DIVERGED not in reason:  # nothing but the settings is at fault, and the score is 0
            raise WorkbenchError(f"{path.name} failed: {reason} The same command goes on with it.")
    return 0.0 if failed else searchable.score([CellFolder(path) for path in paths])


def _values(space: Space, proposed: dict[str, Any]) -> Values:
    return {name: part.value(proposed[name]) for name, part in space.items()}


def _trials(journal: Journal, space: Space) -> list[Trial]:
    return [Trial(number, _values(space, raw), score) for number, raw, score in journal.told()]


def _words(values: Values) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
