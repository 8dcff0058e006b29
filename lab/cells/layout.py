"""Where things lie below a folder of runs, and what the files of cells and studies are called.

runs/
    cells/LABEL-KEY/       one piece of work: lab.cells.folder
    studies/NAME/HASH/     one study: its plan and its report
    searches/NAME/HASH/    one search of settings
    timing.json            how long cells take here: lab.running.timing

`results`, which ships with the code, holds finished runs of others in the same way. Links below a folder of runs are
not followed, so that nothing else is read or written.
"""

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.errors import WorkbenchError
from lab.files import read_json, read_object, remove, write_json
from lab.registry import ROOT

CONFIG, PLAN, SEARCH = "config.json", "plan.json", "search.json"
ENVIRONMENT, EVENTS, ROWS, TABLE = "environment.json", "events.jsonl", "rows.jsonl", "rows.csv"
TIMING = "timing.json"
DONE, FAILED, TRACEBACK = "DONE", "FAILED", "traceback.txt"
LOCK, HEARTBEAT, LOG, JOB, JOURNAL = "lock", "heartbeat", "log.txt", "job.sh", "journal.log"
JOB_LOCK = f"{JOB}.lock"
"""Held by who puts a cell into a queue."""
JOURNAL_LOCK = f"{JOURNAL}.lock"
"""Optuna's, a link to the journal; nothing is read or written by it."""
CHECKPOINTS, SAMPLES, SNAPSHOTS, TRACKERS = "checkpoints", "samples", "snapshots", "trackers"

PUBLISHED = ROOT / "results"
"""Finished cells without their weights that ship with the code."""

ARTIFACTS = ("*.npz", f"{SAMPLES}/*.png")
WEIGHTS = f"{SNAPSHOTS}/*.safetensors"
"""What a cell keeps for other cells and for reports."""
KEPT_OF_CELL = (ENVIRONMENT, ROWS, *ARTIFACTS)
KEPT_OF_STUDY = (CONFIG, PLAN, DONE)
TRIALS, PRESET = "trials.csv", "preset.json"
KEPT_OF_SEARCH = (SEARCH, JOURNAL, TRIALS, PRESET, DONE)
"""What an export copies; of a cell, beside its settings and the mark of finished work."""
WRITTEN_OF_SEARCH = (SEARCH, TRIALS, PRESET, DONE)
"""Those of a search's files that are written aside first."""
OF_SEARCH = (*KEPT_OF_SEARCH, LOCK)
"""All that is a search's in its folder, where people may have things of their own."""
RUNS = "runs"
"""Of a search that lies elsewhere: its folder of runs, as the way there, so that both move together."""


def shipped() -> Path:
    """The folder of what ships with the code.

    Raises:
        WorkbenchError: this is a copy without it.
    """
    if not PUBLISHED.is_dir():
        hint = "install the workbench by `pip install -e .` in its own folder, which has what ships"
        raise WorkbenchError(f"There is nothing published in {PUBLISHED}: {hint}.")
    return PUBLISHED


def cells(root: Path) -> Path:
    """The folder of the cells."""
    return _below(root, "cells")


def all_cells(root: Path) -> list[Path]:
    """The folders of all cells."""
    return _folders(cells(root))


def cell(root: Path, name: str) -> Path:
    """The folder of the cell of a name."""
    return _below(root, "cells", name)


def study(root: Path, name: str, key: str) -> Path:
    """The folder of a study with settings of that key."""
    return _below(root, "studies", name, key)


def studies(root: Path) -> list[Path]:
    """The folders of all studies."""
    return [folder for name in _folders(_below(root, "studies")) for folder in _folders(name)]


def search(root: Path, name: str, key: str) -> Path:
    """The folder of a search with settings of that key."""
    return _below(root, "searches", name, key)


def searches(root: Path) -> list[Path]:
    """The folders of all searches."""
    return [folder for name in _folders(_below(root, "searches")) for folder in _folders(name)]


