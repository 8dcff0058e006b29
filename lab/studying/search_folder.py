"""The folder of a search. People may name any, so it may hold things of theirs: they are not touched.

An empty `lock`, `at-work-1` or `journal.log` alone cannot be told from what a killed command leaves, and is taken for
that.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISLNK, S_ISREG
from typing import Any

from lab.cells import layout
from lab.cells.record import IDENTITY, search_in
from lab.errors import UsageError, WorkbenchError
from lab.files import remove_leftovers_of
from lab.hashing import content_hash
from lab.locks import AT_WORK, LOOK_SECONDS, at_work, held
from lab.studying.journal import ANOTHER, difference, identity_in

ENTRY = b'{"op_code":'
"""What every entry of Optuna's journal begins with, and so the journal."""


@contextmanager
def entered(folder: Path, *, named: bool, alone: bool) -> Iterator[None]:
    """Make the folder of a search, if it is not there, and be in it.

    Args:
        folder: the folder.
        named: whether people have named it, so that what is there may be theirs.
        alone: whether no other command may be in it; else several are, and write what they have found, whole. Each says
            that it is at work there, so that one that fails at its beginning leaves the folder to the others.

    Raises:
        UsageError: a file of a search's name is there, and is none of a search's.
        WorkbenchError: another command is in it, or a file of the search's is a link.
    """
    folder.mkdir(parents=True, exist_ok=True)
    layout.check_plain_search(folder)
    if named:
        _check_free(folder, [] if alone else [path for path in folder.iterdir() if AT_WORK.fullmatch(path.name)])
    if not alone:
        with at_work(folder):
            yield
        return

    def busy() -> None:
        raise WorkbenchError(f"Another command is at work in {folder}: wait for it, or stop it.")

    with held(folder / layout.LOCK, LOOK_SECONDS, busy):
        remove_leftovers_of(folder, layout.WRITTEN_OF_SEARCH)
        yield


def check_same(folder: Path, identity: dict[str, Any]) -> None:
    """Compare what is to be searched with what the journal and the plan in a folder tell, if they do.

    Raises:
        UsageError: that is another search.
    """
    identity = json.loads(json.dumps(identity))
    there, plan = identity_in(folder), search_in(folder) or {}
    study, known = plan.get("study"), plan.get(IDENTITY)
    if there is not None and there != identity:
        raise UsageError(ANOTHER.format(folder, difference(there, identity)))
    if isinstance(study, str) and study != identity["study"]:
        raise UsageError(ANOTHER.format(folder, difference({**identity, "study": study}, identity)))
    if isinstance(known, str) and known != content_hash(identity):
        raise UsageError(ANOTHER.format(folder, "of other settings, or by another version of the code"))


def _check_free(folder: Path, marks: Iterable[Path]) -> None:
    """Raise UsageError where a search would write over something else, which its own files would be, `marks` of
    commands at work among them."""
    searched = search_in(folder) is not None or _head(folder / layout.JOURNAL) == ENTRY
    for path in (*(folder / name for name in (*layout.OF_SEARCH, layout.JOURNAL_LOCK)), *marks):
        if not _is_own(path, searched):
            raise UsageError(f"{path} is there, and is no search's: move it, or name another folder.")


def _is_own(path: Path, searched: bool) -> bool:
    """Whether nothing is there, or what can be the search's: a journal and locks by what is in them, for a command that
    was killed at its beginning leaves nothing else; the others where a search is."""
    with suppress(FileNotFoundError):  # a command at work there removes its locks
        found = path.lstat()
        if path.name == layout.JOURNAL_LOCK:
            return S_ISLNK(found.st_mode) and path.readlink().name == layout.JOURNAL
        empty = not found.st_size
        told = {layout.LOCK: empty, layout.JOURNAL: ENTRY.startswith(_head(path))}
        return S_ISREG(found.st_mode) and told.get(path.name, empty if AT_WORK.fullmatch(path.name) else searched)
    return True


def _head(path: Path) -> bytes:
    """As much of a file as an entry begins with; nothing where there is none."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(len(ENTRY))
