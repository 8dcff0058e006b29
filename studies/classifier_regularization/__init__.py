"""Does entangling the classes in a classifier's hidden layers regularise it?

Claim of Frosst, Papernot and Hinton (2019): cross-entropy plus alpha times the soft nearest neighbor loss of the hidden
layers (equation 3), with alpha < 0 so that entanglement is maximised, does not lower the test accuracy and slightly
raises it.

What is done: baseline (alpha 0), alpha < 0 and alpha > 0 are trained with the same seeds. A seed decides the initial
weights, the validation part and every batch, so that differences are paired; the learning rate is the same too. The
study looks at the test split once, at the end of training.
What to expect: differences of the size of the noise between seeds; a public replication found no gain.
What it costs: about a minute on two processor cores that compute in bf16 (preset laptop).

    python cli.py study classifier-regularization
    python cli.py study classifier-regularization --imagesets mnist,fashion-mnist --epochs 10
    python cli.py tune classifier-regularization --imageset fashion-mnist
"""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from imagesets import Name
from lab import registry
from lab.cells.cell import Cell
from lab.reporting.verdicts import Claim
from lab.studying.space import Searchable
from studies._config import BF16
from studies._recipe import Alphas, Recipe
from studies.classifier_regularization import search
from studies.classifier_regularization.effects import MARGIN, gain
from studies.classifier_regularization.report import report
from tasks import evaluate_classifier, train_classifier

__all__ = ["PRESETS", "SEARCH", "Config", "claims", "plan", "report"]


class Config(Recipe):
    """The grid of the study."""

    IMAGES: ClassVar[str] = "imagesets"

    imagesets: Annotated[tuple[Name, ...], registry.DISTINCT] = Field(
        min_length=1, description="image sets, separated by commas; folder:PATH or zip:PATH for your own"
    )
    alphas: Alphas = Field(
        min_length=1,
        description="weights of the loss, separated by commas: a negative one entangles the classes, as in the paper, "
        "a positive one disentangles them; the baseline, 0, always runs",
    )
    seeds: int = Field(ge=1, le=1000, description="how many seeds (0, 1, ...), the same for every alpha")


GRID = {"alphas": (-0.01, -0.003, 0.003), "seeds": 5}
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"imagesets": ("digits",), "alphas": (-0.003, 0.003), "seeds": 2, "epochs": 2},
    "laptop": {**GRID, **BF16, "imagesets": ("digits",), "epochs": 20},
    "paper": {
        **GRID,
        "imagesets": ("mnist", "fashion-mnist", "svhn"),
        "epochs": 60,
        "settings": ("optimizer=adam", "batch=256"),
        "learning_rate": 1e-4,
        "validation": 0.0,
    },
}

SEARCH = Searchable(search.Search, search.space, search.cells, search.score, search.preset)
"""What `snnl tune classifier-regularization` does."""


def plan(config: Config, data: Path) -> list[Cell]:
    """Train and evaluate every alpha and the baseline, on every image set, with every seed.

    Raises:
        UsageError: an unknown name, an impossible setting, or an image set that has no test split.
        WorkbenchError: a user's own images are not below `data`.
    """
    return [
        evaluate_classifier.cell(train_classifier.cell(config.training(images, alpha, seed), data), data)
        for images in config.imagesets
        for seed in range(config.seeds)
        for alpha in (0.0, *config.alphas)
    ]


def claims(config: Config) -> list[Claim]:
    """What is claimed of each negative alpha on each image set, and by which margin, before anything runs."""
    settings = config.settings_by_alpha(config.alphas)
    return [
        Claim(
            f"Entangling the hidden layers with alpha = {alpha:g} {words} on {images}.",
            "test accuracy in percentage points, with the loss minus baseline, paired by seed",
            margin,
            "exceeds",
            partial(gain, images=images, setting=settings[alpha], without=settings[0.0]),
            finding=1,
        )
        for images in config.imagesets
        for alpha in config.alphas
        if alpha < 0
        for words, margin in (("does not lower the test accuracy", -MARGIN), ("raises the test accuracy", MARGIN))
    ]
