"""What the parts of the study of regularisation share: how a classifier is trained but for alpha and seed; a margin."""

import math
from typing import Any, Literal

from pydantic import Field, field_validator

from lab import registry
from lab.cells.cell import Cell
from lab.training.compute import Compute
from tasks import evaluate_classifier as cells

MARGIN = 0.1
"""Percentage points of test accuracy: the smallest difference that counts."""


class Recipe(Compute):
    """A classifier and its training."""

    classifier: str = Field("cnn", description="the classifier to train")
    epochs: int = Field(10, ge=1, description="length of training in epochs")
    snnl_layers: tuple[str, ...] | None = Field(
        None, description="hidden layers in the sum of the loss, separated by commas; not given, all of them"
    )
    temperature: str | float = Field(
        "minimize", description="minimize: the best one in every batch; learn: by gradient steps; or a fixed number"
    )
    distance: Literal["sqeuclidean", "cosine"] = Field(
        "sqeuclidean", description="squared Euclidean distance between representations, or 1 - cos"
    )
    validation: float = Field(
        0.1, ge=0, lt=1, description="share of the train split that is kept for validation, drawn by seed"
    )
    learning_rate: float | None = Field(
        None, gt=0, description="step size, the same with and without the loss; not given, the classifier's own"
    )
    settings: tuple[str, ...] = Field((), description="other settings of the classifier, as width=16,optimizer=sgd")

    @field_validator("classifier")
    @classmethod
    def _known_classifier(cls, name: str) -> str:
        registry.check("classifiers", name)
        return name

    @field_validator("settings")
    @classmethod
    def _named_settings(cls, settings: tuple[str, ...]) -> tuple[str, ...]:
        for setting in settings:
            if "=" not in setting:
                raise ValueError("NAME=VALUE is needed, several separated by commas")
        return settings

    @field_validator("temperature", mode="before")
    @classmethod
    def _known_temperature(cls, value: Any) -> Any:
        if value in ("minimize", "learn"):
            return value
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 < number < math.inf:
            raise ValueError("minimize, learn or a number above 0 is needed")
        return number

    def classifier_settings(self) -> dict[str, Any]:
        """The classifier's settings that are given."""
        rate = {} if self.learning_rate is None else {"learning_rate": self.learning_rate}
        return {**dict(setting.split("=", 1) for setting in self.settings), **rate}

    def training(self, images: str, alpha: float, seed: int) -> Cell:
        """The cell that trains with this alpha and seed; with alpha 0 it is the baseline, whatever the layers.

        Raises:
            UsageError: the classifier has no such layer or setting, or an impossible one.
        """
        return cells.training_cell(
            self.classifier,
            images,
            seed=seed,
            epochs=self.epochs,
            compute=self,
            settings=self.classifier_settings(),
            alpha=alpha,
            layers=self.snnl_layers,
            temperature=self.temperature,
            distance=self.distance,
            validation=self.validation,
        )
