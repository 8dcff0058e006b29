"""Images to measure, drawn by seed."""

from typing import TYPE_CHECKING

from pydantic import Field

import imagesets
from imagesets._config import OfImages
from lab.cells.folder import CellFolder
from lab.files import write_arrays

if TYPE_CHECKING:
    from torch import Tensor

REAL, KEPT = "real.npz", 64
"""Real images that a measurement keeps for pictures: `images` uint8 (64, c, h, w), `labels` (64,) if there are any."""


class Compared(OfImages):
    """How many images of which set are compared."""

    n: int = Field(ge=2, description="images a side")


def draw(folder: CellFolder, images: str, split: str, n: int, seed: int) -> "tuple[Tensor, Tensor | None]":
    """n random images of a split, uint8 (n, c, h, w), and their labels (n,), drawn by seed."""
    from lab.training.draws import subset

    found = imagesets.load(images, split, **folder.data)
    picked = subset(len(found), n, seed, "measured", split)
    return found.images[picked], None if found.labels is None else found.labels[picked]


def keep_real(folder: CellFolder, images: "Tensor", labels: "Tensor | None") -> None:
    """Keep the first of some real images (n, c, h, w) and of their labels (n,) for pictures beside generated ones."""
    named = {} if labels is None else {"labels": labels[:KEPT].numpy()}
    write_arrays(folder.path / REAL, {"images": images[:KEPT].numpy(), **named})
