"""Locks in the folder of a run. The system frees one when the process that holds it ends, however it ends.

`lock` is held by the one process that writes. Every command that is at work there, of which any number may be while
they wait for one another or do other cells, holds one of `at-work-1`, `at-work-2`, ...

The file of a lock is there for as long as it is held: who frees it removes it first. Who had opened it by then gets a
lock on a file that is gone, which `filelock` notices, and tries again.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

LOOK_SECONDS = 1.0
"""A lock that is held for less is one that somebody looks at, not one that somebody works under."""
FOREVER = -1.0
AT_WORK = re.compile(r"at-work-\d+")
PAUSE_SECONDS = 0.02
"""How long to wait between two tries."""


class Taken(Exception):
    """Another process, or another part of this one, holds the lock."""


@contextmanager
def exclusive(lock: Path, patience: float = FOREVER, *, keep: bool = False) -> Iterator[None]:
    """Hold a lock.

    Args:
        lock: its file, in a folder that is there.
        patience: seconds to wait for whoever holds it.
        keep: whether its file stays, as it may be none of ours; one with something in it is none, and stays.

    Raises:
        Taken: it is not free by then.
        OSError: the folder is gone, cannot be written, or its file system has no locks.
    """
    if not lock.parent.is_dir():  # the library would make it, though somebody has removed it
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(lock.parent))
    holder = FileLock(lock, thread_local=False)
    try:
        holder.acquire(patience, PAUSE_SECONDS)
    except Timeout:
        raise Taken(f"{lock} is held by another process.") from None
    own = lock.stat()
    try:
        yield
    finally:
        with suppress(OSError):  # the folder may be gone, or have become read-only
            if not (keep or own.st_size) and os.path.samestat(lock.stat(), own):
                lock.unlink()
        holder.release()


@contextmanager
def held(lock: Path, patience: float, busy: Callable[[], None]) -> Iterator[None]:
    """Hold a lock; while another process does, wait.

    Args:
        lock: its file.
        patience: seconds before `busy` is called, which may say so, or raise an error.
        busy: called once, if the lock is not free by then.
    """
    with ExitStack() as holding:
        try:
            holding.enter_context(exclusive(lock, patience))
        except Taken:
            busy()
            holding.enter_context(exclusive(lock))
        yield


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Let others see, for as long as the block runs, that this command is at work in a folder."""
    with ExitStack() as holding:
        for number in count(1):
            with suppress(Taken):
                holding.enter_context(exclusive(folder / f"at-work-{number}", 0))
                break
        yield
    is_at_work(folder)  # a look removes what dead commands left


def is_locked(folder: Path, *, keep: bool = False) -> bool:
    """Whether a process holds the lock of a folder. It is taken for a moment to find out.

    With `keep`, a file of that name that nobody holds stays: in a folder of people's it may be theirs.
    """
    return _is_held(folder / "lock", keep=keep)


def is_at_work(folder: Path, *, keep: bool = False) -> bool:
    """Whether some command says so by `at_work`; one that was killed does not. `keep` is as in `is_locked`."""
    looks = [_is_held(path, keep=keep) for path in folder.glob("at-work-*") if AT_WORK.fullmatch(path.name)]
    return any(looks)


def _is_held(path: Path, *, keep: bool = False) -> bool:
    """Whether a lock is held; what a dead process left of one is removed, unless it is to be kept."""
    if not path.exists():
        return False
    try:
        with exclusive(path, 0, keep=keep):
            return False
    except Taken:
        return True
    except OSError:  # another user's, or on a disk that is read-only here
        return _is_seen_held(path)


def _is_seen_held(path: Path) -> bool:
    """Whether a lock is held that cannot be taken here: where it can be shared, nobody holds it."""
    if os.name != "posix":
        return False
    import fcntl

    with suppress(OSError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
