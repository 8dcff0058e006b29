"""Doing a cell from this process: hold its lock, record the environment, run its task, mark the end."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import locks, registry
from lab.cells import environment, layout
from lab.cells.failure import failure_of, forget_failure, keep_failure
from lab.cells.folder import CellFolder
from lab.cells.heartbeat import beating
from lab.errors import WorkbenchError, say
from lab.files import explaining, gone, remove_leftovers, sync_file, write_json
from lab.processes import rank, world_size


def work(folder: CellFolder) -> None:
    """Do the cell, or find it done.

    Where several processes do it together, the first one holds the lock and writes, and the others only work.

    Raises:
        WorkbenchError: the work failed; `FAILED` keeps the message, and `traceback.txt` tells where, unless the message
            says it all. Or there are more or fewer processes than the cell wants, another command has taken it just
            now, it was removed meanwhile, or it was planned by another version of the code.
    """
    if world_size() != folder.processes:
        raise WorkbenchError(f"{folder.path} wants {folder.processes} processes, and {world_size()} came.")
    if folder.done:
        return
    if rank():
        _run(folder)
        return
    with explaining(folder.path), alone(folder, wait=world_size() == 1):
        if folder.done and world_size() > 1:  # the others are at work already, and would wait for this one
            raise WorkbenchError(f"{folder.path} has been finished by another command meanwhile.")
        if folder.done:
            return
        if not layout.is_cell(folder.path):  # removed while this one waited
            raise gone(folder.path)
        remove_leftovers(folder.path)
        if world_size() == 1:
            forget_failure(folder.path)
        write_json(folder.path / layout.ENVIRONMENT, environment.describe(folder.config))
        start = time.monotonic()
        with beating(folder.path), _staying(folder.path):
            _run(folder)
        folder.note(**environment.products() | folder.environment)  # a training has told its own
        if changed := environment.changed():
            folder.note(**changed)
            folder.warn("the workbench's code has been changed since this command began: it is recorded as dirty.")
        forget_failure(folder.path)  # left by a process of another command, which came too late
        sync_file(folder.path / layout.ROWS)
        folder.mark_done(time.monotonic() - start)


@contextmanager
def alone(folder: CellFolder, *, wait: bool = True) -> Iterator[None]:
    """Hold the cell's lock; while another process does, wait and say so.

    Raises:
        WorkbenchError: another process holds it, for longer than a look takes, and there is to be no waiting.
    """

    def busy() -> None:
        if not wait:
            raise WorkbenchError(f"{folder.path} has been taken by another command meanwhile.")
        say(f"{folder.label}: another process is at work on it; waiting for that to end.")

    with locks.held(folder.path / layout.LOCK, locks.LOOK_SECONDS, busy):
        yield


@contextmanager
def _staying(folder: Path) -> Iterator[None]:
    """Whoever removes a folder at which work goes on leaves what the work writes after that, which is not all of it.

    Raises:
        WorkbenchError: at the end of the block the folder is not the one whose lock is held.
    """
    lock = folder / layout.LOCK
    own = lock.stat()
    yield
    if not (lock.exists() and os.path.samestat(lock.stat(), own)):
        raise gone(folder)


def _run(folder: CellFolder) -> None:
    try:
        with explaining(folder.path):
            _check_versions(folder)
            folder.keep_rows([])  # of an attempt that was broken off; a training finds its own in its checkpoint
            registry.load("tasks", folder.task).run(folder)
    except Exception as error:
        failure = failure_of(error, folder.path)
        keep_failure(folder.path, failure, error)
        if isinstance(error, WorkbenchError):
            raise
        raise WorkbenchError(failure.message) from error


def _check_versions(folder: CellFolder) -> None:
    for entry, planned in folder.versions.items():
        here = registry.version(entry)
        if here != planned:
            raise WorkbenchError(
                f"{folder.path} was planned with version {planned} of {entry}, and this is version {here}: "
                "the command that planned it makes a new one."
            )
