"""The folder of a search. People may name any, so it may hold things of theirs: they are not touched."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.cells import layout
from lab.cells.record import read_search
from lab.errors import UsageError, WorkbenchError
from lab.files import remove_leftovers_of
from lab.locks import LOOK_SECONDS, held

ENTRY = b'{"op_code":'
"""What every entry of Optuna's journal begins with."""
LOOKED_AT = 1 << 20
"""Bytes of a journal in which there is an entry, if it is one."""


@contextmanager
def entered(folder: Path, *, named: bool, alone: bool) -> Iterator[None]:
    """Make the folder of a search, if it is not there, and be in it.

    Args:
        folder: the folder.
        named: whether people have named it, so that what is there may be theirs.
        alone: whether no other command may be in it; else several are, and write what they have found, whole.

    Raises:
        UsageError: a file of a search's name is there, and is none of a search's.
        WorkbenchError: another command is in it, or a file of the search's is a link.
    """
    folder.mkdir(parents=True, exist_ok=True)
    layout.check_plain_search(folder)
    if named:
        _check_free(folder)
    if not alone:
        yield
        return

    def busy() -> None:
        raise WorkbenchError(f"Another command is at work in {folder}: wait for it, or stop it.")

    with held(folder / layout.LOCK, LOOK_SECONDS, busy):
        remove_leftovers_of(folder, layout.WRITTEN_OF_SEARCH)
        yield


def _check_free(folder: Path) -> None:
    """Raise UsageError where a search would write over something else, which its own files would be."""
    if _has_search(folder):
        return
    for path in (folder / name for name in (*layout.WRITTEN_OF_SEARCH, layout.JOURNAL, layout.LOCK)):
        if path.exists() and not (path.name in (layout.LOCK, layout.JOURNAL) and _is_begun(path)):
            raise UsageError(f"{path} is there, and is no search's: move it, or name another folder.")


def _has_search(folder: Path) -> bool:
    """Whether a search is there: the cells of its trials, or its journal, of which a killed one may have one alone."""
    try:
        return bool(read_search(folder))
    except UsageError:
        journal = folder / layout.JOURNAL
        return journal.is_file() and ENTRY in _head(journal)


def _is_begun(path: Path) -> bool:
    """Whether a lock or a journal is one at its very beginning: nothing is in it, or a piece of an entry."""
    return path.is_file() and ENTRY.startswith(_head(path))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LOOKED_AT)
