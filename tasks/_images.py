"""Images to measure, drawn by seed."""

from typing import TYPE_CHECKING

import imagesets
from lab.cells.folder import CellFolder

if TYPE_CHECKING:
    from torch import Tensor


def draw(folder: CellFolder, images: str, split: str, n: int, seed: int) -> "tuple[Tensor, Tensor | None]":
    """n random images of a split, uint8 (n, c, h, w), and their labels (n,), drawn by seed."""
    from lab.training.draws import subset

    found = imagesets.load(images, split, **folder.data)
    picked = subset(len(found), n, seed, "measured", split)
    return found.images[picked], None if found.labels is None else found.labels[picked]
