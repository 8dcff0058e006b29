"""Copying a finished study without its weights, to be kept and shared."""

import json
import shutil
from pathlib import Path

from lab.errors import UsageError, WorkbenchError
from lab.files import write_json

CELL_FILES = ("config.json", "environment.json", "rows.jsonl", "DONE", "*.npz", "samples/*.png")
STUDY_FILES = ("config.json", "plan.json", "DONE")


def export_study(folder: Path, target: Path) -> Path:
    """Copy a study's folder and its finished cells below `target`; the report is drawn anew from there.

    Returns:
        The copied study's folder.

    Raises:
        UsageError: the folder is no study's.
        WorkbenchError: the target holds something else under a cell's name.
    """
    runs = folder.resolve().parents[2]
    try:
        names = json.loads((folder / "plan.json").read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{folder} is no study's folder; one looks like runs/studies/NAME/HASH.") from error
    for name in names:
        if (runs / "cells" / name / "DONE").exists():
            _export_cell(runs / "cells" / name, target / "cells" / name)
    copied = target / folder.resolve().relative_to(runs)
    _copy(folder, copied, STUDY_FILES)
    return copied


def _export_cell(cell: Path, target: Path) -> None:
    """DONE is the last to be copied: a torn copy is no finished cell. Local paths stay at home."""
    if (target / "DONE").exists():
        return
    if target.exists() and not (target / "config.json").exists():
        raise WorkbenchError(f"{target} is there and is no cell's folder; name another target.")
    _copy(cell, target, [pattern for pattern in CELL_FILES if pattern != "DONE"])
    config = json.loads((cell / "config.json").read_text(encoding="utf-8"))
    write_json(target / "config.json", {**config, "local": {}})
    _copy(cell, target, ["DONE"])


def _copy(source: Path, target: Path, patterns: tuple[str, ...] | list[str]) -> None:
    for pattern in patterns:
        for path in sorted(source.glob(pattern)):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
