"""Several processes that work together on this machine: torchrun starts them and they end with this one.

Why they failed one of them keeps in a folder: that of a cell, or, for a command that shares its own work, one that is
there only as long as they are.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from lab import machine
from lab.cells.failure import LOST, Failure, failure_of, keep_failure, read_failure
from lab.cells.layout import LOG, TRACEBACK
from lab.errors import WorkbenchError, say
from lab.interrupts import PATIENCE, SAVING, raised
from lab.registry import ROOT
from lab.running import torchrun

PARENT, HOME = "SNNL_PARENT", "SNNL_TOGETHER"
"""Variables that tell processes who started them, and where those of a command keep why they failed."""
LONGER = 2.0
"""Seconds that torchrun needs to end after its processes."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def again(processes: int) -> None:
    """Run the command of this process in so many others, which share its work, and wait for them.

    Raises:
        WorkbenchError: they failed, of what one of them kept.
    """
    with TemporaryDirectory(prefix="snnl-together-") as home:
        folder = Path(home)
        os.environ[HOME] = home
        try:
            code = run(processes, [str(ROOT / "cli.py"), *sys.argv[1:]], folder / LOG, shown=True)
        finally:
            del os.environ[HOME]
        if not code:
            return
        error = failed(folder, processes, code, "").error()
        if (folder / TRACEBACK).exists():
            error.add_note((folder / TRACEBACK).read_text(encoding="utf-8"))
        raise error


@contextmanager
def one_of_those() -> Iterator[None]:
    """A process that `again` started: it ends with the others, and keeps why it fails for who started them to tell."""
    check_parent()
    try:
        yield
    except Exception as error:
        if not (home := os.environ.get(HOME)):  # started by hand
            raise
        keep_failure(Path(home), failure_of(error), error)
        raise SystemExit(1) from error


def check_gpus(device: str, processes: int) -> None:
    """Raise WorkbenchError unless each of several processes has a GPU of this machine, where they compute on GPUs."""
    if machine.resolve_device(device) == "cuda" and (visible := len(machine.gpus())) < processes:
        raise WorkbenchError(f"{processes} processes want a GPU each and {visible} are visible: ask for fewer.")


def run(count: int, script: Sequence[str], log: Path, *, shown: bool = False) -> int:
    """Run a script in so many processes, to which its share of the threads is given, and wait for them.

    Args:
        count: of the processes.
        script: the script, and its arguments.
        log: where torchrun's words go, and theirs unless `shown`.
        shown: whether they say what they say where this process does.

    Returns:
        The exit code, as `lab.running.torchrun` has it.
    """
    threads = str(max(1, machine.threads() // count))
    environment = os.environ | dict.fromkeys(THREADS, threads) | {PARENT: str(os.getpid())}
    program = [sys.executable, "-P", torchrun.__file__, str(log), str(count), *script]
    with log.open("ab") as file, raised():
        output = None if shown else file
        running = subprocess.Popen(program, stdout=output, stderr=output, start_new_session=True, env=environment)
        try:
            return running.wait()
        except KeyboardInterrupt:
            if not shown:
                say(SAVING)
            raise
        finally:
            _end(running)


def failed(folder: Path, count: int, code: int, more: str) -> Failure:
    """Keep and give why processes failed: what one of them kept, unless that is only that it lost another.

    `more` says where there are more words, where an exit code has none.
    """
    one, ended = f"one of {count} processes", code - torchrun.SIGNAL
    failure = Failure(LOST, f"{one} died{more}")
    if ended > 0:
        failure = Failure(WorkbenchError.kind, f"{one} was ended by signal {ended} (9: often out of memory)")
    keep_failure(folder, failure)
    return read_failure(folder) or failure


def check_parent() -> None:
    """End this process within a second of the end of the one that started torchrun, or of torchrun, if one did.

    Raises:
        WorkbenchError: torchrun has ended already.
    """
    parent = os.environ.get(PARENT)
    if parent:
        end_with(int(parent))
        if os.getppid() in (1, int(parent)):
            raise WorkbenchError("torchrun, which started this process, has ended.")


def end_with(parent: int) -> None:
    """End this process within a second of the end of another, or of the one that started it."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    own = os.getppid()
    with suppress(ProcessLookupError, PermissionError):  # its number is another user's by now
        while os.getppid() == own:
            os.kill(parent, 0)
            time.sleep(0.5)
    os._exit(1)


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
