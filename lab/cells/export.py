"""Copying finished work without its weights, to be kept and shared."""

import shlex
from collections.abc import Collection, Iterable
from pathlib import Path

from lab.cells import layout
from lab.cells.folder import CellFolder
from lab.cells.kept import check_kept
from lab.cells.record import IDENTITY, read_search, read_study, search_in
from lab.errors import Say, UsageError, WorkbenchError
from lab.files import atomic_write, write_json


def export(folder: Path, target: Path, say: Say = lambda text: None) -> Path:
    """Copy a finished cell, or a study or a search and its finished cells, below `target`; from there a report is drawn
    anew, and a search goes on.

    Args:
        folder: the cell's, the study's or the search's.
        target: a folder of runs; it need not be there.
        say: is told where the cells of a search elsewhere are, and, if cells are left out, how many.

    Returns:
        The copied folder.

    Raises:
        UsageError: the folder is no study's, no search's and no cell's.
        WorkbenchError: a cell is damaged or is not finished, a run holds links, or the target holds a link, something
            else under a cell's name, or another search under this one's.
    """
    if layout.is_study(folder):
        whole = folder.resolve()
        record = read_study(whole)
        copied = layout.study(target, whole.parent.name, whole.name)
        _export_cells(whole, record.cells, target, record.shipped, say)
        _copy(whole, copied, layout.KEPT_OF_STUDY)
        return copied
    if layout.is_search(folder):
        return _export_search(folder.resolve(), target, say)
    if not layout.is_cell(folder):
        raise UsageError(f"{folder} is no study's folder and no cell's; a study's looks like runs/studies/NAME/HASH.")
    if not CellFolder(folder).done:
        going_on = shlex.join(["snnl", "cell", str(folder)])
        raise WorkbenchError(f"{folder} is not finished: {going_on} goes on with it.")
    return _export_cell(folder.resolve(), target)


def _export_search(folder: Path, target: Path, say: Say) -> Path:
    copied, names = layout.search(target, folder.parent.name or "root", folder.name), read_search(folder).cells
    about = {name: value for name, value in (search_in(folder) or {}).items() if name != layout.RUNS}
    there = search_in(copied) or {}
    told = {"study", IDENTITY} & about.keys() & there.keys()  # older plans tell less
    if any(there[name] != about[name] for name in told):
        raise WorkbenchError(f"{copied} holds another search, of a folder called the same: name another target.")
    _export_cells(folder, names, target, (), say)
    copied.mkdir(parents=True, exist_ok=True)
    write_json(copied / layout.SEARCH, about)  # its cells are in the target now
    _copy(folder, copied, [name for name in layout.KEPT_OF_SEARCH if name != layout.SEARCH])
    return copied


def _export_cells(folder: Path, names: list[str], target: Path, published: Collection[str], say: Say) -> None:
    """Copy the finished cells of a study or a search, and say how many are not, but for those that ship with the
    code: from there the report of the copy takes them again."""
    root = layout.root_of(folder)
    if layout.is_search(folder) and layout.named_by(folder):
        say(f"{folder} has its cells in {root}.")
    cells = [layout.cell(root, name) for name in names]
    done = [cell for cell in cells if layout.is_done(cell)]
    for cell in done:
        _export_cell(cell, target)
    others = [cell for cell in cells if cell not in done]
    left = [cell for cell in others if not (cell.name in published and _ships(cell.name))]
    absent = sum(not cell.exists() for cell in left)
    counts = {"not finished": len(left) - absent, "not there": absent}
    shipped = f"; {len(others) - len(left)} ship with the code" if len(left) < len(others) else ""
    why = ", ".join(f"{words}: {count}" for words, count in counts.items() if count)
    if others:
        where = f" Of those in {layout.cells(root)}, {why}." if left else ""
        say(f"{len(done)} of {len(cells)} cells are copied{shipped}.{where}")


def _ships(name: str) -> bool:
    return layout.is_done(layout.cell(layout.PUBLISHED, name))


def _export_cell(cell: Path, target: Path) -> Path:
    """The mark is the last to be written: a torn copy is no finished cell. Local paths stay at home."""
    copied = layout.cell(target, cell.name)
    layout.check_plain(copied)
    if layout.is_done(copied):
        return copied
    if copied.exists() and not layout.is_cell(copied):
        raise WorkbenchError(f"{copied} is there and is no cell's folder; name another target.")
    folder = CellFolder(cell)
    check_kept(folder)
    copied.mkdir(parents=True, exist_ok=True)
    write_json(copied / layout.CONFIG, {**folder.record, "local": {}})
    _copy(cell, copied, layout.KEPT_OF_CELL)
    layout.mark(copied, layout.end_of(cell))
    return copied


def _copy(source: Path, target: Path, patterns: Iterable[str]) -> None:
    for pattern in patterns:
        for path in sorted(source.glob(pattern)):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(copy, path.read_bytes())
