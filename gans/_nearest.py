"""The training images that are nearest to those of the last grid that a training kept: what to look at for copies."""

import torch
from torch import Tensor

import imagesets
from gans._config import TrainingConfig
from gans._kept import NEAREST, grids
from imagesets import ImageSet
from lab.cells.folder import CellFolder
from lab.files import write_arrays
from lab.reporting.pictures import tiles
from snnl_core.neighbors import nearest_neighbors

CHUNK = 8192
"""Training images that are looked through at a time."""


def keep_nearest(config: TrainingConfig, cell: CellFolder) -> None:
    """Write `gans._kept.NEAREST` for a finished training, by the distance of pixels; nothing of a conditional GAN."""
    kept = grids(cell.path)
    shown = tiles(kept[-1][1], config.spec_of_images.size) if kept and not config.settings.conditional else None
    if shown is None:
        return
    known = imagesets.load(config.imageset, "train", **cell.data)
    position = nearest(torch.tensor(shown, device="cpu"), known)
    labels = {} if known.labels is None else {"labels": known.classes(position).numpy()}
    found = {"position": position.numpy(), "images": known.pixels(position).numpy(), **labels}
    write_arrays(cell.path / NEAREST, found)


def nearest(images: Tensor, known: ImageSet) -> Tensor:
    """The position (n,) in an image set of the one that is nearest to each of some images, uint8 (n, c, h, w)."""
    points = images.flatten(1).float()
    best, position = points.new_full((len(points),), torch.inf), points.new_zeros(len(points), dtype=torch.int64)
    for start in range(0, len(known), CHUNK):
        part = known.images[start : start + CHUNK].flatten(1).float()
        distances, places = (one[:, 0] for one in nearest_neighbors(points, part, 1))
        closer = distances < best
        best, position = torch.where(closer, distances, best), torch.where(closer, start + places, position)
    return position
