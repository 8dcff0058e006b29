"""What lies in a runs folder: the studies, searches and cells, how far they are, and who needs what.

A study needs the cells of its plan, a search those of its trials, and a cell those that it reads.
"""

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from stat import S_ISLNK, S_ISREG
from typing import Any

from lab import locks
from lab.cells import layout
from lab.cells.events import last_progress
from lab.cells.folder import CellFolder
from lab.cells.record import read_record, read_search, read_study
from lab.errors import UsageError, WorkbenchError

MARKS = {"cell": layout.CONFIG, "study": layout.PLAN, "search": layout.SEARCH}
"""The file by which a folder is known for what it is."""


@dataclass(frozen=True)
class Run:
    """A cell's, a study's or a search's folder.

    Attributes:
        kind: `cell`, `study` or `search`.
        path: the folder.
        needs: the names of the cells that it needs.
        record: what is known of it; empty where its mark cannot be read.
    """

    kind: str
    path: Path
    needs: tuple[str, ...]
    record: dict[str, Any]

    @property
    def name(self) -> str:
        """How people call it: the cell's folder, or the study's name and the folder."""
        return self.path.name if self.kind == "cell" else f"{self.path.parent.name}/{self.path.name}"

    def files(self) -> dict[Path, os.stat_result]:
        """Every file in the folder, of a search's those that are its own; links are not followed."""
        found = {}
        for path in self._paths():
            with suppress(FileNotFoundError, PermissionError):  # a cell at work renames files, another user closes them
                found[path] = path.lstat()
        return {path: status for path, status in found.items() if S_ISREG(status.st_mode) or S_ISLNK(status.st_mode)}

    def _paths(self) -> Iterator[Path]:
        if self.kind == "search":
            yield from (self.path / name for name in layout.OF_SEARCH)
        else:
            yield from (Path(folder, name) for folder, _, names in os.walk(self.path) for name in names)

    def is_running(self) -> bool:
        """Whether a command is at work on it. In a search's folder, files that are called as locks may be people's."""
        keep = self.kind == "search"
        return locks.is_locked(self.path, keep=keep) or locks.is_at_work(self.path, keep=keep)


class Runs:
    """All that lies in a runs folder. It is looked through once."""

    def __init__(self, root: Path) -> None:
        """Look through `root`, which need not exist."""
        self.root = root
        self.studies = list(_open("study", layout.studies(self.root)))
        self.searches = list(_open("search", layout.searches(self.root)))
        self.cells = {run.path.name: run for run in _open("cell", layout.all_cells(self.root))}

    @property
    def all(self) -> list[Run]:
        """The studies, the searches, then the cells, by name."""
        return [*self.studies, *self.searches, *self.cells.values()]

    def get(self, folder: Path) -> Run:
        """The run of a folder.

        Raises:
            UsageError: it is none in this runs folder.
        """
        if run := self.find(folder):
            return run
        raise UsageError(
            f"{folder} is no study's or cell's folder in {self.root}: those are studies/NAME/HASH and cells/NAME there."
        )

    def find(self, folder: Path) -> Run | None:
        """The run of a folder; None where it is none in this runs folder."""
        return self._by_path.get(folder.resolve())

    @cached_property
    def _by_path(self) -> dict[Path, Run]:
        return {run.path.resolve(): run for run in self.all}

    @cached_property
    def _needers(self) -> dict[str, list[Run]]:
        """What needs each cell, by its name."""
        found = defaultdict[str, list[Run]](list)
        for run in self.all:
            for name in dict.fromkeys(run.needs):
                found[name].append(run)
        return found

    def state(self, run: Run) -> str:
        """`done`, `running`, `failed` or `unfinished`; `unreadable` where its mark is torn, closed or of another
        format.

        A study or search is running where a command is at work on it or on one of its cells, and has failed where a
        cell has.
        """
        if not run.record:
            return "unreadable"
        if run.kind != "cell" and run.is_running():
            return "running"
        if layout.is_done(run.path):
            return "done"
        if run.kind != "cell":
            states = {self.state(self.cells[name]) for name in run.needs if name in self.cells}
            return next((state for state in ("running", "failed") if state in states), "unfinished")
        if run.is_running():
            return "running"
        return "failed" if (run.path / layout.FAILED).exists() else "unfinished"

    def needed_by(self, cell: Run) -> list[Run]:
        """What needs a cell."""
        return [*self._needers.get(cell.path.name, ())] if cell.kind == "cell" else []

    def summary(self, run: Run) -> dict[str, Any]:
        """Kind, name, folder, state, age (seconds since the last writing) and size (bytes)."""
        files = run.files().values()
        written = max((file.st_mtime for file in files), default=time.time())
        return {
            "kind": run.kind,
            "name": run.name,
            "folder": str(run.path),
            "state": self.state(run),
            "age": round(max(0.0, time.time() - written)),
            "size": sum(file.st_size for file in files),
        }


