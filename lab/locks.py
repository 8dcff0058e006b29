"""Locks in the folder of a run. The system frees one when the process that holds it ends, however it ends.

`lock` is held by the one process that writes. Every command that is at work there, of which any number may be while
they wait for one another or do other cells, holds one of `at-work-1`, `at-work-2`, ...

The file of a lock is there for as long as it is held: who frees it removes it first. Who had opened it by then gets a
lock on a file that is gone, sees that the path does not lead there any more, and tries again.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

LOOK_SECONDS = 1.0
"""A lock that is held for less is one that somebody looks at, not one that somebody works under."""
PAUSE_SECONDS = 0.02
"""How long to wait between two tries."""


class Taken(Exception):
    """Another process, or another part of this one, holds the lock."""


@contextmanager
def exclusive(lock: Path, patience: float = math.inf) -> Iterator[None]:
    """Hold a lock.

    Args:
        lock: its file, in a folder that is there.
        patience: seconds to wait for whoever holds it.

    Raises:
        Taken: it is not free by then.
        OSError: the folder cannot be written, or its file system has no locks.
    """
    free = _wait(lock, patience)
    if free is None:
        raise Taken(f"{lock} is held by another process.")
    try:
        yield
    finally:
        free()


@contextmanager
def held(lock: Path, patience: float, busy: Callable[[], None]) -> Iterator[None]:
    """Hold a lock; while another process does, wait.

    Args:
        lock: its file.
        patience: seconds before `busy` is called, which may say so, or raise an error.
        busy: called once, if the lock is not free by then.
    """
    free = _wait(lock, patience)
    if free is None:
        busy()
        free = _wait(lock, math.inf)
    assert free is not None
    try:
        yield
    finally:
        free()


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Let others see, for as long as the block runs, that this command is at work in a folder."""
    free = next(found for number in count(1) if (found := _take(folder / f"at-work-{number}")))
    try:
        yield
    finally:
        free()
        is_at_work(folder)  # a look removes what dead commands left


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock of a folder. It is taken for a moment to find out."""
    return _is_held(folder / "lock")


def is_at_work(folder: Path) -> bool:
    """Whether some command says so by `at_work`; one that was killed does not."""
    looks = [_is_held(path) for path in folder.glob("at-work-*")]
    return any(looks)


def _is_held(path: Path) -> bool:
    """Whether a lock is held; what a dead process left of one is removed."""
    try:
        free = _take(path, make=False)
    except OSError:  # there is none, or a folder that may not be written to, which has nobody at work in it
        return False
    if free is None:
        return True
    free()
    return False


def _wait(path: Path, patience: float) -> Callable[[], None] | None:
    """Take a lock as soon as it is free: what frees it again, or None if it is not free in so many seconds."""
    end = time.monotonic() + patience
    while (free := _take(path)) is None and time.monotonic() < end:
        time.sleep(PAUSE_SECONDS)
    return free


if sys.platform == "win32":
    from filelock import FileLock, Timeout

    def _take(path: Path, make: bool = True) -> Callable[[], None] | None:
        """Take a lock if it is free. Its file, which the system keeps while it is open, goes when it is freed."""
        lock = FileLock(path if make else path.resolve(strict=True))
        with suppress(Timeout):
            lock.acquire(timeout=0)
            return lock.release
        return None

else:
    import fcntl

    def _take(path: Path, make: bool = True) -> Callable[[], None] | None:
        """Take a lock if it is free.

        Args:
            path: its file.
            make: make it if it is not there.

        Returns:
            What frees the lock, or None if another holds it.
        """
        while True:
            descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if make else 0), 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _leads_to(path, descriptor):
                    return lambda: _free(path, descriptor)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # its holder has removed it meanwhile

    def _free(path: Path, descriptor: int) -> None:
        """Remove the file of a lock, unless the path is another's by now, and then let the next one have it."""
        try:
            if _leads_to(path, descriptor):
                with suppress(OSError):  # the folder may have become read-only
                    path.unlink()
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # also for a child that was forked meanwhile
        finally:
            os.close(descriptor)

    def _leads_to(path: Path, descriptor: int) -> bool:
        """Whether a path is that of an open file."""
        try:
            return os.path.samestat(path.stat(), os.fstat(descriptor))
        except FileNotFoundError:
            return False
