"""How studies of one classifier train it, but for alpha and seed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field

from classifiers._config import Supervision, TrainingConfig
from imagesets import Name
from lab import registry
from lab.cells.cell import Cell
from lab.config import Assignments, assigned
from studies._config import Fitting, TrainingStudy, fitting_training
from tasks import train_classifier


def _without_baseline(alphas: tuple[float, ...]) -> tuple[float, ...]:
    if 0 in alphas:
        raise ValueError("0 is the baseline, which always runs: name the others alone")
    return registry.distinct(float(f"{alpha:g}") for alpha in alphas)  # as tables tell them apart


Alphas = Annotated[tuple[float, ...], AfterValidator(_without_baseline)]
"""Weights of the loss beside the baseline's 0, each once."""


class Recipe(Supervision, TrainingStudy):
    """A classifier and its training."""

    classifier: Annotated[str, registry.known("classifiers")] = Field("cnn", description="the classifier to train")
    learning_rate: float | None = Field(
        None, gt=0, description="step size, the same with and without the loss; not given, the classifier's own"
    )
    settings: Assignments = Field((), description="other settings of the classifier, as width=16,optimizer=sgd")

    def fitting(self, data: Path, apart: int = 1) -> Fitting:
        """The largest batch that the smallest of the image sets allows, and a share of it that validates."""
        return fitting_training([self.training(name, 0.0, 0) for name in self.images], data, apart)

    @property
    def asked(self) -> set[str]:
        """The settings that were asked for; the batch is one of `settings`."""
        named = self.settings if "settings" in super().asked else ()
        return super().asked | {setting.partition("=")[0] for setting in named}

    def with_fit(self, values: dict[str, Any]) -> Self:
        """The settings with others in their place, the batch among `settings`."""
        batch = values.pop("batch", None)
        others = [setting for setting in self.settings if not setting.startswith("batch=")]
        return super().with_fit(values if batch is None else {**values, "settings": (*others, f"batch={batch}")})

    def classifier_settings(self) -> dict[str, Any]:
        """The classifier's settings that are given."""
        rate = {} if self.learning_rate is None else {"learning_rate": self.learning_rate}
        return {**assigned(self.settings), **rate}

    def training(self, images: str, alpha: float, seed: int) -> TrainingConfig:
        """The settings of a training; with alpha 0 it is the baseline, whatever the layers.

        Raises:
            UsageError: the classifier has no such layer or setting, or an impossible one.
        """
        shared = self.model_dump(include={*Supervision.model_fields})
        own = {"classifier": self.classifier, "settings": self.classifier_settings()}
        return TrainingConfig.parse({**shared, **own, "imageset": images, "alpha": alpha, "seed": seed})

    def settings_by_alpha(self, alphas: Iterable[float]) -> dict[float, str]:
        """What rows say of trainings with each alpha, the baseline's 0 first; it is the same for all images."""
        return {alpha: self.training(self.images[0], alpha, 0).setting for alpha in (0.0, *alphas)}


class Entangled(Recipe):
    """Classifiers that entangle or disentangle the classes, beside the baseline, on one image set."""

    imageset: Name = Field(description="image set that is learned; folder:PATH or zip:PATH for your own")
    alphas: Alphas = Field(
        min_length=1,
        description="weights of the loss, separated by commas: a negative one entangles the classes, a positive one "
        "disentangles them; the baseline, 0, always runs",
    )
    seeds: int = Field(ge=1, le=1000, description="how many seeds (0, 1, ...), the same for every alpha")

    def trainings(self, data: Path) -> list[Cell[TrainingConfig]]:
        """The cells that train the baseline and every alpha with every seed, by seed.

        Raises:
            UsageError: an unknown name, an impossible setting, or too few images.
            WorkbenchError: a user's own images are not below `data`.
        """
        grid = ((seed, alpha) for seed in range(self.seeds) for alpha in (0.0, *self.alphas))
        return [train_classifier.cell(self.training(self.imageset, alpha, seed), data) for seed, alpha in grid]
