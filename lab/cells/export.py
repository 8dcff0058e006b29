"""Copying finished work without its weights, to be kept and shared."""

import json
from collections.abc import Iterable
from pathlib import Path

from lab.cells.folder import CellFolder
from lab.errors import UsageError, WorkbenchError
from lab.files import atomic_write, write_json

CELL_FILES = ("config.json", "environment.json", "rows.jsonl", "DONE", "*.npz", "samples/*.png")
STUDY_FILES = ("config.json", "plan.json", "DONE")


def export(folder: Path, target: Path) -> Path:
    """Copy a finished cell, or a study and its finished cells, below `target`; a report is drawn anew from there.

    Returns:
        The copied folder.

    Raises:
        UsageError: the folder is no study's and no cell's.
        WorkbenchError: the cell is not finished, or the target holds something else under a cell's name.
    """
    if (folder / "plan.json").is_file():
        return _export_study(folder.resolve(), target)
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder} is no study's folder and no cell's; a study's looks like runs/studies/NAME/HASH.")
    if not CellFolder(folder).done:
        raise WorkbenchError(f"{folder} is not finished: snnl cell {folder} goes on with it.")
    return _export_cell(folder.resolve(), target)


def _export_study(folder: Path, target: Path) -> Path:
    try:
        names = json.loads((folder / "plan.json").read_text(encoding="utf-8"))["cells"]
        cells = folder.parents[2] / "cells"
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise UsageError(f"{folder} is no study's folder; one looks like runs/studies/NAME/HASH.") from error
    for name in names:
        if (cells / name / "DONE").exists():
            _export_cell(cells / name, target)
    copied = target / "studies" / folder.parent.name / folder.name
    _copy(folder, copied, STUDY_FILES)
    return copied


def _export_cell(cell: Path, target: Path) -> Path:
    """DONE is the last to be copied: a torn copy is no finished cell. Local paths stay at home."""
    copied = target / "cells" / cell.name
    if (copied / "DONE").exists():
        return copied
    if copied.exists() and not (copied / "config.json").exists():
        raise WorkbenchError(f"{copied} is there and is no cell's folder; name another target.")
    copied.mkdir(parents=True, exist_ok=True)
    write_json(copied / "config.json", {**CellFolder(cell).record, "local": {}})
    _copy(cell, copied, (pattern for pattern in CELL_FILES if pattern not in {"config.json", "DONE"}))
    _copy(cell, copied, ["DONE"])
    return copied


def _copy(source: Path, target: Path, patterns: Iterable[str]) -> None:
    for pattern in patterns:
        for path in sorted(source.glob(pattern)):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(copy, path.read_bytes())
