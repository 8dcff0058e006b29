"""What a study says of the search of its settings: what is searched, how it is tried and scored, what comes of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.config import Config

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SIGNIFICANT = 3
"""Digits that proposed numbers are rounded to."""


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both above 0, searched by their logarithm; with `sign` -1 their negatives."""

    low: float
    high: float
    sign: int = 1

    def distribution(self) -> "BaseDistribution":
        """The range as Optuna has it."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=True)

    def value(self, proposed: Any) -> float:
        """The setting that Optuna's number means."""
        return self.sign * float(f"{proposed:.{SIGNIFICANT}g}")

    @property
    def example(self) -> float:
        """A setting of the range."""
        return self.value(self.low)

    def __str__(self) -> str:
        ends = sorted((self.value(self.low), self.value(self.high)))
        return f"{ends[0]:g} to {ends[1]:g}, by the logarithm"


@dataclass(frozen=True)
class Choice:
    """One of several words."""

    words: tuple[str, ...]

    def distribution(self) -> "BaseDistribution":
        """The choice as Optuna has it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.words)

    def value(self, proposed: Any) -> str:
        """The setting that Optuna's word means."""
        return str(proposed)

    @property
    def example(self) -> str:
        """A setting of the choice."""
        return self.words[0]

    def __str__(self) -> str:
        return " or ".join(self.words)


Space = Mapping[str, Range | Choice]
Values = dict[str, float | str]


@dataclass(frozen=True)
class Searchable:
    """What a study says of the search of its settings, as its `SEARCH`.

    Attributes:
        settings: the class of the search's own settings.
        space: what is searched, by name.
        cells: the cells that try values, on data below a folder; they are trained, and see no held-out data.
        score: the score of those cells when they are done; higher is better.
        preset: the settings of the study that values make.
    """

    settings: type[Config]
    space: Callable[[Any], Space]
    cells: Callable[[Any, Values, Path], list[Cell[Any]]]
    score: Callable[[Sequence[CellFolder]], float]
    preset: Callable[[Any, Values], dict[str, Any]]
