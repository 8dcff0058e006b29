"""Doing cells in local slots: long-lived worker processes, each with its share of the machine.

A worker is given its threads and GPUs before it imports torch.
"""

import os
import signal
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr, redirect_stdout, suppress
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import ClassVar

from lab import machine
from lab.cells.folder import CellFolder
from lab.cells.layout import LOG
from lab.errors import say
from lab.files import explaining
from lab.interrupts import PATIENCE, SAVING, TERMINAL
from lab.running import launch, several

LONGER = 4.0
"""Seconds that a worker needs to end after the processes that it has started."""


class Executor:
    """So many worker processes on this machine."""

    queues: ClassVar[bool] = False
    waiting: ClassVar[dict[Path, str]] = {}

    def __init__(self, count: int, device: str) -> None:
        """Part the machine among `count` slots.

        With the device `cuda`, they part the visible GPUs, or share them in turn if they are more; with `cpu` they see
        none.
        """
        gpus = [gpus_of(slot, count) if device == "cuda" else "" for slot in range(count)]
        self._slots = [_Slot(machine.threads(count), names) for names in gpus]

    def submit(self, folder: CellFolder) -> Future[None]:
        """Hand a cell to a slot with nothing to do."""
        return min(self._slots, key=lambda slot: bool(slot.work and not slot.work.done())).submit(folder)

    def close(self) -> None:
        """End the workers: those that train save first, within a bound; an interrupt while they do ends all at once."""
        if any(slot.work and not slot.work.done() for slot in self._slots):
            say(SAVING)
        try:
            for slot in self._slots:
                slot.ask_to_end()
            wait([slot.work for slot in self._slots if slot.work], PATIENCE + LONGER)
        finally:
            for slot in self._slots:
                slot.kill()


class _Slot:
    """One worker process, started when first used and again after it died."""

    def __init__(self, threads: int, gpus: str | None) -> None:
        self._settings = (threads, gpus)
        self._pool: ProcessPoolExecutor | None = None
        self.work: Future[None] | None = None

    def submit(self, folder: CellFolder) -> Future[None]:
        try:
            self.work = self._hand_over(folder)
        except BrokenProcessPool:  # the worker has died
            self._pool = None
            self.work = self._hand_over(folder)
        return self.work

    def _hand_over(self, folder: CellFolder) -> Future[None]:
        if self._pool is None or self._worker() is None:  # its pool may not know yet
            context = get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, initializer=_prepare_worker, initargs=self._settings)
            self._pid = self._pool.submit(os.getpid)
        return self._pool.submit(_work, folder.path)

    def ask_to_end(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _signal(self, number: int) -> None:
        if self._pool is not None:
            with suppress(BrokenProcessPool, ProcessLookupError):
                if worker := self._worker():
                    os.kill(worker, number)

    def _worker(self) -> int | None:
        """Its number, if it lives: else that may be another's by now."""
        worker = self._pid.result()
        return worker if worker in {child.pid for child in active_children()} else None


def gpus_of(slot: int, count: int) -> str | None:
    """The share of one of `count` slots of the GPUs that this process may see, as CUDA_VISIBLE_DEVICES names them.

    None where nvidia-smi shows none, and nothing is named: torch may see some all the same.
    """
    visible = len(machine.gpus())
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not visible:
        return allowed
    names = allowed.split(",")[:visible] if allowed else [str(number) for number in range(visible)]
    return ",".join(names[slot::count] or names[slot % visible :][:1])


def _prepare_worker(threads: int, gpus: str | None) -> None:
    launch.share_threads(threads)
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus
    for number in TERMINAL:  # it goes to all processes; the one that started them tells them what to do
        signal.signal(number, signal.SIG_IGN)
    several.end_with(os.getppid())


def _work(path: Path) -> None:
    with (
        explaining(path),
        (path / LOG).open("a", encoding="utf-8", errors="backslashreplace") as file,
        redirect_stdout(file),
        redirect_stderr(file),
    ):
        launch.work(CellFolder(path))
