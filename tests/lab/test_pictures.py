"""Sheets of images with gaps."""

import io

import numpy as np
import pytest
from PIL import Image

from lab.reporting.pictures import GAP, about_square, parted, png, shape, sheet, size


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture)))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_has_every_image_and_nothing_between(channels):
    images = np.random.default_rng(0).integers(0, 256, (5, channels, 3, 4), dtype=np.uint8)
    found = pixels(sheet(images))
    assert found.shape == (2 * 3 + GAP, 3 * 4 + 2 * GAP, channels + 1)
    for place, image in enumerate(images):
        top, left = (place // 3) * (3 + GAP), (place % 3) * (4 + GAP)
        tile = found[top : top + 3, left : left + 4]
        assert (tile[..., :channels] == np.moveaxis(image, 0, -1)).all() and (tile[..., -1] == 255).all()
    assert (found[..., -1] == 255).sum() == 5 * 3 * 4
    assert shape(sheet(images[..., :3]), 3) == (2, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_of_a_training_is_parted(channels, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, channels, 4, 4), dtype=np.uint8)
    grid = images.reshape(2, 3, channels, 4, 4).transpose(2, 0, 3, 1, 4).reshape(channels, 8, 12)
    (tmp_path / "grid.png").write_bytes(png(grid))
    assert parted(tmp_path / "grid.png", 4) == sheet(images, 3)
    assert size(parted(tmp_path / "grid.png", 5)) == (12, 8), "it is no grid of such images"


@pytest.mark.parametrize("count, columns", [(0, 1), (1, 1), (2, 2), (4, 2), (5, 3), (64, 8), (65, 9)])
def test_about_a_square(count, columns):
    assert about_square(count) == columns
