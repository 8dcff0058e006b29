"""Folders that a command makes and has no use for: work that never began leaves nothing behind."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab import files, locks
from lab.cells import layout
from lab.cells.failure import read_failure
from lab.errors import DivergedError

BARE = {layout.CONFIG, layout.PLAN, layout.ENVIRONMENT, layout.EVENTS, layout.FAILED, layout.LOCK, layout.JOURNAL}
"""Files that tell of no work."""
MAYBE_EMPTY = {layout.ROWS, layout.LOG}
"""Files that tell of none where they are empty."""
PATIENCE = 1.0
"""Seconds to wait for a process that is ending."""


@contextmanager
def dropped_if_bare(folders: Iterable[Path]) -> Iterator[None]:
    """Remove those of the folders that are new and in which no work was done, if the block ends with an error."""
    new = [folder for folder in folders if not folder.exists()]
    try:
        yield
    except BaseException:
        for folder in new:
            with suppress(OSError, locks.Taken):
                _drop(folder)
        raise


def _drop(folder: Path) -> None:
    if not folder.exists():
        return
    with locks.exclusive(folder / layout.LOCK, PATIENCE):
        if locks.is_at_work(folder) or not _is_bare(folder):
            return
        for path in [path for path in folder.iterdir() if path.name != layout.LOCK]:
            files.remove(path)
    folder.rmdir()


def _is_bare(folder: Path) -> bool:
    """Whether no work was done: nothing was kept, and nothing was learned from how it failed."""
    failure = read_failure(folder)
    if failure and failure.kind == DivergedError.kind:
        return False
    found = list(folder.iterdir())
    return all(path.name in BARE or (path.name in MAYBE_EMPTY and not path.stat().st_size) for path in found)
