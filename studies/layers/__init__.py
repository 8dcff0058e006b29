"""Which layers of a classifier part the classes as it learns, and does maximising entanglement keep them mixed?

Claim of Frosst, Papernot and Hinton (2019): while a network learns, the classes stay entangled in its hidden layers,
and only the last block parts them.

What is done: each classifier is trained with several seeds, with cross-entropy alone and with the soft nearest neighbor
loss of every hidden layer maximised beside it; at the untrained network and after some epochs every layer, the logits
included, is measured on the same held-out images.
What to expect: the scores of the last hidden layer and of the logits fall towards 0; how far the others fall is the
question.
What it costs: about three minutes on two processor cores that compute in bf16 (preset laptop).

    python cli.py study layers
    python cli.py study layers --imageset fashion-mnist --classifiers cnn --epochs 5 --seeds 3 --n 1000
"""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

import imagesets
from lab import registry
from lab.cells.cell import Cell
from lab.errors import UsageError
from lab.reporting.verdicts import Claim
from studies._config import BF16, Fitting, TrainingStudy, fitting_n, fitting_training
from studies.layers.report import fall_of_the_last, report, rise_of_the_hidden
from tasks import evaluate_classifier, measure_layers, train_classifier

__all__ = ["PRESETS", "Config", "claims", "plan", "report"]


class Config(TrainingStudy):
    """The grid of the study."""

    imageset: imagesets.Name = Field(description="image set that is learned; folder:PATH or zip:PATH for your own")
    classifiers: Annotated[tuple[Annotated[str, registry.known("classifiers")], ...], registry.DISTINCT] = Field(
        min_length=1, description="classifiers, separated by commas"
    )
    seeds: int = Field(ge=1, le=1000, description="how many seeds of each classifier (0, 1, ...)")
    epochs: int = Field(ge=1, le=1_000_000, description="how often every training image is shown")
    alpha: float = Field(
        le=0, description="weight of the SNNL of every hidden layer, below 0: entangle; 0: only without it"
    )
    batch: int | None = Field(None, ge=2, description="images in a batch; not given, each classifier's own")
    validation: float = Field(
        0.1, ge=0, lt=1, description="share of the train split that is kept apart to validate on, drawn by seed"
    )
    n: int = Field(ge=2, description="held-out images in each measurement")
    points: int = Field(
        ge=2, le=1000, description="measurements over a training at most, from epoch 0 on, denser early"
    )
    augmentation: Literal["recipe", "none", "shift", "flip-shift"] = Field(
        "recipe", description="random change of training images; recipe: each classifier's own"
    )

    @property
    def alphas(self) -> list[float]:
        """The weights of the SNNL that are compared: 0, and the asked-for one."""
        return sorted({0.0, self.alpha}, reverse=True)

    @property
    def settings(self) -> list[str]:
        """What the rows say of trainings with those weights: the first is that without the SNNL."""
        return [self.training(self.classifiers[0], 0, alpha).setting for alpha in self.alphas]

    def training(self, classifier: str, seed: int, alpha: float) -> train_classifier.Config:
        """The settings of a classifier's training.

        Raises:
            UsageError: one is impossible for this classifier.
        """
        shared = self.model_dump(include={*train_classifier.Config.model_fields})
        recipe: dict[str, Any] = {} if self.augmentation == "recipe" else {"augmentation": self.augmentation}
        recipe |= {} if self.batch is None else {"batch": self.batch}
        own = {"classifier": classifier, "settings": recipe, "seed": seed, "alpha": alpha}
        snapshots = measure_layers.schedule(self.epochs, self.points)
        return train_classifier.Config.parse({**shared, **own, "snapshots": snapshots})

    def fitting(self, data: Path) -> Fitting:
        """As many held-out images as there are, a batch of so many to train on, and some to validate on."""
        trainings = [self.training(classifier, 0, 0.0) for classifier in self.classifiers]
        return fitting_n(self.n, self.images, ("test",), data) | fitting_training(trainings, data)


BOTH, FLIPPED = {"classifiers": ("resnet", "cnn"), "alpha": -0.01}, {"augmentation": "flip-shift"}
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {**BOTH, "imageset": "digits", "seeds": 1, "epochs": 2, "n": 150, "points": 3},
    "laptop": {**BOTH, **BF16, "imageset": "digits", "seeds": 5, "epochs": 30, "n": 500, "points": 8},
    "paper": {**BOTH, **FLIPPED, "imageset": "cifar10", "seeds": 4, "epochs": 106, "n": 5000, "points": 20},
}

MARGIN = 0.05
FEWEST = 2
"""Of so many images of a class, some are near one another or not."""


def plan(config: Config, data: Path) -> list[Cell]:
    """Train each classifier with each seed, without and with the SNNL; measure its layers; evaluate it once.

    Raises:
        UsageError: an unknown classifier or image set, or more images asked for than there are.
        WorkbenchError: a user's own images are not below `data`.
    """
    imagesets.check_n(config.imageset, config.n, ("test",), data)
    if max(imagesets.counts(config.imageset, "test", data), default=FEWEST) < FEWEST:
        raise UsageError(
            f"{config.imageset} holds out one image of a class at most, so there is nothing to measure: add images."
        )
    trainings = [
        train_classifier.cell(config.training(classifier, seed, alpha), data)
        for seed in range(config.seeds)
        for classifier in config.classifiers
        for alpha in config.alphas
    ]
    return [
        *(measure_layers.cell(training, config.n) for training in trainings),
        *(evaluate_classifier.cell(training, data) for training in trainings),
    ]


def claims(config: Config) -> list[Claim]:
    """What is claimed, and by which margin, before anything runs."""
    without, *entangled = config.settings
    stay = [
        Claim(
            f"As {classifier} learns, its hidden layers but the last part the classes less than the last one and the "
            "logits do.",
            "the smaller one of the falls in score of the last hidden layer and of the logits, minus the mean fall of "
            "the other hidden layers, untrained to trained, paired by seed; without SNNL",
            MARGIN,
            "exceeds",
            partial(fall_of_the_last, classifier=classifier, setting=without),
            finding=2,
        )
        for classifier in config.classifiers
    ]
    mixed = [
        Claim(
            f"Trained with alpha = {config.alpha:g}, the hidden layers of {classifier} end more entangled than "
            "without it.",
            "mean score of the hidden layers at the end, with alpha minus without, paired by seed",
            MARGIN,
            "exceeds",
            partial(rise_of_the_hidden, classifier=classifier, setting=setting, without=without),
        )
        for setting in entangled
        for classifier in config.classifiers
    ]
    return [*stay, *mixed]
