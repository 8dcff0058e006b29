"""Images as the PNG pictures of a report's galleries."""

import io
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

Images = np.ndarray[Any, np.dtype[np.uint8]]
GAP = 2
"""Pixels between images in a sheet, which the page shines through."""
SIZE = slice(16, 24)
"""Where a PNG tells its width and height."""


def picture(image: Images) -> "Image":
    """An image, uint8 (c, h, w) with one channel or three, and an alpha channel or none, as Pillow has it."""
    from PIL import Image

    pixels = np.moveaxis(image, 0, -1)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def png(image: Images, transparent: int | None = None) -> bytes:
    """The same as a PNG's bytes; of one channel, a level of grey may be transparent."""
    buffer, clear = io.BytesIO(), {} if transparent is None else {"transparency": transparent}
    picture(image).save(buffer, format="PNG", **clear)
    return buffer.getvalue()


def about_square(count: int) -> int:
    """How many images there are in a row of so many that are about a square."""
    return math.isqrt(count - 1) + 1 if count else 1


def sheet(images: Images, columns: int = 0) -> bytes:
    """Images (n, c, h, w) as one PNG with gaps, so many in a row; 0 for about a square."""
    count, channels, height, width = images.shape
    columns = columns or about_square(count)
    rows, (down, across) = -(-count // columns), (height + GAP, width + GAP)
    whole = np.zeros((channels + 1, rows * down - GAP, columns * across - GAP), np.uint8)
    for place, image in enumerate(images):
        top, left = down * (place // columns), across * (place % columns)
        whole[:channels, top : top + height, left : left + width] = image
        whole[channels, top : top + height, left : left + width] = 255
    free = np.bincount(images.ravel(), minlength=256).argmin()
    if channels > 1 or free in images:
        return png(whole)
    return png(np.where(whole[1:], whole[:1], np.uint8(free)), transparent=int(free))  # a fifth smaller


def parted(path: Path, side: int) -> bytes:
    """The PNG of a grid of square images without gaps, such as a training keeps, with gaps; as it is if it is none."""
    found = tiles(path, side)
    return path.read_bytes() if found is None else sheet(found, size(path.read_bytes())[0] // side)


def tiles(path: Path, side: int) -> Images | None:
    """The images (n, c, side, side) of the PNG of a grid without gaps, row by row; None if it is no such grid."""
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as grid:  # by its first bytes Pillow would take it for any other kind
        pixels = np.asarray(grid)
    height, width = pixels.shape[:2]
    if height % side or width % side:
        return None
    found = pixels.reshape(height // side, side, width // side, side, -1).transpose(0, 2, 4, 1, 3)
    return found.reshape(-1, found.shape[2], side, side)


def shape(picture: bytes, side: int) -> tuple[int, int]:
    """How many rows and columns of square images a sheet has."""
    width, height = size(picture)
    return (height + GAP) // (side + GAP), (width + GAP) // (side + GAP)


def size(picture: bytes) -> tuple[int, int]:
    """Width and height of a PNG in pixels."""
    width, height = struct.unpack(">II", picture[SIZE])
    return width, height
