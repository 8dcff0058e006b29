"""Draw the ways from one image of a trained GAN to another."""

from pydantic import Field

from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.config import Config as Settings
from lab.files import write_arrays
from tasks import train_gan

VERSION = 1
WAYS = "interpolation.npz"
"""What is kept: `run`."""


class Config(Settings):
    """How much is drawn."""

    rows: int = Field(4, ge=1, le=256, description="ways from one image to another")
    steps: int = Field(10, ge=2, le=256, description="images on each way, its ends among them")


def cell(training: Cell[train_gan.Config]) -> Cell[Config]:
    """Draw from the last generator of a training cell."""
    return Cell(
        "interpolate",
        f"interpolate-{training.label}",
        Config.parse({}),
        registry.versions("tasks/interpolate"),
        needs=(training,),
        cost=4,
    )


def run(folder: CellFolder) -> None:
    """Write `interpolation.npz`: images, uint8 (rows, steps, c, h, w), of `gans._interpolation`."""
    import torch

    from gans._interpolation import interpolations
    from gans._trained import open_gan

    (training,) = folder.needs
    config = folder.settings(Config)
    ways = interpolations(open_gan(training.path), config.rows, config.steps, seed=0)
    write_arrays(folder.path / WAYS, {"images": torch.stack([*ways]).numpy()})
