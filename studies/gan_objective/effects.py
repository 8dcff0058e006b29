"""What the claims are judged by, from the table alone."""

from typing import TYPE_CHECKING

from lab.reporting.statistics import ANY, OF_SHARES, SHARE, Estimate, Range, paired_by_seed, welch_difference
from studies._measures import Measure, named_spaces

if TYPE_CHECKING:
    import pandas as pd


def difference(table: "pd.DataFrame", one: str, other: str, space: str, measure: Measure) -> Estimate | None:
    """A measure at the end of training, of one minus another, Welch over seeds."""
    sides = [_ends(table, name, space, measure) for name in (one, other)]
    return welch_difference(*sides, within=_difference_of(measure)) if all(map(len, sides)) else None


def gain(table: "pd.DataFrame", one: str, other: str, space: str, measure: Measure) -> Estimate | None:
    """The same of trainings with the same seeds, weights and batches, paired."""
    return paired_by_seed(
        *(_ends(table, name, space, measure) for name in (one, other)), within=_difference_of(measure)
    )


def by_what_is_compared(table: "pd.DataFrame") -> "pd.DataFrame":
    """The rows with what is compared as their model: the GAN with its setting."""
    names = table["model"].where(table["setting"] == "", table["model"] + ", " + table["setting"])
    return table.assign(model=names)


def _difference_of(measure: Measure) -> Range:
    return OF_SHARES if measure.within == SHARE else ANY


def _ends(table: "pd.DataFrame", name: str, space: str, measure: Measure) -> "pd.Series[float]":
    return measure.ends(by_what_is_compared(table), named_spaces(table).get(space, space), [name])[name]
