"""Whether what a finished cell kept can be read: all that a report is drawn from and that an export copies."""

from typing import Any

from lab.cells.folder import CellFolder
from lab.cells.layout import SAMPLES
from lab.cells.proofs import check_artifacts
from lab.errors import WorkbenchError
from lab.files import read_arrays

PNG = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
"""How every PNG begins and ends."""


def check_kept(folder: CellFolder) -> list[dict[str, Any]]:
    """The rows of a finished cell, once all that it kept was looked at.

    Raises:
        WorkbenchError: something is damaged, which it names.
    """
    check_artifacts(folder.path)
    rows, _, _ = folder.rows(), folder.seconds, folder.environment
    for path in folder.path.glob("*.npz"):
        read_arrays(path)
    begin, end = PNG
    for path in (folder.path / SAMPLES).glob("*.png"):
        data = path.read_bytes() if path.is_file() else b""
        if not (data.startswith(begin) and data.endswith(end)):
            raise WorkbenchError(f"{path} is damaged: remove the cell's folder, and have it made anew.")
    return rows
