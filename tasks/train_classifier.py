"""Train a classifier on the train split of an image set, with equation (3) where alpha is not 0."""

from pathlib import Path

import imagesets
from classifiers._config import TrainingConfig as Config
from classifiers._images import check_classes
from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.errors import Say, UsageError

VERSION = 1
FOLLOWING = "snnl classifier evaluate {}"
"""What to do next with the folder of the cell."""

__all__ = ["FOLLOWING", "VERSION", "Config", "cell", "fitted", "fitting", "run"]


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


def fitting(config: Config, n: int, whose: str, apart: int = 1) -> dict[str, tuple[float, str]]:
    """What n training images, `whose`, allow of settings that ask more of them: by name, the value and the reason.

    `validation` keeps so many images apart at least, unless it is 0; `batch` is no larger than what is left.
    """
    found: dict[str, tuple[float, str]] = {}
    held = round(config.validation * n)
    if config.validation and held < apart < n:
        found["validation"] = (apart / n, f"of the {n} images to train on of {whose}, {apart} are to validate")
        held = apart
    most = (n - held) // config.processes * config.processes
    if 2 * config.processes <= most < config.settings.batch:
        found["batch"] = (most, f"{whose} has no more images to train on")
    return found


def fitted(config: Config, data: Path, say: Say) -> Config:
    """The settings with what the images allow in place of what nobody asked for; each change is told."""
    n, settings = imagesets.spec(config.imageset, data).n["train"], config.settings
    asked = config.model_fields_set | settings.model_fields_set
    for name, (value, why) in fitting(config, n, config.imageset).items():
        if name not in asked:
            say(f"{name}: {round(value, 6)}, since {why}.")
            own = {"settings": settings.replaced(batch=value)} if name == "batch" else {name: value}
            config = config.replaced(**own)
    return config


def run(folder: CellFolder) -> None:
    """Train it, or go on with it."""
    from classifiers._loop import train

    train(folder.settings(Config), folder)


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
