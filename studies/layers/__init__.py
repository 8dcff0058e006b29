"""Which layers of a classifier part the classes as it learns, and does maximising entanglement keep them mixed?

Claim of Frosst, Papernot and Hinton (2019): while a network learns, the classes stay entangled in its hidden layers,
and only the last block parts them.

What is done: each classifier is trained with several seeds, with cross-entropy alone and with the soft nearest neighbor
loss of every hidden layer maximised beside it; at the untrained network and after some epochs every layer, the logits
included, is measured on the same held-out images.
What to expect: the scores of the last hidden layer and of the logits fall towards 0; how far the others fall is the
question.
What it costs: about three minutes on two processor cores (preset laptop).

    python cli.py study layers
    python cli.py study layers --imageset fashion-mnist --classifiers cnn --epochs 5 --seeds 3 --n 1000
"""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

import imagesets
from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.reporting.report import Report
from lab.reporting.verdicts import Claim
from lab.training.compute import Compute
from studies.layers import report as _layers_report
from tasks import measure_layers as cells
from tasks.evaluate_classifier import evaluating_cell, training_cell

if TYPE_CHECKING:
    import pandas as pd


class Config(Compute):
    """The grid of the study."""

    imageset: str = Field(description="image set that is learned; folder:PATH or zip:PATH for your own")
    classifiers: tuple[str, ...] = Field(min_length=1, description="classifiers, separated by commas")
    seeds: int = Field(ge=1, description="how many seeds of each classifier (0, 1, ...)")
    epochs: int = Field(ge=1, description="how often every training image is shown")
    alpha: float = Field(
        le=0, description="weight of the SNNL of every hidden layer, below 0: entangle; 0: only without it"
    )
    n: int = Field(ge=2, description="held-out images in each measurement")
    points: int = Field(ge=2, description="measurements over a training at most, from epoch 0 on, denser early")
    augmentation: Literal["recipe", "none", "shift", "flip-shift"] = Field(
        "recipe", description="random change of training images; recipe: each classifier's own"
    )

    @field_validator("imageset")
    @classmethod
    def _known_imageset(cls, name: str) -> str:
        imagesets.check(name)
        return name

    @field_validator("classifiers")
    @classmethod
    def _known_classifiers(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            registry.check("classifiers", name)
        return tuple(dict.fromkeys(names))


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {
        "imageset": "digits",
        "classifiers": ("resnet", "cnn"),
        "seeds": 1,
        "epochs": 2,
        "alpha": -0.01,
        "n": 150,
        "points": 3,
    },
    "laptop": {
        "imageset": "digits",
        "classifiers": ("resnet", "cnn"),
        "seeds": 5,
        "epochs": 30,
        "alpha": -0.01,
        "n": 500,
        "points": 8,
    },
    "paper": {
        "imageset": "cifar10",
        "classifiers": ("resnet", "cnn"),
        "seeds": 4,
        "epochs": 106,
        "alpha": -0.01,
        "n": 5000,
        "points": 20,
        "augmentation": "flip-shift",
    },
}

MARGIN = 0.05


def plan(config: Config) -> list[Cell]:
    """Train each classifier with each seed, without and with the SNNL; measure its layers; evaluate it once.

    Raises:
        UsageError: an unknown classifier or image set, or more images asked for than there are.
    """
    cells.check_sample_size(config.imageset, config.n)
    trainings = [
        _training(config, classifier, seed, alpha)
        for seed in range(config.seeds)
        for classifier in config.classifiers
        for alpha in alphas(config)
    ]
    return [
        *(cells.measuring_cell(training, config.n) for training in trainings),
        *(evaluating_cell(training) for training in trainings),
    ]


def alphas(config: Config) -> list[float]:
    """The weights of the SNNL that are compared: 0, and the asked-for one."""
    return sorted({0.0, config.alpha}, reverse=True)


def claims(config: Config) -> list[Claim]:
    """What is claimed, and by which margin, before anything runs."""
    stay = [
        Claim(
            key=f"stay/{classifier}",
            text=f"As {classifier} learns, its hidden layers but the last part the classes less than the last one and "
            "the logits do.",
            comparison="the smaller one of the falls in score of the last hidden layer and of the logits, minus the "
            "mean fall of the other hidden layers, untrained to trained, paired by seed; without SNNL",
            margin=MARGIN,
            kind="exceeds",
        )
        for classifier in config.classifiers
    ]
    entangled = [
        Claim(
            key=f"entangled/{classifier}",
            text=f"Trained with alpha = {config.alpha:g}, the hidden layers of {classifier} end more entangled than "
            "without it.",
            comparison="mean score of the hidden layers at the end, with alpha minus without, paired by seed",
            margin=MARGIN,
            kind="exceeds",
        )
        for classifier in config.classifiers
        if config.alpha
    ]
    return [*stay, *entangled]


def report(config: Config, table: "pd.DataFrame", artifacts: list[CellFolder]) -> Report:
    """The verdicts, tables, curves and maps, from the rows and the cells' artifacts alone."""
    classes = next((imagesets.spec_of(cell.config).classes for cell in artifacts if "imageset" in cell.config), ())
    settings = [f"alpha={alpha:g}" for alpha in alphas(config)]
    return _layers_report.draw(claims(config), table, artifacts, config.classifiers, settings, classes, config.n)


def _training(config: Config, classifier: str, seed: int, alpha: float) -> Cell:
    return training_cell(
        classifier,
        config.imageset,
        seed=seed,
        epochs=config.epochs,
        compute=config,
        settings={} if config.augmentation == "recipe" else {"augmentation": config.augmentation},
        alpha=alpha,
        snapshots=cells.schedule(config.epochs, config.points),
    )
