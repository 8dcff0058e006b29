"""Folders that a command makes and has no use for: work that never began leaves nothing behind."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab import files, locks
from lab.cells import layout
from lab.cells.failure import read_failure
from lab.cells.record import read_study
from lab.cells.runs import cells_of
from lab.errors import DivergedError, WorkbenchError

BARE = {layout.CONFIG, layout.PLAN, layout.SEARCH, layout.ENVIRONMENT, layout.EVENTS, layout.FAILED, layout.LOCK}
BARE |= {layout.JOURNAL}
"""Files that tell of no work."""
MAYBE_EMPTY = {layout.ROWS, layout.LOG}
"""Files that tell of none where they are empty."""
PATIENCE = 1.0
"""Seconds to wait for a process that is ending."""


@contextmanager
def dropped_if_bare(folders: Iterable[Path]) -> Iterator[None]:
    """Remove those of the folders that are new and in which no work was done, if the block ends with an error.

    The folders that they are in go with them where those are new, too, and empty. The cells of a study at which another
    command is at work are left to that.
    """
    new = [folder for folder in folders if not folder.exists()]
    around = sorted({above for folder in new for above in folder.parents if not above.exists()}, reverse=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # what another user has closed may want any of them
            wanted = {name for root in {*map(layout.root_of, new)} for name in _wanted(root)}
            for folder in new:
                if folder.name not in wanted:
                    with suppress(OSError, locks.Taken):
                        _drop(folder)
        for folder in around:  # what is within another comes first
            with suppress(OSError):  # it is not empty
                folder.rmdir()
        raise


def _wanted(root: Path) -> Iterator[str]:
    """The cells of the studies below a folder of runs at which some command is at work."""
    for study in layout.studies(root):
        if locks.is_at_work(study):
            with suppress(WorkbenchError):  # what cannot be read goes on with nothing
                yield from read_study(study).cells


def _drop(folder: Path) -> None:
    if not folder.exists():
        return
    with locks.exclusive(folder / layout.LOCK, PATIENCE):
        if locks.is_at_work(folder) or not _is_bare(folder) or _is_queued(folder):
            return
        for path in [path for path in folder.iterdir() if path.name != layout.LOCK]:
            files.remove(path)
    folder.rmdir()


def _is_queued(folder: Path) -> bool:
    """Whether cells of a study or of a search were put into a queue, where they may be still."""
    try:
        return any((cell / layout.JOB).exists() for cell in cells_of(folder))
    except WorkbenchError:  # it is a cell's folder
        return False


def _is_bare(folder: Path) -> bool:
    """Whether no work was done: nothing was kept, and nothing was learned from how it failed."""
    failure = read_failure(folder)
    if failure and failure.kind == DivergedError.kind:
        return False
    found = list(folder.iterdir())
    return all(path.name in BARE or (path.name in MAYBE_EMPTY and not path.stat().st_size) for path in found)
