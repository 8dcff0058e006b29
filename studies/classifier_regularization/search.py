"""The search of the regularisation study's settings: what is varied, how it is tried and scored, what comes of it.

The score is the accuracy on the validation part at the end of training, a mean over seeds; the test split is not read.
The seeds are others than the study's, so that the study's trainings had no part in the choice.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from imagesets import Name
from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.errors import UsageError, unknown_name
from lab.studying.space import Choice, Range, Space, Values
from studies._recipe import Recipe
from tasks import train_classifier

SEARCHED = ("alpha", "temperature", "learning_rate", "snnl_layers")
FIRST_SEED = 1000
ALPHAS = Range(1e-3, 1e-1, sign=-1)
"""Over four layers, an alpha of -0.1 outweighs the cross-entropy."""
RATE_FACTOR = 5.0
"""The learning rate is searched from a fifth to five times the classifier's own."""


class Search(Recipe):
    """The settings of the search; what is not searched is as it is given here."""

    imageset: Name = Field("digits", description="image set to try settings on; folder:PATH or zip:PATH for your own")
    seeds: int = Field(
        2, ge=1, le=1000, description="trainings of each trial, with seeds 1000, 1001, ..., unlike the study's"
    )
    validation: float = Field(
        0.1, gt=0, lt=1, description="share of the train split whose accuracy is the score, drawn by seed"
    )
    alpha: float = Field(0.0, description="weight of the loss where it is not searched; 0 for the baseline")
    search: tuple[str, ...] = Field(
        SEARCHED,
        min_length=1,
        validate_default=True,
        description="what to search, of alpha (negative), temperature, learning_rate, snnl_layers",
    )

    @field_validator("search")
    @classmethod
    def _known_and_not_given(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for name in names:
            if name not in SEARCHED:
                raise unknown_name("setting to search", name, SEARCHED)
            if name in info.data and info.data[name] != cls.model_fields[name].default:
                raise ValueError(f"{name} is given, too: leave it out of one of the two")
        return registry.distinct(names)


def space(config: Search) -> Space:
    """What is searched; `snnl_layers` only of two layers or more, whose names the classifier tells unbuilt.

    Raises:
        UsageError: nothing is left to search.
    """
    rate = _own_settings(config).learning_rate
    parts: dict[str, Range | Choice] = {
        "alpha": ALPHAS,
        "temperature": Choice(("minimize", "learn")),
        "learning_rate": Range(rate / RATE_FACTOR, rate * RATE_FACTOR),
        "snnl_layers": Choice(tuple(_groups(config))),
    }
    chosen = {name: parts[name] for name in config.search if parts[name] != Choice(("all",))}
    if chosen:
        return chosen
    raise UsageError(f"search: there is one choice of snnl_layers only for {config.classifier}: name another setting.")


def cells(config: Search, values: Values, data: Path) -> list[Cell]:
    """The trainings that try the values, one a seed."""
    recipe, alpha = _with_values(config, values)
    seeds = range(FIRST_SEED, FIRST_SEED + config.seeds)
    return [train_classifier.cell(recipe.training(config.imageset, alpha, seed), data) for seed in seeds]


def score(trained: Sequence[CellFolder]) -> float:
    """The mean of the trainings' last accuracies on their validation parts."""
    return sum(_last_accuracy(cell) for cell in trained) / len(trained)


def preset(config: Search, values: Values) -> dict[str, Any]:
    """The settings of the study: the search's own with the values in their place."""
    recipe, alpha = _with_values(config, values)
    kept = {name: value for name, value in recipe.changed().items() if name in Recipe.model_fields}
    alphas = {"alphas": [alpha]} if alpha else {}
    always = {"classifier": config.classifier, "epochs": config.epochs, "imagesets": [config.imageset]}
    return {**kept, **always, **alphas}


def _with_values(config: Search, values: Values) -> tuple[Recipe, float]:
    """The recipe and the alpha that values mean."""
    named: dict[str, Any] = dict(values)
    alpha = float(named.pop("alpha", config.alpha))
    if "snnl_layers" in named:
        named["snnl_layers"] = _groups(config)[named["snnl_layers"]]
    return config.model_copy(update=named), alpha


def _groups(config: Search) -> dict[str, tuple[str, ...] | None]:
    """Groups of hidden layers by name; None means all."""
    hidden: tuple[str, ...] = _own_settings(config).hidden_layers or ()
    half = len(hidden) // 2
    return {"all": None} | ({"lower": hidden[:half], "upper": hidden[half:]} if half else {})


def _own_settings(config: Search) -> Any:
    return registry.config_class("classifiers", config.classifier).parse(config.classifier_settings())


def _last_accuracy(cell: CellFolder) -> float:
    rows = [row for row in cell.rows() if row.get("split") == "validation" and row["metric"] == "accuracy"]
    return float(max(rows, key=lambda row: row["step"])["value"])
