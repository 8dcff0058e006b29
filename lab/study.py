"""Running a study: plan its cells, do those that are left, and draw the report from the table and the artifacts."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from lab import executor, hardware, locks, provenance, registry
from lab.cells import Cell, content_hash, with_needs
from lab.config import Config, with_preset
from lab.errors import UsageError, WorkbenchError
from lab.executor import Outcome
from lab.files import explaining, remove_leftovers, replacing, write_json
from lab.folder import CellFolder
from lab.preset import read_preset
from lab.progress import Display
from lab.registry import ROOT
from lab.report import Report, write_report
from lab.table import build_table
from lab.verdicts import Verdict

PUBLISHED = ROOT / "results"
"""Finished cells without their weights that ship with the code."""


@dataclass(frozen=True)
class Planned:
    """One cell of a plan and what is to happen with it: `done`, `published` or `to do`."""

    cell: Cell
    state: str


@dataclass(frozen=True)
class Plan:
    """A study's cells, needs first, and where they belong."""

    study: str
    config: Config
    runs: Path
    cells: list[Planned]

    @property
    def folder(self) -> Path:
        """The study's own folder."""
        identity = {
            "study": self.study,
            "config": self.config.changed(),
            "cells": [p.cell.key for p in self.cells],
        }
        return self.runs / "studies" / self.study / content_hash(identity)[:8]

    @property
    def to_do(self) -> list[Cell]:
        """The cells that are not finished."""
        return [planned.cell for planned in self.cells if planned.state == "to do"]

    @property
    def published(self) -> list[Cell]:
        """Those of them that ship with the code, finished by others."""
        return [cell for cell in self.to_do if (PUBLISHED / "cells" / cell.folder_name / "DONE").exists()]

    @property
    def device(self) -> str:
        """The kind of device that the study's trainings use; one that trains nothing says nothing of devices."""
        return hardware.resolve_device(getattr(self.config, "device", "cpu"))

    @property
    def places(self) -> int:
        """How many of the cells the machine can do side by side: one a core or GPU.

        A training that wants several processes takes as many cores or GPUs.
        """
        places = len(hardware.gpus()) if self.device == "cuda" else hardware.cores()
        return max(1, places // max((planned.cell.processes for planned in self.cells), default=1))

    def slots(self, jobs: int | None) -> int:
        """How many cells are done side by side: `jobs`, or as many as places, but no more than the study has.

        However many are left: each slot has its share of the threads, on which the last bits of a sum depend.
        """
        return max(1, min(jobs or self.places, len(self.cells)))


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
            "study": self.study, "folder": str(self.folder), "report": str(self.report),
            "table": str(self.folder / "rows.csv"), "verdicts": [verdict.plain() for verdict in self.verdicts],
            "cells": self.cells,
        }  # fmt: skip


def study_config(name: str, preset: str, given: dict[str, Any], file: Path | None = None) -> Config:
    """The settings of a study: a preset's, with those of a file in their place, and the given ones in theirs.

    Raises:
        UsageError: an unknown study, preset or setting, an impossible value, or a file of another kind.
    """
    module = registry.load("studies", name)
    filed = read_preset(file, name, module.Config) if file else {}
    return with_preset(module.Config, module.PRESETS, preset, {**filed, **given})


def plan_study(name: str, config: Config, runs: Path, *, published: bool = False) -> Plan:
    """The cells of a study and which are finished; with `published`, those that ship with the code count too."""
    return plan_cells(name, config, registry.load("studies", name).plan(config), runs, published=published)


def plan_cells(name: str, config: Config, asked: Iterable[Cell], runs: Path, *, published: bool = False) -> Plan:
    """The same for cells that are asked for, and those that they need."""
    cells = with_needs(asked)
    missing = {cell.key for cell in cells if not _is_done(cell, runs, published)}
    for cell in reversed(cells):
        if cell.key in missing:
            missing |= {need.key for need in cell.needs if not _is_done(need, runs, False)}
    return Plan(name, config, runs, [Planned(cell, _state(cell, runs, missing)) for cell in cells])


def run_study(plan: Plan, *, local: dict[str, Any], jobs: int | None = None, progress: bool = True) -> Result:
    """Do the cells that are left, in local slots, and write the report. Cells that fail leave the others going.

    Another command may do the same study at the same time: each takes cells that the other is not at work on.

    Raises:
        WorkbenchError: there is no such device, or nothing could be done, all for one reason; there is no report then.
    """
    if plan.to_do:
        hardware.check_device(plan.device)
    with _begun(plan):
        outcome = do_cells(plan, local=local, jobs=jobs, progress=progress)
        counts = {"total": len(plan.cells), "run": len(outcome.done), "cached": len(plan.cells) - len(plan.to_do)}
        if outcome.common_cause and not counts["cached"]:
            raise WorkbenchError(outcome.common_cause)
        failed = {path.name: reason for path, reason in outcome.failed.items()}
        return draw_study(plan.folder, counts={**counts, "failed": len(failed)}, failed=failed)


