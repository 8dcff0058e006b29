"""Pictures and folders."""

import pytest
import torch
from PIL import Image

from gans._pictures import save_grid, square
from gans._trained import open_gan
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.config import Config
from lab.errors import WorkbenchError
from lab.training.snapshots import snapshots


@pytest.mark.parametrize("n, side", [(1, (1, 1)), (4, (2, 2)), (5, (3, 2)), (64, (8, 8))])
@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB")])
def test_a_grid_shows_every_image_in_reading_order(tmp_path, n, side, channels, mode):
    images = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1).expand(n, channels, 5, 5)
    save_grid(square(images), tmp_path / "deep" / "grid.png")
    picture = Image.open(tmp_path / "deep" / "grid.png")
    assert picture.size == (5 * side[0], 5 * side[1]) and picture.mode == mode
    seen = [picture.getpixel((5 * (i % side[0]) + 2, 5 * (i // side[0]) + 2)) for i in range(n)]
    assert [pixel if channels == 1 else pixel[0] for pixel in seen] == list(range(n))


def test_folders_without_a_generator_are_named(tmp_path):
    with pytest.raises(WorkbenchError, match="holds no generator"):
        snapshots(tmp_path, "generator")
    other = CellFolder.create(Cell("measure", "measure", Config()), tmp_path, {})
    with pytest.raises(WorkbenchError, match="not the folder of a GAN"):
        open_gan(other.path)
