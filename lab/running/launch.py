"""Doing a cell: in this process, or in as many as it wants, which torchrun starts with the same `snnl cell FOLDER`.

The first of the processes holds the cell's lock and writes; the one that started them only waits. They end when it
does, so that nobody writes to a folder that was given up.
"""

import os
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress

from lab import locks, machine
from lab.cells.folder import CellFolder
from lab.errors import WorkbenchError, first_line
from lab.processes import lost_another, rank, world_size
from lab.registry import ROOT

PARENT = "SNNL_PARENT"
ATTEMPTS = 3
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
            folder.forget_failure()
        folder.work()
        return
    if folder.done:
        return
    visible = len(machine.gpus())
    if folder.config.get("device") == "cuda" and visible < folder.processes:
        raise WorkbenchError(f"{folder.processes} processes want a GPU each and {visible} are visible: ask for fewer.")
    with locks.at_work(folder.path):
        _start_processes(folder)


def share_threads(threads: int) -> None:
    """Give this process and those that it starts so many threads; before torch is imported."""
    for variable in THREADS:
        os.environ[variable] = str(threads)


def end_with(parent: int) -> None:
    """End this process within a second of the end of another, or of the one that started it."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _start_processes(folder: CellFolder) -> None:
    """Start torchrun; again where it was killed, or another command took the cell first."""
    for _ in range(ATTEMPTS):
        with folder.alone():  # whoever else is at work on it ends first
            if folder.done:
                return
            folder.forget_failure()
        said_before = _log_size(folder)
        code = _torchrun(folder)
        if folder.done:
            return
        if code > 0 and not folder.held:
            reason = _reason(folder, _log(folder, said_before))
            folder.fail(reason)
            raise WorkbenchError(reason)
    raise WorkbenchError(
        f"torchrun ended {ATTEMPTS} times before the work was done ({folder.path / 'log.txt'} tells more); "
        "the same command goes on."
    )


def _torchrun(folder: CellFolder) -> int:
    """Start the processes and wait for them; their words go to the folder's log. The exit code."""
    shares = {variable: str(max(1, machine.threads() // folder.processes)) for variable in THREADS}
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={folder.processes}",
        str(ROOT / "cli.py"),
        "cell",
        str(folder.path.absolute()),
    ]
    with (folder.path / "log.txt").open("a") as log:
        running = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, **shares, PARENT: str(os.getpid())},
        )
        try:
            return running.wait()
        finally:
            running.terminate()
            running.wait()


def _reason(folder: CellFolder, said: str) -> str:
    """Why the processes failed: what one of them kept, unless that is only that it lost another."""
    kept = folder.failure
    if kept and not lost_another(kept):
        return kept
    return _ended_from_outside(folder, said) or kept or _last_words(folder, said)


def _ended_from_outside(folder: CellFolder, said: str) -> str | None:
    """What to say where the first of the processes to fail was ended by a signal, as torchrun tells it."""
    summary = said.rpartition("Root Cause")[2]
    found = re.search(r"exitcode\s*:\s*-(\d+)", summary)
    return found and f"one of {folder.processes} processes was ended by signal {found[1]} (9: often out of memory)"


def _log_size(folder: CellFolder) -> int:
    path = folder.path / "log.txt"
    return path.stat().st_size if path.exists() else 0


def _log(folder: CellFolder, start: int) -> str:
    """What was said from a place in the log on: earlier attempts failed for reasons of their own."""
    return (folder.path / "log.txt").read_bytes()[start:].decode(errors="replace")


def _last_words(folder: CellFolder, said: str) -> str:
    errors = [line for line in said.splitlines() if "Error" in line and "torch.distributed" not in line]
    causes = [line for line in errors if not lost_another(line)] or errors
    last = f": {first_line(Exception(causes[-1]))}" if causes else ""
    return f"one of {folder.processes} processes died{last} ({folder.path / 'log.txt'} tells more)"


def _watch(parent: int) -> None:
    own = os.getppid()
    with suppress(ProcessLookupError):
        while os.getppid() == own:
            os.kill(parent, 0)
            time.sleep(0.5)
    os._exit(1)
