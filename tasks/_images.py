"""Real and generated images to measure, drawn by seed."""

from typing import TYPE_CHECKING

import imagesets
from gans._config import TrainingConfig
from lab.cells.folder import CellFolder

if TYPE_CHECKING:
    from torch import Tensor

    from lab.training.snapshots import Snapshot


def draw(folder: CellFolder, images: str, split: str, n: int, seed: int) -> "tuple[Tensor, Tensor | None]":
    """n random images of a split, uint8 (n, c, h, w), and their labels (n,), drawn by seed."""
    from lab.training.draws import subset

    found = imagesets.load(images, split, root=folder.data_root, download=folder.download)
    picked = subset(len(found), n, seed, "measured", split)
    return found.images[picked], None if found.labels is None else found.labels[picked]


def generated_by(snapshot: "Snapshot", run: TrainingConfig, n: int) -> "Tensor":
    """n images, uint8 (n, c, h, w), of a training's snapshot, from the same latents for every snapshot."""
    from gans._snapshots import generate, load_generator
    from lab.training.draws import derive_seed

    generator = load_generator(snapshot, run)
    return generate(generator, n, run.settings.latent, derive_seed(run.seed, "measured"))