def do_cells(plan: Plan, *, local: dict[str, Any], jobs: int | None = None, progress: bool = True) -> Outcome:
    """Do the cells that are left, in local slots."""
    slots = plan.slots(jobs)
    folders = {cell.key: CellFolder.create(cell, plan.runs / "cells", local) for cell in plan.to_do}
    if not folders:
        return Outcome()
    display = Display({folders[cell.key].path: cell.cost for cell in plan.to_do}, min(slots, len(folders)))
    shown: AbstractContextManager[Any] = display if progress else nullcontext()
    with shown:
        return executor.run_in_slots(list(folders.values()), slots, plan.device, display.started)


def draw_study(folder: Path, *, counts: dict[str, int] | None = None, failed: dict[str, str] | None = None) -> Result:
    """Draw a study's report anew from its cells' rows and artifacts.

    Raises:
        WorkbenchError: the folder is no study's.
    """
    record = _read_record(folder)
    with explaining(folder), locks.exclusive(folder / "lock"):
        remove_leftovers(folder)
        return _draw_alone(folder, record, counts, failed or {})


def estimate(cells: Sequence[Cell], slots: int) -> float:
    """A guess of how many seconds the cells take in `slots` slots of one core each."""
    return sum(cell.cost for cell in cells) / max(1, min(slots, len(cells)))


def _draw_alone(folder: Path, record: dict[str, Any], counts: dict[str, int] | None, failed: dict[str, str]) -> Result:
    module = registry.load("studies", record["study"])
    try:
        config: Config = module.Config.parse(record["config"])
    except UsageError as error:
        raise UsageError(f"{folder / 'config.json'}: {error}") from error
    cells, absent = _find_cells(record["cells"], folder)
    missing = [f"{name}: {failed.get(name) or reason}" for name, reason in absent.items()]
    report = _draw(module, config, record["study"], cells, missing, folder)
    if missing:
        (folder / "DONE").unlink(missing_ok=True)
    else:
        write_json(folder / "DONE", {})
    total = len(record["cells"])
    counts = counts or {"total": total, "run": 0, "cached": len(cells), "failed": total - len(cells)}
    return Result(record["study"], folder, folder / "report.html", report.verdicts, counts, failed)


def _draw(
    module: ModuleType, config: Config, study: str, cells: list[CellFolder], missing: list[str], folder: Path
) -> Report:
    rows = ({"study": study, "cell": cell.path.name, **row} for cell in cells for row in cell.rows())
    table = build_table(rows)
    with replacing(folder / "rows.csv") as aside:
        table.to_csv(aside, index=False)
    report: Report = module.report(config, table, cells)
    report.missing.extend(missing)
    report.sections.append(provenance.section(config, table, cells))
    write_report(report, folder)
    return report


def _find_cells(names: list[str], folder: Path) -> tuple[list[CellFolder], dict[str, str]]:
    """The finished cells of a study's folder, beside it or published, and the reason for each that is absent."""
    places = [folder.resolve().parents[2] / "cells", PUBLISHED / "cells"]
    found, absent = [], {}
    for name in names:
        done = [place / name for place in places if (place / name / "DONE").exists()]
        if done:
            found.append(CellFolder(done[0]))
        else:
            failed = places[0] / name / "FAILED"
            absent[name] = failed.read_text(encoding="utf-8") if failed.exists() else "not done yet"
    return found, absent


@contextmanager
def _begun(plan: Plan) -> Iterator[None]:
    """Write down what is to be done; while the block runs, nobody removes the study or its cells."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    names = [planned.cell.folder_name for planned in plan.cells]
    claims = [claim.plain() for claim in registry.load("studies", plan.study).claims(plan.config)]
    record = {"study": plan.study, "cells": names, "claims": claims}
    with ExitStack() as work:
        with explaining(plan.folder), locks.exclusive(plan.folder / "lock"):
            work.enter_context(locks.at_work(plan.folder))
            write_json(plan.folder / "config.json", plan.config.plain())
            write_json(plan.folder / "plan.json", record)
        yield


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return {"study": plan["study"], "cells": plan["cells"], "config": config}
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{folder} is no study's folder; one looks like runs/studies/NAME/HASH.") from error


def _is_done(cell: Cell, runs: Path, published: bool) -> bool:
    places = [runs, *([PUBLISHED] if published else [])]
    return any((place / "cells" / cell.folder_name / "DONE").exists() for place in places)


def _state(cell: Cell, runs: Path, missing: set[str]) -> str:
    if cell.key in missing:
        return "to do"
    return "done" if _is_done(cell, runs, False) else "published"
