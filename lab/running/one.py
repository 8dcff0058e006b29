"""One cell in this process, with its progress shown."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lab import machine
from lab.cells import layout
from lab.cells.cell import Cell, with_needs
from lab.cells.folder import CellFolder
from lab.cells.fresh import dropped_if_bare
from lab.errors import WorkbenchError
from lab.processes import rank, world_size
from lab.running import schedule, timing
from lab.running.executors import here
from lab.running.place import HERE, Place
from lab.running.progress import Display


def do_cell(cell: Cell, runs: Path, local: dict[str, Any], place: Place = HERE, *, wait: bool = True) -> CellFolder:
    """Do a cell below `runs`, or go on with it, or find it done; those that it needs come first.

    In a queue they may be left without waiting for them.
    """
    cells = with_needs([cell])
    with dropped_if_bare([layout.cell(runs, each.folder_name) for each in cells]):
        if place == HERE:
            return [_do(each, runs, local) for each in cells][-1]
        folders = [CellFolder.create(each, layout.cells(runs), local) for each in cells]
        _do_at(place, [folder for folder in folders if not folder.done], wait)
        return folders[-1]


def _do(cell: Cell, runs: Path, local: dict[str, Any]) -> CellFolder:
    folder, known = CellFolder.create(cell, layout.cells(runs), local), timing.read(runs)
    if not folder.done:
        do_folder(folder.path, known.seconds(cell) if known.knows([cell]) else None)
        if rank() == 0:  # which has marked it as done
            timing.learn(runs, [(cell, folder.seconds)])
    return folder


def _do_at(place: Place, folders: list[CellFolder], wait: bool) -> None:
    if not folders:
        return
    device = "" if place.queues else machine.resolve_device(folders[-1].config.get("device", "cpu"))
    executor, costs = place.open(1, device), {folder.path: 1.0 for folder in folders}
    places = len(folders) if place.queues else 1
    with Display(costs, places, known=False, queue=executor if place.queues else None) as display:
        outcome = schedule.do(folders, executor, places, display.started, display.ended, wait=wait)
    for failure in outcome.failed.values():
        raise failure.error()


def do_folder(path: Path, seconds: float | None = None, *, shown: bool = True) -> CellFolder:
    """Do the cell of a folder, or find it done.

    Args:
        path: the folder.
        seconds: how long it takes, for the first estimate of the time left; None where that is not known.
        shown: whether to show how far it is.

    Raises:
        WorkbenchError: it is no cell's folder, or a cell that it needs is not finished.
    """
    folder = CellFolder(path)
    for need in schedule.needs_of(folder):
        if not layout.is_done(need):
            raise WorkbenchError(f"{path} needs {need}, which is not finished: do that first.")
    with ExitStack() as showing:
        if shown and world_size() == 1 and not folder.done:
            showing.enter_context(Display({path: seconds or 1.0}, jobs=1, known=seconds is not None)).started(folder)
        here.Executor().submit(folder).result()
    return folder
