"""Locks in the folder of a run. The system frees one when the process that holds it ends, however it ends.

`lock` is held by the one process that writes. Every command that is at work there, of which any number may be while
they wait for one another or do other cells, holds one of `at-work-1`, `at-work-2`, ...
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

LOOK_SECONDS = 1.0
"""A lock that is held for less is one that somebody looks at, not one that somebody works under."""


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Let others see, for as long as the block runs, that this command is at work in a folder."""
    for number in count(1):
        lock = FileLock(folder / f"at-work-{number}")
        with suppress(Timeout):
            lock.acquire(timeout=0)
            break
    try:
        yield
    finally:
        lock.release()


@contextmanager
def held(lock: Path, patience: float, busy: Callable[[], None]) -> Iterator[None]:
    """Hold a lock; while another process does, wait.

    Args:
        lock: its file.
        patience: seconds before `busy` is called, which may say so, or raise an error.
        busy: called once, if the lock is not free by then.
    """
    holder = FileLock(lock)
    try:
        holder.acquire(timeout=patience)
    except Timeout:
        busy()
        holder.acquire()
    try:
        yield
    finally:
        holder.release()


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock of a folder. It is taken for a moment to find out."""
    return _is_held(folder / "lock")


def is_at_work(folder: Path) -> bool:
    """Whether some command says so by `at_work`; one that was killed does not."""
    return any(_is_held(path) for path in folder.glob("at-work-*"))


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder that may not be written to has nobody at work in it
        return False
