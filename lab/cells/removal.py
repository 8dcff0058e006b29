"""Removing runs that nobody needs.

A study's or a search's folder goes with those of its cells that nothing left behind needs; what people have put beside
a search stays, and its folder with it. Nothing is removed that something left behind needs, at which a command is at
work, or that is no run's.
"""

import errno
from collections.abc import Iterable
from contextlib import suppress
from graphlib import TopologicalSorter
from pathlib import Path

from lab import files, locks
from lab.cells import layout
from lab.cells.runs import MARKS, Run, Runs
from lab.errors import WorkbenchError


def to_remove(runs: Runs, folders: Iterable[Path]) -> list[Run]:
    """What removing these folders takes.

    Returns:
        The runs, each before those that it needs.

    Raises:
        UsageError: one is no run's folder in this runs folder.
        WorkbenchError: a cell is needed by something that stays, or may be, for that cannot be read; or one is at work.
    """
    named = [runs.get(folder) for folder in folders]
    asked = {run.path for run in named}
    taken = {run.path: run for run in [*named, *_cells_of(runs, named)]}
    while kept := [run for run in taken.values() if run.path not in asked and _staying(runs, run, taken)]:
        for run in kept:
            del taken[run.path]
    _refuse_needed(runs, taken)
    for run in taken.values():
        if run.is_running():
            raise WorkbenchError(f"{run.name} is at work: stop that first.")
    return _ordered(taken)


def remove(root: Path, taken: Iterable[Run]) -> None:
    """Remove what `to_remove` found below `root`, in that order. A folder that is cut off half-way is not done any
    more, and can be removed again.

    Raises:
        WorkbenchError: meanwhile something else needs one, or a command is at work on it; those before it are gone.
    """
    found = {run.path: run for run in taken}
    _refuse_needed(Runs(root), found)
    for run in found.values():
        try:
            with locks.exclusive(run.path / layout.LOCK, 0):
                if locks.is_at_work(run.path):  # a look removes what killed workers left
                    raise locks.Taken
                _empty(run)
        except locks.Taken:
            raise WorkbenchError(f"{run.name} has been taken up meanwhile: stop that first.") from None
        except FileNotFoundError:
            if run.path.exists():
                raise
            continue  # somebody else has removed it
        _remove_emptied(run)


def _refuse_needed(runs: Runs, taken: dict[Path, Run]) -> None:
    unreadable = [run for run in runs.all if not run.record and run.path not in taken]
    for run in taken.values():
        for needer in _staying(runs, run, taken)[:1]:
            raise WorkbenchError(f"{run.name} is needed by {needer.name}: remove that first, or both at once.")
        if unreadable and run.kind == "cell":
            needer = unreadable[0]
            raise WorkbenchError(
                f"{needer.name} cannot be read, and may need {run.name}: remove that first, or both at once."
            )


def _cells_of(runs: Runs, named: Iterable[Run]) -> list[Run]:
    """The cells that the studies and searches among `named` need, and what those need in turn."""
    found: dict[str, Run] = {}
    left = [name for run in named if run.kind != "cell" for name in run.needs]
    while left:
        name = left.pop()
        if name in runs.cells and name not in found:
            found[name] = runs.cells[name]
            left += runs.cells[name].needs
    return list(found.values())


def _staying(runs: Runs, run: Run, taken: dict[Path, Run]) -> list[Run]:
    """What needs a run and is not taken."""
    return [needer for needer in runs.needed_by(run) if needer.path not in taken]


def _ordered(taken: dict[Path, Run]) -> list[Run]:
    """The studies and searches, then the cells, each before those that it needs."""
    cells = {run.path.name: run for run in taken.values() if run.kind == "cell"}
    needs = {name: [need for need in run.needs if need in cells] for name, run in cells.items()}
    needs_first = [cells[name] for name in TopologicalSorter(needs).static_order()]
    return [*(run for run in taken.values() if run.kind != "cell"), *reversed(needs_first)]


def _empty(run: Run) -> None:
    """`DONE` goes first, so that a half-removed folder is not taken for a whole one; the mark goes last.

    The lock, which is held, is left to its holder.
    """
    layout.unmark(run.path)
    others = (path for path in run.path.iterdir() if path.name != layout.LOCK)
    if run.kind == "search":
        files.remove_leftovers_of(run.path, layout.WRITTEN_OF_SEARCH)
        others = (run.path / name for name in (*layout.KEPT_OF_SEARCH, layout.JOURNAL_LOCK))
    for path in sorted(others, key=lambda path: path.name == MARKS[run.kind]):
        files.remove(path)


def _remove_emptied(run: Run) -> None:
    """Remove a folder that was emptied, and with the last study or search of a name that of the name."""
    if run.kind == "search" and any(run.path.iterdir()):
        return
    try:
        run.path.rmdir()
    except OSError as error:  # a command that had waited for its lock begins it anew, or looks at it
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise
    if run.kind != "cell":
        with suppress(OSError):  # others of that name are left
            run.path.parent.rmdir()
