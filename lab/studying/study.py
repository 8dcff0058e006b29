"""Running a study: do the cells that are left, and have the report drawn."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from lab import locks, machine, registry
from lab.cells import layout
from lab.cells.cell import Cell
from lab.cells.failure import Failure, failure_of
from lab.cells.folder import CellFolder
from lab.cells.fresh import dropped_if_bare
from lab.errors import WorkbenchError
from lab.files import explaining, gone, write_json
from lab.reporting.report import FORMATS
from lab.running import schedule, timing
from lab.running.place import SLOTS, Place
from lab.running.progress import Display
from lab.running.schedule import Outcome
from lab.studying.drawing import Result, draw_study
from lab.studying.plan import Plan


def run_study(
    plan: Plan, *, local: dict[str, Any], place: Place = SLOTS, progress: bool = True, formats: Sequence[str] = FORMATS
) -> Result:
    """Do the cells that are left, and write the report, its figures in some formats.

    Cells that fail leave the others going.

    Another command may do the same study at the same time: each takes cells that the other is not at work on.

    Raises:
        WorkbenchError: there is no such device, the study's folder was removed meanwhile, or nothing could be done, all
            for one reason; there is no report then.
    """
    if plan.to_do and not place.queues:
        machine.check_device(plan.device)
    start = time.monotonic()
    with _begun(plan):
        outcome = do_cells(plan, local=local, place=place, progress=progress)
        counts = {"total": len(plan.cells), "run": len(outcome.done), "cached": len(plan.cells) - len(plan.to_do)}
        if outcome.common_cause and not counts["cached"]:
            raise WorkbenchError(outcome.common_cause)
        if not layout.is_study(plan.folder):
            raise gone(plan.folder)
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
    with explaining(plan.folder):
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
