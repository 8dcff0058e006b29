"""Train a GAN on the train split of an image set."""

from pathlib import Path

import imagesets
from gans._config import TrainingConfig as Config
from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.errors import Say
from lab.processes import rank
from tasks import _spaces
from tasks._schedule import quadratic

VERSION = 1
FOLLOWING = "snnl gan sample {} -n 64 --out grid.png"
"""What to do next with the folder of the cell."""

__all__ = ["FOLLOWING", "VERSION", "Config", "cell", "fitted", "run", "schedule"]


def schedule(kimg: float, points: int) -> tuple[float, ...]:
    """`points` times from 0 to `kimg` at which a generator is kept, denser early."""
    return tuple(round(time, 3) for time in quadratic(kimg, points))


def cell(config: Config, data: Path) -> Cell[Config]:
    """The cell of a training, on images below `data`; a guided one needs that of its classifier.

    Raises:
        UsageError: the image set is unknown, or has no labels and the GAN is conditional on them, or guided.
        WorkbenchError: a user's own images are not there.
    """
    config = config.replaced(spec=imagesets.recorded_spec(config.imageset, data))
    config.settings.classes_in(config.spec_of_images)
    return Cell(
        "train-gan",
        f"gan-{config.gan}-{imagesets.label(config.imageset)}-s{config.seed}",
        config,
        registry.versions(
            "tasks/train-gan", f"gans/{config.gan}", *(["snnl_core"] if config.settings.entangles else [])
        ),
        imagesets.fingerprint(config.imageset, data),
        (_spaces.guide(config.imageset, data, config.device),) if config.settings.guided else (),
        processes=config.processes,
        cost=_cost(config),
    )


def fitted(config: Config, data: Path, say: Say) -> Config:
    """The settings: images are shown again and again, so any number of them will do."""
    return config


def run(folder: CellFolder) -> None:
    """Train it, or go on with it; then look for the training images that its last ones are nearest to."""
    from evaluation.trained import load_last
    from gans._loop import train
    from gans._nearest import keep_nearest

    config = folder.settings(Config)
    train(config, folder, *(load_last(need) for need in folder.needs))
    if rank() == 0:
        keep_nearest(config, folder)


def _cost(config: Config) -> float:
    """A guess in seconds on one core: 0.16 s a kimg for DCGAN at 16 x 16 and width 32, half more with a penalty."""
    settings, pixels = config.settings, (config.spec_of_images.size / 16) ** 2
    penalty = 1.5 if settings.DIFFERENTIATES_TWICE else 1.0
    return config.kimg * 0.16 * pixels * (settings.width / 32) ** 1.3 * penalty + 3
