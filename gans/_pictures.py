"""Pictures of generated images."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lab.files import replacing
from lab.reporting.pictures import about_square, picture


def square(images: Tensor) -> Sequence[Tensor]:
    """Images (n, c, h, w) in rows that make a picture of them about square."""
    return images.split(about_square(len(images)))


def sheet(rows: Sequence[Tensor]) -> Tensor:
    """One image (c, H, W) of rows of images (m, c, h, w), of which the shorter ones are filled up with black."""
    channels, height, width = rows[0].shape[1:]
    columns = max(map(len, rows))
    filled = [torch.cat([row, row.new_zeros(columns - len(row), *row.shape[1:])]) for row in rows]
    whole = torch.stack(filled).permute(2, 0, 3, 1, 4)
    return whole.reshape(channels, len(rows) * height, columns * width)


def save_grid(rows: Sequence[Tensor], path: Path) -> None:
    """Write rows of uint8 images (m, c, h, w) as one PNG; its folder is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        picture(sheet(rows).numpy()).save(aside, format="PNG", optimize=True)
