"""Doing cells: one in this process, or many in local slots.

A slot is a long-lived worker process with its share of the processor's threads and of the GPUs, set before it
imports torch. Nothing but the folder passes between the parent and a cell.
"""

import os
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from lab import machine
from lab.cells.folder import CellFolder
from lab.errors import WorkbenchError, first_line
from lab.files import explaining
from lab.processes import world_size
from lab.running import launch


@dataclass
class Outcome:
    """What became of the cells that were to do.

    Attributes:
        done: the folders that finished.
        broken: why a cell's own work failed.
        blocked: what a cell lacks that was never begun.
    """

    done: list[Path] = field(default_factory=list)
    broken: dict[Path, str] = field(default_factory=dict)
    blocked: dict[Path, str] = field(default_factory=dict)

    @property
    def failed(self) -> dict[Path, str]:
        """Why cells did not finish."""
        return self.broken | self.blocked

    @property
    def common_cause(self) -> str | None:
        """The one reason for which nothing at all was done, if there is one."""
        reasons = set(self.broken.values())
        return reasons.pop() if len(reasons) == 1 and not self.done else None


def run_here(folder: CellFolder) -> None:
    """Do one cell from this process, on all cores."""
    if world_size() == 1:
        launch.share_threads(machine.threads())
    launch.work(folder)


def run_in_slots(
    folders: Iterable[CellFolder], jobs: int, device: str, started: Callable[[CellFolder], None]
) -> Outcome:
    """Do cells side by side, each when those that it needs are done. One that fails leaves the others going.

    Args:
        folders: the cells to do, needs first; what they need besides is finished already.
        jobs: how many slots.
        device: `cpu` or `cuda`; slots part the visible GPUs among them, or share them in turn if they are more.
        started: told of each cell as it is handed to a slot.

    Raises:
        KeyboardInterrupt: the workers are ended first; every unfinished cell can go on later.
    """
    outcome, waiting = Outcome(), list(folders)
    slots = [_Slot(index, jobs, device) for index in range(jobs)]
    busy: dict[Future[None], tuple[_Slot, CellFolder]] = {}
    try:
        while waiting or busy:
            for slot in [slot for slot in slots if slot not in [taken for taken, _ in busy.values()]]:
                folder = _next_ready(waiting, outcome)
                if folder is not None:
                    started(folder)
                    busy[slot.submit(folder)] = (slot, folder)
            if not busy:
                outcome.blocked |= {folder.path: "what it needs is not there" for folder in waiting}
                break
            finished, _ = wait(busy, return_when=FIRST_COMPLETED)
            for future in finished:
                slot, folder = busy.pop(future)
                _settle(future, slot, folder, outcome)
    finally:
        for slot in slots:
            slot.end()
    return outcome


class _Slot:
    """One worker process, started when first used and again after it died."""

    def __init__(self, index: int, jobs: int, device: str) -> None:
        self._settings = (machine.threads(jobs), gpus_of(index, jobs) if device == "cuda" else "")
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, folder: CellFolder) -> Future[None]:
        try:
            return self._hand_over(folder)
        except BrokenProcessPool:  # the worker died while it had nothing to do
            self.end()
            return self._hand_over(folder)

    def _hand_over(self, folder: CellFolder) -> Future[None]:
        if self._pool is None:
            context = get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, initializer=_prepare_worker, initargs=self._settings)
            self._pid = self._pool.submit(os.getpid)
        return self._pool.submit(_work, str(folder.path))

    def end(self) -> None:
        """Stop the worker at once, whatever it is doing."""
        if self._pool is None:
            return
        if self._pid.done() and self._pid.exception() is None:
            _terminate(self._pid.result())
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = None


def _next_ready(waiting: list[CellFolder], outcome: Outcome) -> CellFolder | None:
    """The next cell to do; one that another command is at work on comes last, as it has to be waited for."""
    ready = []
    for folder in list(waiting):
        try:
            needs = folder.needs
        except WorkbenchError as error:  # one was edited or removed by hand
            waiting.remove(folder)
            outcome.blocked[folder.path] = str(error)
            continue
        broken = [need for need in needs if need.path in outcome.failed]
        if broken:
            waiting.remove(folder)
            outcome.blocked[folder.path] = f"needs {broken[0].path.name}, which failed"
        elif all(need.done for need in needs):
            ready.append(folder)
    chosen = next((folder for folder in ready if not folder.held), ready[0] if ready else None)
    if chosen is not None:
        waiting.remove(chosen)
    return chosen


def _settle(future: Future[None], slot: _Slot, folder: CellFolder, outcome: Outcome) -> None:
    try:
        future.result()
        outcome.done.append(folder.path)
    except BrokenProcessPool:
        slot.end()
        outcome.broken[folder.path] = "its worker process died (out of memory, or ended from outside)"
    except WorkbenchError as error:
        outcome.broken[folder.path] = str(error)
    except Exception as error:
        outcome.broken[folder.path] = f"{type(error).__name__}: {first_line(error)}"


def _work(path: str) -> None:
    folder = CellFolder(Path(path))
    log = folder.path / "log.txt"
    with explaining(folder.path), log.open("a") as file, redirect_stdout(file), redirect_stderr(file):
        launch.work(folder)


def gpus_of(slot: int, jobs: int) -> str:
    """The slot's share of the GPUs that this process may see, as CUDA_VISIBLE_DEVICES names them."""
    count = len(machine.gpus())
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = allowed.split(",")[:count] if allowed else [str(number) for number in range(count)]
    return ",".join(names[slot::jobs] or names[slot % max(1, count) :][:1])


def _prepare_worker(threads: int, gpus: str) -> None:
    launch.share_threads(threads)
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    launch.end_with(os.getppid())


def _terminate(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
