"""Snapshots of a network in training: the files of its weights, named by how far the training was."""

import re
from dataclasses import dataclass
from pathlib import Path

from lab.cells.layout import SNAPSHOTS, WEIGHTS
from lab.cells.proofs import known_hashes
from lab.errors import WorkbenchError

NAME = re.compile(r"(?:epoch-(\d+)-)?kimg-(\d+\.\d+)-step-(\d+)\.safetensors")


@dataclass(frozen=True)
class Snapshot:
    """Saved weights: where they lie, the kimg (thousands of images) and the epochs that were shown, and the updates.

    The epoch is 0 where the training does not go by epochs. Of a finished training the weights' hash is known.
    """

    path: Path
    kimg: float
    step: int
    epoch: int = 0
    hash: str | None = None

    @property
    def when(self) -> dict[str, float]:
        """What rows say of the time."""
        return {"kimg": self.kimg, "step": self.step}


def snapshot_file(kimg: float, step: int, epoch: int | None = None) -> Path:
    """Where weights are kept, below a training cell's folder."""
    when = "" if epoch is None else f"epoch-{epoch:05d}-"
    return Path(SNAPSHOTS, f"{when}kimg-{kimg:011.3f}-step-{step:08d}.safetensors")


def snapshots(cell: Path, what: str) -> list[Snapshot]:
    """The snapshots of a training cell, in order of training; `what` they are of, for the message.

    Raises:
        WorkbenchError: there is none, or one is missing with which the training was finished.
    """
    known = {Path(file).name: proof for file, proof in known_hashes(cell).items() if Path(file).match(WEIGHTS)}
    found = []
    for path in sorted(cell.glob(WEIGHTS)):
        if (name := NAME.fullmatch(path.name)) and (path.name in known or not known):
            found.append(Snapshot(path, float(name[2]), int(name[3]), int(name[1] or 0), known.get(path.name)))
    lost = sorted(set(known) - {snapshot.path.name for snapshot in found})
    if found and lost:
        raise WorkbenchError(f"{cell} lacks {SNAPSHOTS}/{lost[0]}: remove the cell's folder and train it again.")
    if not found:
        raise WorkbenchError(f"{cell} holds no {what}: train it first, or take a folder that kept its weights.")
    return found
