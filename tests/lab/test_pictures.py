"""Sheets of images with gaps."""

import io

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, UnidentifiedImageError

from lab.reporting.pictures import GAP, about_square, parted, png, shape, sheet, size


def pixels(picture, mode):
    return np.asarray(Image.open(io.BytesIO(picture)).convert(mode))


@pytest.mark.parametrize("channels, levels", [(1, 200), (1, 256), (3, 256)])
def test_a_sheet_has_every_image_and_nothing_between(channels, levels):
    """Of images with all levels of grey, too, of which none is free for the gaps."""
    images = (np.arange(5 * channels * 7 * 9) % levels).astype(np.uint8).reshape(5, channels, 7, 9)
    found = pixels(sheet(images), "LA" if channels == 1 else "RGBA")
    assert found.shape == (2 * 7 + GAP, 3 * 9 + 2 * GAP, channels + 1)
    for place, image in enumerate(images):
        top, left = (place // 3) * (7 + GAP), (place % 3) * (9 + GAP)
        tile = found[top : top + 7, left : left + 9]
        assert (tile[..., :channels] == np.moveaxis(image, 0, -1)).all() and (tile[..., -1] == 255).all()
    assert (found[..., -1] == 255).sum() == 5 * 7 * 9
    assert shape(sheet(images[..., :7]), 7) == (2, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_of_a_training_is_parted(channels, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, channels, 4, 4), dtype=np.uint8)
    grid = images.reshape(2, 3, channels, 4, 4).transpose(2, 0, 3, 1, 4).reshape(channels, 8, 12)
    (tmp_path / "grid.png").write_bytes(png(grid))
    assert parted(tmp_path / "grid.png", 4) == sheet(images, 3)
    assert size(parted(tmp_path / "grid.png", 5)) == (12, 8), "it is no grid of such images"


def test_a_grid_that_is_no_png_is_not_decoded(tmp_path, monkeypatch):
    """Pillow goes by a file's first bytes, and would start a program for PostScript."""
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given, **named: pytest.fail("a program is started"))
    (tmp_path / "grid.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n%%EOF\n")
    with pytest.raises(UnidentifiedImageError):
        parted(tmp_path / "grid.png", 4)


@pytest.mark.parametrize("count, columns", [(0, 1), (1, 1), (2, 2), (4, 2), (5, 3), (64, 8), (65, 9)])
def test_about_a_square(count, columns):
    assert about_square(count) == columns
