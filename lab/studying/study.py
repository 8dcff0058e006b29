"""Running a study: do the cells that are left, and draw the report from the table and the artifacts."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import locks, machine, registry
from lab.cells import layout
from lab.cells.failure import Failure, read_failure
from lab.cells.folder import CellFolder
from lab.cells.proofs import check_artifacts
from lab.cells.record import read_study
from lab.cells.rows import build_table
from lab.config import Config
from lab.errors import UsageError, WorkbenchError
from lab.files import explaining, remove_leftovers, replacing, write_json
from lab.reporting import provenance
from lab.reporting.report import Report, write_report
from lab.reporting.verdicts import Verdict, judge
from lab.running import schedule
from lab.running.progress import Display
from lab.running.schedule import Outcome
from lab.studying.plan import Plan


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
    with _begun(plan):
        outcome = do_cells(plan, local=local, jobs=jobs, executor=executor, progress=progress)
        counts = {"total": len(plan.cells), "run": len(outcome.done), "cached": len(plan.cells) - len(plan.to_do)}
        if outcome.common_cause and not counts["cached"]:
            raise WorkbenchError(outcome.common_cause)
        failed = {path.name: str(failure) for path, failure in outcome.failed.items()}
        return draw_study(plan.folder, counts={**counts, "failed": len(failed)}, failed=failed)


def do_cells(
    plan: Plan, *, local: dict[str, Any], jobs: int | None = None, executor: str = "slots", progress: bool = True
) -> Outcome:
    """Do the cells that are left, by the executor of a name."""
    folders = {cell.key: CellFolder.create(cell, layout.cells(plan.runs), local) for cell in plan.to_do}
    if not folders:
        return Outcome()
    slots = plan.slots(jobs)
    display = Display({folders[cell.key].path: cell.cost for cell in plan.to_do}, min(slots, len(folders)))
    shown: AbstractContextManager[Any] = display if progress else nullcontext()
    place = registry.load("executors", executor).Executor(slots, plan.device)
    with shown:
        return schedule.do(list(folders.values()), place, slots, display.started)


def draw_study(folder: Path, *, counts: dict[str, int] | None = None, failed: dict[str, str] | None = None) -> Result:
    """Draw a study's report anew from its cells' rows and artifacts.

    Raises:
        WorkbenchError: the folder is no study's.
    """
    (name, config, cells), told = _read(folder), failed or {}
    with explaining(folder), locks.exclusive(folder / layout.LOCK):
        remove_leftovers(folder)
        found, absent = _find_cells(cells, folder)
        missing = [f"{cell}: {told.get(cell) or failure or 'not done yet'}" for cell, failure in absent.items()]
        verdicts, page = _draw(folder, name, config, found, missing)
        if missing:
            layout.unmark(folder)
        else:
            layout.mark(folder, {})
    counts = counts or {"total": len(cells), "run": 0, "cached": len(found), "failed": sum(map(bool, absent.values()))}
    return Result(name, folder, page, verdicts, counts, told)


def _draw(
    folder: Path, study: str, config: Config, cells: list[CellFolder], missing: list[str]
) -> tuple[list[Verdict], Path]:
    module = registry.load("studies", study)
    table = build_table({"study": study, "cell": cell.path.name, **row} for cell in cells for row in cell.rows())
    with replacing(folder / layout.TABLE) as aside:
        table.to_csv(aside, index=False)
    report: Report = module.report(config, table, cells)
    report.sections.append(provenance.section(config, table, cells))
    verdicts = [judge(claim, claim.effect(table)) for claim in module.claims(config)]
    return verdicts, write_report(report, verdicts, missing, folder)


def _find_cells(names: list[str], folder: Path) -> tuple[list[CellFolder], dict[str, Failure | None]]:
    """The finished cells of a study's folder, beside it or published, and why each absent one failed, if it did."""
    places = [layout.cells(layout.root_of(folder)), layout.cells(layout.PUBLISHED)]
    found: list[CellFolder] = []
    absent: dict[str, Failure | None] = {}
    for name in names:
        done = [place / name for place in places if layout.is_done(place / name)]
        if done:
            check_artifacts(done[0])
            found.append(CellFolder(done[0]))
        else:
            absent[name] = read_failure(places[0] / name)
    return found, absent


@contextmanager
def _begun(plan: Plan) -> Iterator[None]:
    """Write down what is to be done; while the block runs, nobody removes the study or its cells."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    names = [planned.cell.folder_name for planned in plan.cells]
    claims = [claim.plain() for claim in registry.load("studies", plan.study).claims(plan.config)]
    with ExitStack() as work:
        with explaining(plan.folder), locks.exclusive(plan.folder / layout.LOCK):
            work.enter_context(locks.at_work(plan.folder))
            write_json(plan.folder / layout.CONFIG, plan.config.plain())
            write_json(plan.folder / layout.PLAN, {"study": plan.study, "cells": names, "claims": claims})
        yield


def _read(folder: Path) -> tuple[str, Config, list[str]]:
    """The study that a folder is of, its settings, and the names of its cells."""
    name, settings, cells = read_study(folder)
    module = registry.load("studies", name)
    try:
        return name, module.Config.parse(settings), cells
    except UsageError as error:
        raise UsageError(f"{folder / layout.CONFIG}: {error}") from error
