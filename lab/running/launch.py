"""Doing a cell: in this process, or in as many as it wants, which torchrun starts with the same `snnl cell FOLDER`.

The first of the processes holds the cell's lock and writes; the one that started them only waits. They end when it
does, so that nobody writes to a folder that was given up.
"""

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from lab import locks, machine
from lab.cells.failure import LOST, Failure, forget_failure, keep_failure
from lab.cells.folder import CellFolder
from lab.cells.layout import LOG
from lab.cells.work import alone
from lab.cells.work import work as work_here
from lab.errors import WorkbenchError
from lab.interrupts import PATIENCE, SAVING, raised, say
from lab.processes import rank, world_size
from lab.registry import ROOT
from lab.running import torchrun

PARENT = "SNNL_PARENT"
ATTEMPTS = 3
LONGER = 2.0
"""Seconds that torchrun needs to end after its processes."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def work(folder: CellFolder) -> None:
    """Do a cell, or find it done.

    Raises:
        WorkbenchError: the work failed, or there are not as many GPUs as the cell wants processes.
    """
    if os.environ.get(PARENT):
        end_with(int(os.environ[PARENT]))
        if os.getppid() in (1, int(os.environ[PARENT])):
            raise WorkbenchError("torchrun, which started this process, has ended.")
    if folder.processes == 1 or world_size() > 1:
        if world_size() > 1 and rank() == 0 and not os.environ.get(PARENT):
            forget_failure(folder.path)
        work_here(folder)
        return
    if folder.done:
        return
    visible = len(machine.gpus())
    if machine.resolve_device(folder.config.get("device", "cpu")) == "cuda" and visible < folder.processes:
        raise WorkbenchError(f"{folder.processes} processes want a GPU each and {visible} are visible: ask for fewer.")
    with locks.at_work(folder.path):
        _start_processes(folder)


def command(folder: Path) -> list[str]:
    """The command that does the cell of a folder, in a process of its own or in each of several."""
    return [sys.executable, str(ROOT / "cli.py"), "cell", "--quiet", str(folder.absolute())]


def share_threads(threads: int) -> None:
    """Give this process and those that it starts so many threads; before torch is imported."""
    os.environ.update(dict.fromkeys(THREADS, str(threads)))


def end_with(parent: int) -> None:
    """End this process within a second of the end of another, or of the one that started it."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


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
            raise _failed(folder, code)
    raise WorkbenchError(
        f"torchrun ended {ATTEMPTS} times before the work was done ({folder.path / LOG} tells more); "
        "the same command goes on."
    )


def _torchrun(folder: CellFolder) -> int:
    """Start the processes and wait for them; their words go to the folder's log. The exit code."""
    threads = str(max(1, machine.threads() // folder.processes))
    environment = os.environ | dict.fromkeys(THREADS, threads) | {PARENT: str(os.getpid())}
    program = [sys.executable, "-P", torchrun.__file__, str(folder.processes), *command(folder.path)[1:]]
    with (folder.path / LOG).open("a") as log, raised():
        running = subprocess.Popen(program, stdout=log, stderr=log, start_new_session=True, env=environment)
        try:
            return running.wait()
        except KeyboardInterrupt:
            say(SAVING)
            raise
        finally:
            _end(running)


def _end(running: subprocess.Popen[bytes]) -> None:
    """End torchrun, and with it its processes, which may save first; an interrupt while they do ends them at once."""
    running.terminate()
    try:
        running.wait(PATIENCE + LONGER)
    except subprocess.TimeoutExpired:
        pass
    finally:
        running.kill()
        running.wait()


def _failed(folder: CellFolder, code: int) -> WorkbenchError:
    """Keep and tell why the processes failed: what one of them kept, unless that is only that it lost another."""
    one, ended = f"one of {folder.processes} processes", code - torchrun.SIGNAL
    failure = Failure(LOST, f"{one} died ({folder.path / LOG} tells more)")
    if ended > 0:
        failure = Failure(WorkbenchError.kind, f"{one} was ended by signal {ended} (9: often out of memory)")
    keep_failure(folder.path, failure)
    return (folder.failure or failure).error()


def _watch(parent: int) -> None:
    own = os.getppid()
    with suppress(ProcessLookupError):
        while os.getppid() == own:
            os.kill(parent, 0)
            time.sleep(0.5)
    os._exit(1)
