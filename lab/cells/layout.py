"""Where things lie below a folder of runs, and what the files of a run are called: no other module knows names.

runs/
    cells/LABEL-KEY/       one piece of work: lab.cells.folder
    studies/NAME/HASH/     one study: its plan and its report
    searches/NAME/HASH/    one search of settings

`results`, which ships with the code, holds finished runs of others in the same way.
"""

from pathlib import Path

from lab.registry import ROOT

CONFIG, PLAN = "config.json", "plan.json"
ENVIRONMENT, EVENTS, ROWS = "environment.json", "events.jsonl", "rows.jsonl"
DONE, FAILED, TRACEBACK = "DONE", "FAILED", "traceback.txt"
LOCK, LOG = "lock", "log.txt"
CHECKPOINTS, SAMPLES, SNAPSHOTS = "checkpoints", "samples", "snapshots"

PUBLISHED = ROOT / "results"
"""Finished cells without their weights that ship with the code."""

KEPT_OF_CELL = (CONFIG, ENVIRONMENT, ROWS, DONE, "*.npz", f"{SAMPLES}/*.png")
KEPT_OF_STUDY = (CONFIG, PLAN, DONE)
"""What an export copies."""


def cells(root: Path) -> Path:
    """The folder of the cells."""
    return root / "cells"


def study(root: Path, name: str, key: str) -> Path:
    """The folder of a study with settings of that key."""
    return root / "studies" / name / key


def studies(root: Path) -> list[Path]:
    """The folders of all studies."""
    return sorted(root.glob("studies/*/*"))


def search(root: Path, name: str, key: str) -> Path:
    """The folder of a search with settings of that key."""
    return root / "searches" / name / key


def root_of_study(folder: Path) -> Path:
    """The folder of runs that a study's folder lies in.

    Raises:
        IndexError: it lies too near the root of the file system to be one.
    """
    return folder.resolve().parents[2]


def root_of(folder: Path) -> Path:
    """The folder of runs that a study's or a cell's folder lies in, as far as the path tells."""
    parents = folder.resolve().parents
    of_study = len(parents) > 2 and parents[1].name == "studies" and parents[0].name != "cells"
    return parents[2] if of_study else parents[min(1, len(parents) - 1)]


def is_done(folder: Path) -> bool:
    """Whether the work of a folder is finished: without this mark it is not, whatever is in it."""
    return (folder / DONE).exists()


def is_cell(folder: Path) -> bool:
    """Whether a folder looks like a cell's."""
    return (folder / CONFIG).is_file()


def is_study(folder: Path) -> bool:
    """Whether a folder looks like a study's."""
    return (folder / PLAN).is_file()


def unmark(folder: Path) -> None:
    """Take the mark of finished work away."""
    (folder / DONE).unlink(missing_ok=True)
