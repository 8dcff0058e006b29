"""Running a study: do the cells that are left, and draw the report from the table and the artifacts."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import locks, machine, registry
from lab.cells import layout
from lab.cells.cell import Cell
from lab.cells.failure import Failure, failure_of, read_failure
from lab.cells.folder import CellFolder
from lab.cells.fresh import dropped_if_bare
from lab.cells.kept import check_kept
from lab.cells.record import names_in, read_study
from lab.cells.rows import build_table
from lab.config import Config
from lab.errors import UsageError, WorkbenchError, first_line
from lab.files import explaining, remove_leftovers, replacing, write_json
from lab.reporting import glossary, provenance
from lab.reporting.naming import renamed
from lab.reporting.report import FORMATS, Report, write_report
from lab.reporting.verdicts import Claim, Verdict, judge
from lab.running import schedule, timing
from lab.running.progress import Display
from lab.running.schedule import Outcome
from lab.studying.command import command_of
from lab.studying.plan import Plan

if TYPE_CHECKING:
    import pandas as pd

Rows = list[dict[str, Any]]


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
    plan: Plan, *, local: dict[str, Any], jobs: int | None = None, executor: str = "slots", progress: bool = True
) -> Result:
    """Do the cells that are left, and write the report. Cells that fail leave the others going.

    Another command may do the same study at the same time: each takes cells that the other is not at work on.

    Raises:
        WorkbenchError: there is no such device, or nothing could be done, all for one reason; there is no report then.
    """
    if plan.to_do:
        machine.check_device(plan.device)
    cells = [layout.cell(plan.runs, cell.folder_name) for cell in plan.to_do]
    start = time.monotonic()
    with dropped_if_bare([*cells, plan.folder]), _begun(plan):
        outcome = do_cells(plan, local=local, jobs=jobs, executor=executor, progress=progress)
        counts = {"total": len(plan.cells), "run": len(outcome.done), "cached": len(plan.cells) - len(plan.to_do)}
        if outcome.common_cause and not counts["cached"]:
            raise WorkbenchError(outcome.common_cause)
        failed = {path.name: str(failure) for path, failure in outcome.failed.items()}
        result = draw_study(plan.folder, counts=counts, failed=failed)
        took = _took(outcome).values()
        if took and not failed:
            timing.learn(plan.runs, [], time.monotonic() - start - sum(took) / min(plan.slots(jobs), len(took)))
        return result


def do_cells(
    plan: Plan, *, local: dict[str, Any], jobs: int | None = None, executor: str = "slots", progress: bool = True
) -> Outcome:
    """Do the cells that are left, by the executor of a name."""
    folders, damaged = _create(plan, local)
    if not folders:
        return Outcome(broken=damaged)
    slots, known = plan.slots(jobs), timing.read(plan.runs)
    costs = {folder.path: known.seconds(cell) for folder, cell in folders.items()}
    display = Display(costs, min(slots, len(folders)), known=known.knows(plan.to_do))
    shown: AbstractContextManager[Any] = display if progress else nullcontext()
    place = registry.load("executors", executor).Executor(slots, plan.device)
    with shown:
        outcome = schedule.do(list(folders), place, slots, display.started)
    outcome.broken |= damaged
    cells = {folder.path: cell for folder, cell in folders.items()}
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
    name, config, names = _read(folder)
    with explaining(folder), locks.exclusive(folder / layout.LOCK):
        remove_leftovers(folder)
        found, absent = _find_cells(names, folder)
        told = {cell: str(failure) for cell, failure in absent.items() if failure} | (failed or {})
        missing = [f"{cell}: {told.get(cell, 'not done yet')}" for cell in absent]
        _, verdicts, page = _draw(folder, name, config, found, missing, folder, formats)
        if missing:
            layout.unmark(folder)
        else:
            layout.mark(folder, {})
    counts = counts or {"total": len(names), "run": 0, "cached": len(found)}
    return Result(name, folder, page, verdicts, {**counts, "failed": len(told)}, told)


def draw_into(folder: Path, target: Path, formats: Sequence[str] = FORMATS) -> tuple[Report, list[Verdict]]:
    """Draw a study's report into another folder, with figures in some formats; its own is left as it is.

    Raises:
        WorkbenchError: the folder is no study's, or cannot be drawn.
    """
    name, config, names = _read(folder)
    found, absent = _find_cells(names, folder)
    target.mkdir(parents=True, exist_ok=True)
    report, verdicts, _ = _draw(folder, name, config, found, [f"{cell}: not there" for cell in absent], target, formats)
    return report, verdicts


@dataclass(frozen=True)
class Judged:
    """A study as its cells' rows have it: its name, its settings, its table and its verdicts."""

    study: str
    config: Config
    table: "pd.DataFrame"
    verdicts: list[Verdict]


