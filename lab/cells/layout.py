"""Where things lie below a folder of runs, and what the files of cells and studies are called.

runs/
    cells/LABEL-KEY/       one piece of work: lab.cells.folder
    studies/NAME/HASH/     one study: its plan and its report
    searches/NAME/HASH/    one search of settings

`results`, which ships with the code, holds finished runs of others in the same way.
"""

from pathlib import Path
from typing import Any

from lab.files import read_json, write_json
from lab.registry import ROOT

CONFIG, PLAN = "config.json", "plan.json"
ENVIRONMENT, EVENTS, ROWS, TABLE = "environment.json", "events.jsonl", "rows.jsonl", "rows.csv"
DONE, FAILED, TRACEBACK = "DONE", "FAILED", "traceback.txt"
LOCK, LOG = "lock", "log.txt"
CHECKPOINTS, SAMPLES, SNAPSHOTS = "checkpoints", "samples", "snapshots"

PUBLISHED = ROOT / "results"
"""Finished cells without their weights that ship with the code."""

ARTIFACTS = ("*.npz", f"{SAMPLES}/*.png")
WEIGHTS = f"{SNAPSHOTS}/*.safetensors"
"""What a cell keeps for other cells and for reports."""
KEPT_OF_CELL = (ENVIRONMENT, ROWS, *ARTIFACTS)
KEPT_OF_STUDY = (CONFIG, PLAN, DONE)
"""What an export copies; of a cell, beside its settings and the mark of finished work."""


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


def root_of(folder: Path) -> Path:
    """The folder of runs that a study's or a cell's folder lies in; the nearest to it where the path is too short."""
    path = folder.resolve()
    above = [*path.parents] or [path]
    return above[min(2 if is_study(path) else 1, len(above) - 1)]


def is_done(folder: Path) -> bool:
    """Whether the work of a folder is finished: without this mark it is not, whatever is in it."""
    return (folder / DONE).exists()


def is_cell(folder: Path) -> bool:
    """Whether a folder looks like a cell's."""
    return (folder / CONFIG).is_file()


def is_study(folder: Path) -> bool:
    """Whether a folder looks like a study's."""
    return (folder / PLAN).is_file()


def mark(folder: Path, end: dict[str, Any]) -> None:
    """Mark the work of a folder as finished, with what is to be known of its end."""
    write_json(folder / DONE, end)


def end_of(folder: Path) -> dict[str, Any]:
    """What finished work was marked with.

    Raises:
        WorkbenchError: the mark cannot be read.
    """
    return read_json(folder / DONE, "damaged (DONE): remove it, and have it made anew")


def unmark(folder: Path) -> None:
    """Take the mark of finished work away."""
    (folder / DONE).unlink(missing_ok=True)
