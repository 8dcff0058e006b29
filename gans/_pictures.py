"""Pictures of generated images."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from lab.files import replacing


def picture(image: Tensor) -> Image.Image:
    """A uint8 image (c, h, w), grey or in colour."""
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def square(images: Tensor) -> Sequence[Tensor]:
    """Images (n, c, h, w) in rows that make a picture of them about square."""
    n = len(images)
    return images.split(next(columns for columns in range(1, n + 1) if columns * columns >= n))


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
        picture(sheet(rows)).save(aside, format="PNG", optimize=True)