def judged(folder: Path, wanted: Callable[[Claim], bool] = lambda claim: True) -> Judged:
    """A study by its folder, with the verdicts on the claims that are wanted, from the cells that are finished.

    Nothing is drawn, and where no claim is wanted no row is read.

    Raises:
        WorkbenchError: the folder is no study's, or its cells hold something else than it needs.
    """
    name, config, names = _read(folder)
    claims = [claim for claim in registry.load("studies", name).claims(config) if wanted(claim)]
    table = _table(name, _find_cells(names, folder)[0] if claims else {})
    with _telling_of_strange_cells(folder):
        return Judged(name, config, table, [judge(claim, claim.effect(table)) for claim in claims])


def _table(study: str, found: dict[CellFolder, Rows]) -> "pd.DataFrame":
    return build_table({"study": study, "cell": cell.path.name, **row} for cell in found for row in found[cell])


def _draw(
    folder: Path,
    study: str,
    config: Config,
    found: dict[CellFolder, Rows],
    missing: list[str],
    target: Path,
    formats: Sequence[str],
) -> tuple[Report, list[Verdict], Path]:
    module, cells, table = registry.load("studies", study), list(found), _table(study, found)
    with replacing(target / layout.TABLE) as aside:
        table.to_csv(aside, index=False)
    with _telling_of_strange_cells(folder):
        report: Report = module.report(config, table, cells)
        name = f"{study}/{folder.resolve().name}"
        report.sections.append(provenance.section(command_of(study, config), name, config, table, cells))
        report.sections.append(glossary.section(report))
        names = names_in(folder)
        verdicts = [renamed(judge(claim, claim.effect(table)), names) for claim in module.claims(config)]
        report = renamed(report, names)
        return report, verdicts, write_report(report, verdicts, missing, target, formats)


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


def _find_cells(names: list[str], folder: Path) -> tuple[dict[CellFolder, Rows], dict[str, Failure | None]]:
    """The finished cells of a study's folder, beside it or published, with their rows; and why each absent one failed,
    if it did. One that is damaged is absent."""
    places = [layout.root_of(folder), layout.PUBLISHED]
    found: dict[CellFolder, Rows] = {}
    absent: dict[str, Failure | None] = {}
    for name in names:
        try:
            here, *_ = cells = [layout.cell(place, name) for place in places]
            done = [cell for cell in cells if layout.is_done(cell)]
            if done:
                cell = CellFolder(done[0])
                found[cell] = check_kept(cell)
            else:
                absent[name] = read_failure(here)
        except WorkbenchError as error:
            absent[name] = failure_of(error)
    return found, absent


@contextmanager
def _begun(plan: Plan) -> Iterator[None]:
    """Write down what is to be done; while the block runs, nobody removes the study or its cells."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    layout.check_plain(plan.folder)
    names = [planned.cell.folder_name for planned in plan.cells]
    claims = [claim.plain() for claim in registry.load("studies", plan.study).claims(plan.config)]
    with ExitStack() as work:
        with explaining(plan.folder), locks.exclusive(plan.folder / layout.LOCK):
            work.enter_context(locks.at_work(plan.folder))
            write_json(plan.folder / layout.CONFIG, plan.config.plain())
            write_json(
                plan.folder / layout.PLAN, {"study": plan.study, "cells": names, "claims": claims, "names": plan.names}
            )
        yield


def _read(folder: Path) -> tuple[str, Config, list[str]]:
    """The study that a folder is of, its settings, and the names of its cells."""
    name, settings, cells = read_study(folder)
    module = registry.load("studies", name)
    try:
        return name, module.Config.parse(settings), cells
    except UsageError as error:
        raise UsageError(f"{folder / layout.CONFIG}: {error}") from error
