"""Drawing a study's report from its cells' rows and artifacts, and judging its claims by them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lab import locks, registry
from lab.cells import layout
from lab.cells.record import StudyRecord, of_older_code, read_study
from lab.cells.rows import build_table
from lab.config import Config
from lab.errors import WorkbenchError, first_line
from lab.files import explaining, remove_leftovers, replacing
from lab.reporting import glossary, provenance
from lab.reporting.naming import renamed
from lab.reporting.report import FORMATS, Report, write_report
from lab.reporting.tables import write_csv
from lab.reporting.verdicts import Claim, Verdict, judge
from lab.studying.collect import Collected, collect
from lab.studying.command import command_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Result:
    """What a study came to: its report, its table, its verdicts, and the fate of its cells; how many are `left`, which
    are neither done nor failed."""

    study: str
    folder: Path
    report: Path
    verdicts: Sequence[Verdict]
    cells: dict[str, int]
    failed: dict[str, str]
    left: int = 0

    def plain(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        return {
            "study": self.study,
            "folder": str(self.folder),
            "report": str(self.report),
            "table": str(self.folder / layout.TABLE),
            "verdicts": [verdict.plain() for verdict in self.verdicts],
            "cells": self.cells,
        }


@dataclass(frozen=True)
class Study:
    """A study's folder, read once.

    Attributes:
        folder: where it lies.
        record: what it says.
        module: the study's own.
        config: its settings.
    """

    folder: Path
    record: StudyRecord
    module: ModuleType
    config: Config

    @classmethod
    def of(cls, folder: Path) -> "Study":
        """Read a folder.

        Raises:
            WorkbenchError: it is no study's, or its settings are none of the study's.
        """
        record = read_study(folder)
        with of_older_code(folder):
            module = registry.load("studies", record.study)
            return cls(folder, record, module, module.Config.parse(record.settings))

    @property
    def name(self) -> str:
        return self.record.study

    def collected(self) -> Collected:
        """What there is of its cells."""
        return collect(self.name, self.record.cells, layout.root_of(self.folder), self.record.shipped)


def draw_study(
    folder: Path,
    *,
    counts: dict[str, int] | None = None,
    failed: dict[str, str] | None = None,
    formats: Sequence[str] = FORMATS,
) -> Result:
    """Draw a study's report anew from its cells' rows and artifacts.

    Args:
        folder: the study's.
        counts: what a command that did cells says of them; None where none did.
        failed: the cells that failed in that command, and why; others may have failed before, or are damaged.
        formats: of the figures' files.

    Raises:
        WorkbenchError: the folder is no study's.
    """
    study = Study.of(folder)
    with explaining(folder), locks.exclusive(folder / layout.LOCK):
        remove_leftovers(folder)
        found = study.collected()
        told = {cell: str(failure) for cell, failure in found.absent.items() if failure} | (failed or {})
        missing = [f"{cell}: {told.get(cell, 'not done yet')}" for cell in found.absent]
        with _telling_of_strange_cells(folder):
            report, verdicts = _report(study, found, folder)
            page = write_report(report, verdicts, missing, folder, formats)
        if missing:
            layout.unmark(folder)
        else:
            layout.mark(folder, {})
    counts = counts or {"total": len(study.record.cells), "run": 0, "cached": len(found.cells)}
    left = sum(cell not in told for cell in found.absent)
    return Result(study.name, folder, page, verdicts, {**counts, "failed": len(told)}, told, left)


def draw_into(
    folder: Path, target: Path, formats: Sequence[str] = FORMATS, home: str = ""
) -> tuple[Report, list[Verdict]]:
    """Draw a study's report into another folder, with figures in some formats; its own is left as it is.

    `home` is the way from there to the page that leads to it, if there is one.

    Raises:
        WorkbenchError: the folder is no study's, or cannot be drawn.
    """
    study = Study.of(folder)
    found = study.collected()
    target.mkdir(parents=True, exist_ok=True)
    missing = [f"{cell}: not there" for cell in found.absent]
    with _telling_of_strange_cells(folder):
        report, verdicts = _report(study, found, target)
        write_report(report, verdicts, missing, target, formats, home)
    return report, verdicts


@dataclass(frozen=True)
class Judged:
    """A study as its cells' rows have it: its settings, its table, its verdicts, and what people call its keys."""

    study: str
    config: Config
    table: "pd.DataFrame"
    verdicts: list[Verdict]
    names: dict[str, str]


def judged(folder: Path, wanted: Callable[[Claim], bool] = lambda claim: True) -> Judged:
    """A study by its folder, with the verdicts on the claims that are wanted, from the cells that are finished.

    Nothing is drawn, and where no claim is wanted no row is read.

    Raises:
        WorkbenchError: the folder is no study's, or its cells hold something else than it needs.
    """
    study = Study.of(folder)
    claims = [claim for claim in study.module.claims(study.config) if wanted(claim)]
    table = study.collected().table if claims else build_table([])
    with _telling_of_strange_cells(folder):
        verdicts = [judge(claim, claim.effect(table)) for claim in claims]
    return Judged(study.name, study.config, table, verdicts, study.record.names)


def _report(study: Study, found: Collected, target: Path) -> tuple[Report, list[Verdict]]:
    """A study's report and verdicts; the table that both are of is written below `target`."""
    config, cells, table, names = study.config, found.cells, found.table, study.record.names
    with replacing(target / layout.TABLE) as aside:
        write_csv(table, aside)
    report: Report = study.module.report(config, table, cells)
    title = f"{study.name}/{study.folder.resolve().name}"
    report.sections.append(provenance.section(command_of(study.name, config), title, config, table, cells))
    report.sections.append(glossary.section(report))
    verdicts = [renamed(judge(claim, claim.effect(table)), names) for claim in study.module.claims(config)]
    return renamed(report, names), verdicts


@contextmanager
def _telling_of_strange_cells(folder: Path) -> Iterator[None]:
    """Whatever cells of strangers hold, drawing it ends in one line.

    Raises:
        WorkbenchError: what was done in the block failed, of other things than the disk.
    """
    try:
        with of_older_code(folder):
            yield
    except WorkbenchError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise WorkbenchError(
            f"{folder} cannot be drawn from what its cells hold ({type(error).__name__}: {first_line(error)}). Have "
            "cells that were changed made anew; --traceback tells where."
        ) from error
