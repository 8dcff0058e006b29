"""Embed real images and a GAN's early and late ones in the plane, by t-SNE."""

from pydantic import Field

from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.config import Config as Settings
from lab.files import write_arrays
from lab.training.snapshots import snapshots
from tasks import train_gan
from tasks._images import draw
from tasks._plane import plane

VERSION = 1
POINTS = 300
EMBEDDING = "embedding.npz"
"""What is kept: `run`."""


class Config(Settings):
    """How much is embedded."""

    points: int = Field(POINTS, ge=2, description="points of each kind, at most")
    early: float = Field(
        0.1, ge=0, le=1, description="the early images are those nearest to this share of the training"
    )
    seed: int = Field(0, ge=0, description="seed of the choice of real images")


def cell(training: Cell[train_gan.Config], points: int = POINTS) -> Cell[Config]:
    """Embed the images of a training cell, so many of each kind at most."""
    run = training.config
    return Cell(
        "embed",
        f"embed-{training.label}",
        Config(seed=run.seed, points=points),
        registry.versions("tasks/embed"),
        needs=(training,),
        cost=10,
    )


def run(folder: CellFolder) -> None:
    """Write `embedding.npz`: one t-SNE map of real, early and late images (coordinates, kind, kimg)."""
    import numpy as np

    from gans._snapshots import generated_by

    (training,) = folder.needs
    config, run = folder.settings(Config), training.settings(train_gan.Config)
    kept = snapshots(training.path, "generator")
    early = min(kept, key=lambda snapshot: abs(snapshot.kimg - config.early * kept[-1].kimg))
    points = min(config.points, run.spec_of_images.n["test"])
    real, _ = draw(folder, run.imageset, "test", points, config.seed)
    folder.event("progress", done=0, total=1, text=f"t-SNE of {3 * points} points")
    groups = [real, generated_by(early, run, points), generated_by(kept[-1], run, points)]
    flat = np.concatenate([group.flatten(1).numpy() for group in groups]).astype(np.float32) / 255
    kept_arrays = {
        "coordinates": plane(flat, min(30, points), 0),
        "kind": np.repeat(["real", "early", "late"], points),
        "kimg": [early.kimg, kept[-1].kimg],
    }
    write_arrays(folder.path / EMBEDDING, kept_arrays)
