"""Running a study: do the cells that are left, and draw the report from the table and the artifacts."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lab import locks, machine, registry
from lab.cells import layout
from lab.cells.cell import Cell
from lab.cells.failure import Failure, failure_of
from lab.cells.folder import CellFolder
from lab.cells.fresh import dropped_if_bare
from lab.cells.record import StudyRecord, read_study
from lab.cells.rows import build_table
from lab.config import Config
from lab.errors import UsageError, WorkbenchError, first_line
from lab.files import explaining, remove_leftovers, replacing, write_json
from lab.reporting import glossary, provenance
from lab.reporting.naming import renamed
from lab.reporting.report import FORMATS, Report, write_report
from lab.reporting.verdicts import Claim, Verdict, judge
from lab.running import schedule, timing
from lab.running.place import SLOTS, Place
from lab.running.progress import Display
from lab.running.schedule import Outcome
from lab.studying.collect import Collected, collect
from lab.studying.command import command_of
from lab.studying.plan import Plan

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Result:
    """What a study came to: its report, its table, its verdicts, and the fate of its cells."""

    study: str
    folder: Path
    report: Path
    verdicts: Sequence[Verdict]
    cells: dict[str, int]
    failed: dict[str, str]

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


def run_study(
    plan: Plan, *, local: dict[str, Any], place: Place = SLOTS, progress: bool = True, formats: Sequence[str] = FORMATS
) -> Result:
    """Do the cells that are left, and write the report, its figures in some formats.

    Cells that fail leave the others going.

    Another command may do the same study at the same time: each takes cells that the other is not at work on.

    Raises:
        WorkbenchError: there is no such device, or nothing could be done, all for one reason; there is no report then.
    """
    if plan.to_do and not place.queues:
        machine.check_device(plan.device)
    start = time.monotonic()
    with _begun(plan):
        outcome = do_cells(plan, local=local, place=place, progress=progress)
        counts = {"total": len(plan.cells), "run": len(outcome.done), "cached": len(plan.cells) - len(plan.to_do)}
        if outcome.common_cause and not counts["cached"]:
            raise WorkbenchError(outcome.common_cause)
        failed = {path.name: str(failure) for path, failure in outcome.failed.items()}
        result = draw_study(plan.folder, counts=counts, failed=failed, formats=formats)
        took = _took(outcome).values()
        if took and not failed and not place.queues:
            beside = time.monotonic() - start - sum(took) / min(plan.slots_at(place), len(took))
            timing.learn(plan.runs, [], beside)
        return result


def queue_study(plan: Plan, *, local: dict[str, Any], place: Place) -> Outcome:
    """Put the cells that are left into the queue of a place that has one, and leave them there.

    Raises:
        WorkbenchError: nothing could be put there, all for one reason.
    """
    with _begun(plan):
        outcome = do_cells(plan, local=local, place=place, progress=False, wait=False)
        if outcome.common_cause and not outcome.left:
            raise WorkbenchError(outcome.common_cause)
        return outcome


def do_cells(
    plan: Plan, *, local: dict[str, Any], place: Place = SLOTS, progress: bool = True, wait: bool = True
) -> Outcome:
    """Do the cells that are left; those of a place with a queue may be left there without waiting for them."""
    folders, damaged = _create(plan, local)
    if not folders:
        return Outcome(broken=damaged)
    slots = plan.slots_at(place)
    executor = place.open(slots, "" if place.queues else plan.device)
    known = timing.read(plan.runs)
    costs = {folder.path: known.seconds(cell) for folder, cell in folders.items()}
    timed = known.knows(plan.to_do) and not place.queues
    display = Display(costs, min(slots, len(folders)), known=timed, queue=executor if place.queues else None)
    shown: AbstractContextManager[Any] = display if progress else nullcontext()
    with shown:
        outcome = schedule.do(list(folders), executor, slots, display.started, display.ended, costs=costs, wait=wait)
    outcome.broken |= damaged
    cells = {folder.path: cell for folder, cell in folders.items()}
    if not place.queues:
        timing.learn(plan.runs, [(cells[path], seconds) for path, seconds in _took(outcome).items()])
    return outcome


def _took(outcome: Outcome) -> dict[Path, float]:
    """The seconds that cells took that were done."""
    return {path: CellFolder(path).seconds for path in outcome.done if layout.is_done(path)}


def _create(plan: Plan, local: dict[str, Any]) -> tuple[dict[CellFolder, Cell[Any]], dict[Path, Failure]]:
    """The folders of the cells that are left, and why some cannot be had."""
    folders: dict[CellFolder, Cell[Any]] = {}
    damaged: dict[Path, Failure] = {}
    for cell in plan.to_do:
        try:
            folders[CellFolder.create(cell, layout.cells(plan.runs), local)] = cell
        except WorkbenchError as error:  # edited or torn: the others can be done
            damaged[layout.cells(plan.runs) / cell.folder_name] = failure_of(error)
    return folders, damaged


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
        module = registry.load("studies", record.study)
        try:
            return cls(folder, record, module, module.Config.parse(record.settings))
        except UsageError as error:
            raise UsageError(f"{folder / layout.CONFIG}: {error}") from error

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
        _, verdicts, page = _draw(study, found, missing, folder, formats)
        if missing:
            layout.unmark(folder)
        else:
            layout.mark(folder, {})
    counts = counts or {"total": len(study.record.cells), "run": 0, "cached": len(found.cells)}
    return Result(study.name, folder, page, verdicts, {**counts, "failed": len(told)}, told)


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
    report, verdicts, _ = _draw(study, found, missing, target, formats, home)
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


def _draw(
    study: Study, found: Collected, missing: list[str], target: Path, formats: Sequence[str], home: str = ""
) -> tuple[Report, list[Verdict], Path]:
    config, cells, table, names = study.config, found.cells, found.table, study.record.names
    with replacing(target / layout.TABLE) as aside:
        table.to_csv(aside, index=False)
    with _telling_of_strange_cells(study.folder):
        report: Report = study.module.report(config, table, cells)
        title = f"{study.name}/{study.folder.resolve().name}"
        report.sections.append(provenance.section(command_of(study.name, config), title, config, table, cells))
        report.sections.append(glossary.section(report))
        verdicts = [renamed(judge(claim, claim.effect(table)), names) for claim in study.module.claims(config)]
        report = renamed(report, names)
        return report, verdicts, write_report(report, verdicts, missing, target, formats, home)


@contextmanager
def _telling_of_strange_cells(folder: Path) -> Iterator[None]:
    """Whatever cells of strangers hold, drawing it ends in one line.

    Raises:
        WorkbenchError: what was done in the block failed, of other things than the disk.
    """
    try:
        yield
    except (WorkbenchError, OSError):
        raise
    except Exception as error:
        raise WorkbenchError(
            f"{folder} cannot be drawn from what its cells hold ({type(error).__name__}: {first_line(error)}). Have "
            "cells that were changed made anew; --traceback tells where."
        ) from error


@contextmanager
def _begun(plan: Plan) -> Iterator[None]:
    """Write down what is to be done; while the block runs, nobody removes the study or its cells.

    Folders that it makes go again if it ends with an error and nothing was done in them.
    """
    made = [layout.cell(plan.runs, cell.folder_name) for cell in plan.to_do]
    with dropped_if_bare([*made, plan.folder]), _kept(plan):
        yield


@contextmanager
def _kept(plan: Plan) -> Iterator[None]:
    plan.folder.mkdir(parents=True, exist_ok=True)
    layout.check_plain(plan.folder)
    names = [planned.cell.folder_name for planned in plan.cells]
    claims = [claim.plain() for claim in registry.load("studies", plan.study).claims(plan.config)]
    taken = [planned.cell.folder_name for planned in plan.cells if planned.state == "published"]
    record = {"study": plan.study, "cells": names, "claims": claims, "names": plan.names, "published": taken}
    with ExitStack() as work:
        with explaining(plan.folder), locks.exclusive(plan.folder / layout.LOCK):
            work.enter_context(locks.at_work(plan.folder))
            write_json(plan.folder / layout.CONFIG, plan.config.plain())
            write_json(plan.folder / layout.PLAN, record)
        yield
