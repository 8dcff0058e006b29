"""Train a classifier on the train split of an image set, with equation (3) where alpha is not 0."""

from pathlib import Path

import imagesets
from classifiers._config import TrainingConfig as Config
from classifiers._images import check_classes
from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.errors import UsageError

VERSION = 1
FOLLOWING = "snnl classifier evaluate {}"
"""What to do next with the folder of the cell."""

__all__ = ["FOLLOWING", "VERSION", "Config", "cell", "run"]


def cell(config: Config, data: Path) -> Cell[Config]:
    """The cell of a training, on images below `data`. A baseline, with alpha 0, is the same whatever the layers.

    Raises:
        UsageError: the image set is unknown, or its images are too few or have no two classes.
        WorkbenchError: a user's own images are not there.
    """
    config = config.replaced(spec=imagesets.recorded_spec(config.imageset, data))
    check_classes(config.spec_of_images)
    kept = _kept(config, config.spec_of_images.n["train"])
    entries = ["tasks/train-classifier", f"classifiers/{config.classifier}", *(["snnl_core"] if config.alpha else [])]
    return Cell(
        "train-classifier",
        f"classifier-{config.classifier}-{imagesets.label(config.imageset)}-a{config.alpha:g}-s{config.seed}",
        config,
        registry.versions(*entries),
        imagesets.fingerprint(config.imageset, data),
        processes=config.processes,
        cost=_cost(config, kept * config.epochs),
    )


def run(folder: CellFolder) -> None:
    """Train it, or go on with it."""
    from classifiers._loop import train

    train(Config.parse(folder.config), folder)


def _kept(config: Config, n: int) -> int:
    """How many of n images are left to train on; a share above 0 keeps one apart at least."""
    apart = round(config.validation * n)
    if config.validation and not apart:
        raise UsageError(
            f"validation: a share of {config.validation:g} of {n} images keeps none apart: give a larger one, or 0 for "
            "none."
        )
    if n - apart < config.settings.batch:
        raise UsageError(f"batch: {config.settings.batch} is more than the {n - apart} images there are to train on.")
    return n - apart


def _cost(config: Config, shown: int) -> float:
    """A guess in seconds on one core."""
    pixels = (config.spec_of_images.size / 16) ** 2
    return shown / 1000 * 0.2 * pixels * (1.5 if config.alpha else 1.0) + 3