def show_run(folder: Path) -> dict[str, Any]:
    """All that is known of a study's, a search's or a cell's folder, JSON-ready.

    Raises:
        UsageError: it is none of them.
    """
    runs = Runs(layout.root_of(folder))
    run = runs.find(folder) or next(_open("search", [folder.resolve()]), None)
    if run is None:
        raise UsageError(
            f"{folder} is no study's or cell's folder: those are studies/NAME/HASH and cells/NAME in a folder of runs."
        )
    of = {"cell": _of_cell, "study": _of_study, "search": _of_search}[run.kind]
    about = of(runs, run) if run.record else {}
    files = {str(path.relative_to(run.path)): file.st_size for path, file in sorted(run.files().items())}
    return {**runs.summary(run), **about, "files": files}


def cells_of(folder: Path) -> list[Path]:
    """The folders of the cells of a study or of a search.

    Raises:
        WorkbenchError: it is the folder of neither, or is damaged.
    """
    plan = read_search(folder) if layout.is_search(folder) else read_study(folder)
    return [layout.cell(layout.root_of(folder), name) for name in plan.cells]


def size_text(size: int) -> str:
    """A number of bytes as people read it: `532 B`, `1.4 MB`."""
    value, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def _open(kind: str, folders: Iterable[Path]) -> Iterator[Run]:
    """The runs among folders: those with the mark of one."""
    for path in folders:
        try:
            if not _is_there(path / MARKS[kind]):
                continue
            if kind == "study":
                study = read_study(path)
                yield Run(kind, path, tuple(study.cells), {"study": study.study, "settings": study.settings})
            elif kind == "search":
                search = read_search(path)
                yield Run(kind, path, tuple(search.cells), {"study": search.study})
            else:
                record = read_record(path)
                yield Run(kind, path, tuple(record["needs_folders"]), record)
        except (WorkbenchError, OSError):  # another user may have closed it
            yield Run(kind, path, (), {})


def _is_there(mark: Path) -> bool:
    """Whether there is a file, or a link; an OSError where nobody can tell."""
    try:
        mode = mark.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return S_ISREG(mode) or S_ISLNK(mode)


def _of_cell(runs: Runs, run: Run) -> dict[str, Any]:
    cell = CellFolder(run.path)
    return {
        "task": cell.task,
        "settings": cell.config,
        "local": cell.record["local"],
        "failure": str(cell.failure or "") or None,
        "seconds": cell.seconds if cell.done else None,
        "rows": len(cell.rows()),
        "progress": last_progress(cell.path).get("text"),
        "environment": cell.environment,
        "needs": _states(runs, run),
        "needed_by": [needer.name for needer in runs.needed_by(run)],
    }


def _of_study(runs: Runs, run: Run) -> dict[str, Any]:
    return {**run.record, "needs": _states(runs, run)}


def _of_search(runs: Runs, run: Run) -> dict[str, Any]:
    return {**run.record, "runs": str(runs.root), "needs": _states(runs, run)}


def _states(runs: Runs, run: Run) -> dict[str, str]:
    return {name: runs.state(runs.cells[name]) if name in runs.cells else "not there" for name in run.needs}