def own(path: Path) -> Path:
    """A path below a folder of runs, if it is no link, which may lead out of it.

    Raises:
        WorkbenchError: it is one.
    """
    if path.is_symlink():
        raise WorkbenchError(f"{path} is a link, and is not followed: put what it leads to there.")
    return path


def _below(root: Path, *names: str) -> Path:
    for name in names:
        root = own(root / name)
    return root


def _folders(place: Path) -> list[Path]:
    """Those in a place, which need not be there; links are none.

    Raises:
        OSError: it cannot be listed, as what another user has closed.
    """
    try:
        with os.scandir(place) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []


def check_plain(folder: Path) -> None:
    """Look through the folder of a cell or of a study. What trackers keep there is theirs, and is not read.

    Raises:
        WorkbenchError: it holds a link, by which something outside would be read or written, a pipe or a device.
    """
    left = [folder]
    while left:
        with suppress(OSError), os.scandir(left.pop()) as entries:  # a cell at work renames and removes folders
            for entry in entries:
                if entry.name.startswith(JOURNAL_LOCK):
                    continue
                _check_entry(entry)
                if entry.is_dir() and entry.name != TRACKERS:
                    left.append(Path(entry.path))


def check_plain_search(folder: Path) -> None:
    """Look at what is a search's in its folder, and at nothing else there.

    Raises:
        WorkbenchError: one of its files is a link, a pipe or a device.
    """
    for path in (folder / name for name in OF_SEARCH):
        if os.path.lexists(path):
            _check_entry(path)


def _check_entry(entry: os.DirEntry[str] | Path) -> None:
    if entry.is_symlink():
        own(Path(entry))
    if not (entry.is_file() or entry.is_dir()):
        raise WorkbenchError(f"{Path(entry)} is no plain file, and is not read: remove it.")


def root_of(folder: Path) -> Path:
    """The folder of runs that a run's folder lies in, or that a search elsewhere names.

    Where the path is too short, it is the folder of the path that is nearest to it.
    """
    path = folder.resolve()
    named = named_by(path) if is_search(path) else None
    above = [*path.parents] or [path]
    return named or above[min(2 if is_study(path) or is_search(path) else 1, len(above) - 1)]


def named_by(search: Path) -> Path | None:
    """The folder of runs that a search's folder names; None where it names none, or nothing that can be one."""
    with suppress(OSError, ValueError):
        way = read_object(search / SEARCH).get(RUNS)
        if isinstance(way, str) and way:
            return (search / way).resolve()
    return None


def naming(search: Path, root: Path) -> dict[str, str]:
    """What a search is to say of its folder of runs: the way there, unless it lies where searches do."""
    path, root = search.resolve(), root.resolve()
    return {} if path.parent.parent == root / "searches" else {RUNS: os.path.relpath(root, path)}


def is_done(folder: Path) -> bool:
    """Whether the work of a folder is finished: without this mark it is not, whatever is in it."""
    return (folder / DONE).exists()


def is_cell(folder: Path) -> bool:
    """Whether a folder looks like a cell's."""
    return (folder / CONFIG).is_file()


def is_study(folder: Path) -> bool:
    """Whether a folder looks like a study's."""
    return (folder / PLAN).is_file()


def is_search(folder: Path) -> bool:
    """Whether a folder looks like a search's."""
    return (folder / SEARCH).is_file()


def mark(folder: Path, end: dict[str, Any]) -> None:
    """Mark the work of a folder as finished, with what is to be known of its end."""
    write_json(folder / DONE, end)


def end_of(folder: Path) -> dict[str, Any]:
    """What the finished work of a cell was marked with: its `seconds`, and the hash of its `rows`.

    Raises:
        WorkbenchError: the mark is damaged.
    """
    problem = "damaged (DONE): remove it, and have it made anew"
    end = read_json(folder / DONE, problem)
    seconds, rows = end.get("seconds"), end.get("rows")
    if not (isinstance(seconds, int | float) and 0 <= seconds < math.inf and isinstance(rows, str)):
        raise WorkbenchError(f"{folder} is {problem}.")
    return end


def unmark(folder: Path) -> None:
    """Take the mark of finished work away."""
    remove(folder / DONE)
