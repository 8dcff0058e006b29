"""Copying finished work without its weights, to be kept and shared."""

from collections.abc import Iterable
from pathlib import Path

from lab.cells import layout
from lab.cells.folder import CellFolder
from lab.cells.proofs import check_artifacts
from lab.cells.record import read_study
from lab.errors import UsageError, WorkbenchError
from lab.files import atomic_write, write_json


def export(folder: Path, target: Path) -> Path:
    """Copy a finished cell, or a study and its finished cells, below `target`; a report is drawn anew from there.

    Returns:
        The copied folder.

    Raises:
        UsageError: the folder is no study's and no cell's.
        WorkbenchError: a cell is not finished or is damaged, or the target holds something else under its name.
    """
    if layout.is_study(folder):
        return _export_study(folder.resolve(), target)
    if not layout.is_cell(folder):
        raise UsageError(f"{folder} is no study's folder and no cell's; a study's looks like runs/studies/NAME/HASH.")
    if not CellFolder(folder).done:
        raise WorkbenchError(f"{folder} is not finished: snnl cell {folder} goes on with it.")
    return _export_cell(folder.resolve(), target)


def _export_study(folder: Path, target: Path) -> Path:
    cells, (_, _, names) = layout.cells(layout.root_of(folder)), read_study(folder)
    for name in names:
        if layout.is_done(cells / name):
            _export_cell(cells / name, target)
    copied = layout.study(target, folder.parent.name, folder.name)
    _copy(folder, copied, layout.KEPT_OF_STUDY)
    return copied


def _export_cell(cell: Path, target: Path) -> Path:
    """The mark is the last to be written: a torn copy is no finished cell. Local paths stay at home."""
    copied = layout.cells(target) / cell.name
    if layout.is_done(copied):
        return copied
    if copied.exists() and not layout.is_cell(copied):
        raise WorkbenchError(f"{copied} is there and is no cell's folder; name another target.")
    check_artifacts(cell)
    copied.mkdir(parents=True, exist_ok=True)
    write_json(copied / layout.CONFIG, {**CellFolder(cell).record, "local": {}})
    _copy(cell, copied, layout.KEPT_OF_CELL)
    layout.mark(copied, layout.end_of(cell))
    return copied


def _copy(source: Path, target: Path, patterns: Iterable[str]) -> None:
    for pattern in patterns:
        for path in sorted(source.glob(pattern)):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(copy, path.read_bytes())
