"""Measure every generator that a training kept against real images: entanglement, coverage, 1-NN accuracy."""

from typing import TYPE_CHECKING

from pydantic import Field

from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.config import Config as Settings
from lab.training.snapshots import snapshots
from tasks import train_gan
from tasks._images import draw

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1


class Config(Settings):
    """How much is measured, and against what."""

    n: int = Field(ge=2, description="real images, and as many generated ones")
    seed: int = Field(0, ge=0, description="seed of the choice of real images")
    splits: tuple[str, ...] = Field(("test", "train"), description="splits of the real images")


def cell(training: Cell[train_gan.Config], n: int) -> Cell[Config]:
    """Measure every snapshot of a training cell against n held-out and n training images."""
    run = training.config
    return Cell(
        "measure-gan",
        f"measure-{training.label}",
        Config(n=n, seed=run.seed),
        registry.versions("tasks/measure-gan", "snnl_core"),
        needs=(training,),
        cost=len(run.kept_at) * 0.4 * (n / 500) ** 2 + 2,
    )


def run(folder: CellFolder) -> None:
    """Rows of `metrics.real_generated` for every snapshot, against each split."""
    from gans._snapshots import generated_by
    from metrics.real_generated import measure

    (training,) = folder.needs
    config, run = folder.settings(Config), training.settings(train_gan.Config)
    real: dict[str, tuple[Tensor, Tensor | None]] = {
        split: draw(folder, run.imageset, split, config.n, config.seed) for split in config.splits
    }
    kept = snapshots(training.path, "generator")
    for done, snapshot in enumerate(kept):
        folder.event("progress", done=done, total=len(kept), text=f"{done} of {len(kept)} snapshots")
        generated = generated_by(snapshot, run, config.n)
        about = {"kind": "gan", **run.about, "space": "pixels", **snapshot.when}
        for split, (images, labels) in real.items():
            for row in measure(images, generated, labels):
                folder.row(**about, split=split, **row)
