"""Hashes of the files that a cell keeps, weights, arrays and pictures, by which they are proven before they are used.

The mark of a finished cell has them. A cell that was finished before there were any has none, and is taken as it is;
one that was exported has those of its weights, too, which stayed behind.
"""

from pathlib import Path

from lab.cells import layout
from lab.errors import WorkbenchError
from lab.hashing import bytes_hash, file_hash


def hashes_of(cell: Path) -> dict[str, str]:
    """The hash of every file that a cell keeps, by its path below the cell's folder."""
    files = sorted(file for pattern in (*layout.ARTIFACTS, layout.WEIGHTS) for file in cell.glob(pattern))
    return {file.relative_to(cell).as_posix(): file_hash(file) for file in files}


def known_hashes(cell: Path) -> dict[str, str]:
    """The same as it was when the cell was finished; empty where it is not, or does not tell.

    Raises:
        WorkbenchError: the mark of its end is damaged.
    """
    known = layout.end_of(cell).get("files", {}) if layout.is_done(cell) else {}
    if not isinstance(known, dict):
        raise WorkbenchError(f"{cell} is damaged (DONE): remove it, and have it made anew.")
    return known


def check_artifacts(cell: Path) -> None:
    """Look through what a finished cell keeps but for its weights, which are looked at when they are loaded.

    Raises:
        WorkbenchError: a file is not what the cell was finished with, or is not there.
    """
    files = (file for pattern in layout.ARTIFACTS for file in cell.glob(pattern) if file.is_file())
    present = {file.relative_to(cell).as_posix(): file for file in files}
    for name, known in known_hashes(cell).items():
        if name in present:
            check(present[name], present[name].read_bytes(), known)
        elif not Path(name).match(layout.WEIGHTS):
            raise WorkbenchError(f"{cell} lacks {name}: remove the cell's folder, and have it made anew.")


def check(file: Path, data: bytes, known: str | None) -> None:
    """Raise WorkbenchError unless the bytes of a cell's file have the hash that is known of it, if one is."""
    if known is not None and bytes_hash(data) != known:
        raise WorkbenchError(f"{file} is not what the cell kept: remove the cell's folder, and have it made anew.")
