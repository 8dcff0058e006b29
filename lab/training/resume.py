"""Where a training goes on from: its own last checkpoint, or that of a run which differs from it in its length alone.

Where a recipe does not depend on the length, a longer run begins as a shorter one does, bit for bit.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.cells.folder import CellFolder
from lab.cells.layout import CHECKPOINTS
from lab.errors import WorkbenchError
from lab.files import atomic_write
from lab.hashing import file_hash
from lab.processes import rank
from lab.training import checkpoint
from lab.training.checkpoint import Arithmetic, Checkpoint
from lab.training.together import of_the_first

KeptFiles = dict[int, tuple[Path, ...]]
"""What is to be kept of a network in training, below the cell's folder, by step."""
KEPT = "kept.json"
"""The file of a checkpoint with the hashes of what was kept by then, by path; older ones have none."""


@dataclass(frozen=True)
class Start:
    """A checkpoint to go on from, and the cell that it is of."""

    source: CellFolder
    checkpoint: Checkpoint

    def kept(self, files: KeptFiles) -> list[Path]:
        """What was to be kept up to the checkpoint."""
        return [file for step in files if step <= self.checkpoint.step for file in files[step]]

    def hashes(self, files: KeptFiles) -> dict[str, str]:
        """The hashes of it, as far as they are known."""
        known = json.loads(self.checkpoint.files.get(KEPT, b"{}"))
        return {name: known[name] for name in map(str, self.kept(files)) if name in known}

    def lost(self, files: KeptFiles) -> list[Path]:
        """What of it is not there, or is not what was kept."""
        known, place = self.hashes(files), self.source.path
        missing = [file for file in self.kept(files) if not (place / file).exists()]
        return missing or [Path(name) for name in known if file_hash(place / name) != known[name]]


def find_start(
    cell: CellFolder, kept: KeptFiles, last: int, length: Collection[str], arithmetic: Arithmetic
) -> Start | None:
    """The furthest checkpoint that is whole and whose cell has all the files that were kept up to it, as they were.

    Damaged checkpoints are told of and skipped. Where there is none of the cell's own, those of cells that differ in
    the settings `length` alone, and were trained with the same device and precision, are looked at, up to the step
    `last`; with no such settings, none are.
    """
    for source, path in _candidates(cell, last, length):
        try:
            found = Start(source, checkpoint.read(path, source.key))
        except WorkbenchError as error:
            cell.warn(f"{error} It is skipped.")
            continue
        lost = found.lost(kept)
        if not lost and found.checkpoint.arithmetic == arithmetic:
            return found
        if source is cell and lost:
            cell.warn(f"{path} is skipped: {lost[0]} is missing or damaged.")
    return None


def agreed_start(
    cell: CellFolder, kept: KeptFiles, last: int, length: Collection[str], arithmetic: Arithmetic
) -> Start | None:
    """What the first of several processes finds with `find_start`, on all of them.

    It sends them what it read: by now another command may have removed that from the disk.
    """
    found = find_start(cell, kept, last, length, arithmetic) if rank() == 0 else None
    return of_the_first(found)


def take_over(start: Start, cell: CellFolder, kept: KeptFiles) -> None:
    """Copy what another cell kept up to its checkpoint, and tell where the work goes on."""
    cell.hashes |= start.hashes(kept)
    cell.event("resumed", step=start.checkpoint.step, cell=start.source.path.name)
    if start.source is cell or rank():
        return
    for file in start.kept(kept):
        (cell.path / file).parent.mkdir(exist_ok=True)
        atomic_write(cell.path / file, (start.source.path / file).read_bytes())


def _candidates(cell: CellFolder, last: int, length: Collection[str]) -> Iterator[tuple[CellFolder, Path]]:
    for path in _checkpoints(cell):
        yield cell, path
    if length:
        others = [(other, path) for other in _others(cell, length) for path in _checkpoints(other)]
        others.sort(key=lambda found: checkpoint.step_of(found[1]), reverse=True)
        yield from (found for found in others if 0 < checkpoint.step_of(found[1]) <= last)


def _checkpoints(cell: CellFolder) -> list[Path]:
    return checkpoint.newest_first(cell.path / CHECKPOINTS)


def _others(cell: CellFolder, length: Collection[str]) -> Iterator[CellFolder]:
    """The cells beside this one that differ from it in their length alone."""
    for folder in sorted(path.parent for path in cell.path.parent.glob(f"*/{CHECKPOINTS}")):
        try:
            other = CellFolder(folder)
        except WorkbenchError:
            continue
        if other.key != cell.key and _without(length, other.record) == _without(length, cell.record):
            yield other


def _without(settings: Collection[str], record: dict[str, Any]) -> dict[str, Any]:
    config = {name: value for name, value in record["config"].items() if name not in settings}
    return {**record["identity"], "config": config}
