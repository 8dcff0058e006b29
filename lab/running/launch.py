"""Doing a cell: in this process, or in as many as it wants, which torchrun starts with the same `snnl cell FOLDER`.

The first of the processes holds the cell's lock and writes; the one that started them only waits. They end when it
does, so that nobody writes to a folder that was given up.
"""

import os
import sys
from pathlib import Path

from lab import locks
from lab.cells.failure import forget_failure
from lab.cells.folder import CellFolder
from lab.cells.layout import LOG
from lab.cells.work import alone
from lab.cells.work import work as work_here
from lab.errors import WorkbenchError
from lab.files import explaining
from lab.processes import rank, world_size
from lab.registry import ROOT
from lab.running import several

ATTEMPTS = 3


def work(folder: CellFolder) -> None:
    """Do a cell, or find it done.

    Raises:
        WorkbenchError: the work failed, or there are not as many GPUs as the cell wants processes.
    """
    several.check_parent()
    if folder.processes == 1 or world_size() > 1:
        if world_size() > 1 and rank() == 0 and not os.environ.get(several.PARENT):
            forget_failure(folder.path)
        work_here(folder)
        return
    if folder.done:
        return
    several.check_gpus(folder.config.get("device", "cpu"), folder.processes)
    with explaining(folder.path), locks.at_work(folder.path):
        _start_processes(folder)


def command(folder: Path) -> list[str]:
    """The command that does the cell of a folder, in a process of its own or in each of several."""
    return [sys.executable, str(ROOT / "cli.py"), "cell", "--quiet", str(folder.absolute())]


def share_threads(threads: int) -> None:
    """Give this process and those that it starts so many threads; before torch is imported."""
    os.environ.update(dict.fromkeys(several.THREADS, str(threads)))


def _start_processes(folder: CellFolder) -> None:
    """Start torchrun; again where it was killed, or another command took the cell first."""
    for _ in range(ATTEMPTS):
        with alone(folder):  # whoever else is at work on it ends first
            if folder.done:
                return
            forget_failure(folder.path)
        code = _torchrun(folder)
        if folder.done:
            return
        if code > 0 and not folder.held:
            more = f" ({folder.path / LOG} tells more)"
            raise several.failed(folder.path, folder.processes, code, more).error()
    raise WorkbenchError(
        f"torchrun ended {ATTEMPTS} times before the work was done ({folder.path / LOG} tells more); "
        "the same command goes on."
    )


def _torchrun(folder: CellFolder) -> int:
    """Start the processes and wait for them; their words go to the folder's log. The exit code."""
    return several.run(folder.processes, command(folder.path)[1:], folder.path / LOG)
