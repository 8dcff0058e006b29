"""Orders: how far measures agree on them, by Kendall's tau, and how sure each place in a ranking is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.reporting.statistics import CONFIDENCE, FEWEST, Estimate

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, np.dtype[np.float64]]
DRAWS = 4000


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b of each pair of measures, and its draws over resampled runs.

    Attributes:
        names: the measures.
        tau: (m, m), from -1, opposite orders, to 1, the same order; NaN where a measure is the same everywhere.
        draws: (draws, m, m), the same of runs drawn with replacement.
        n: how many runs there are.
    """

    names: tuple[str, ...]
    tau: Array
    draws: Array
    n: int

    def estimate(self, one: str, other: str) -> Estimate | None:
        """Tau of two measures with its interval; None where one is the same everywhere."""
        a, b = self.names.index(one), self.names.index(other)
        return self._estimate(self.tau[a, b], self.draws[:, a, b])

    def difference(self, one: str, other: str, than: str) -> Estimate | None:
        """By how much more a measure agrees with another than with a third; None where one is the same everywhere."""
        a, b, c = map(self.names.index, (one, other, than))
        return self._estimate(self.tau[a, b] - self.tau[a, c], self.draws[:, a, b] - self.draws[:, a, c])

    def _estimate(self, value: float, draws: Array) -> Estimate | None:
        if np.isnan(value):
            return None
        known = draws[np.isfinite(draws)]
        tails = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
        low, high = np.quantile(known, tails) if self.n >= FEWEST and len(known) else (np.nan, np.nan)
        return Estimate(float(value), float(low), float(high), self.n)


def agreement(values: "pd.DataFrame") -> Agreement | None:
    """How far measures order the same points alike.

    All points of a run are drawn together (a bootstrap of clusters), since those of one training depend on each other;
    intervals are percentiles. Of few runs these are too narrow, and lean to what one run says by itself: the points of
    one that is drawn twice are held against one another.

    Args:
        values: a column for each measure, a row for each point; the index names the run that a point is of. Columns
            without a value, then points that lack one, are left out.

    Returns:
        None without two points.
    """
    known = values.dropna(axis="columns", how="all").dropna()
    if len(known) < 2:
        return None
    names, runs = tuple(map(str, known.columns)), known.index.to_numpy()
    kinds, place = np.unique(runs, return_inverse=True)
    belongs = np.eye(len(kinds))[place]
    points = known.to_numpy(dtype=np.float64).T
    signs = np.sign(points[:, :, None] - points[:, None, :])
    concordant = np.array([[belongs.T @ (one * other) @ belongs for other in signs] for one in signs])
    counts = np.random.default_rng(0).multinomial(len(kinds), np.full(len(kinds), 1 / len(kinds)), DRAWS)
    ones = np.ones((1, len(kinds)))
    return Agreement(names, _tau(concordant, ones)[0], _tau(concordant, counts.astype(np.float64)), len(kinds))


def _tau(concordant: Array, counts: Array) -> Array:
    """Tau-b of pairs whose concordance is summed by run, (m, m, runs, runs), with each run so many times, (d, runs)."""
    sums = np.einsum("dr,abrs,ds->dab", counts, concordant, counts, optimize=True)
    pairs = np.sqrt(np.einsum("daa->da", sums))
    with np.errstate(invalid="ignore", divide="ignore"):
        taken: Array = sums / (pairs[:, :, None] * pairs[:, None, :])
    return taken.clip(-1, 1)


@dataclass(frozen=True)
class Place:
    """A place in a ranking.

    Attributes:
        name: who has it.
        right: the probability that the true mean is at this place among all; NaN where someone has one value alone.
        above_next: the probability that it is better than the next one's; NaN for the last, too.
    """

    name: str
    right: float
    above_next: float


def ranking(values: "Mapping[str, pd.Series[float]]", *, higher_is_better: bool) -> list[Place]:
    """The names by their means, the best first, and how sure each place is.

    Each true mean is drawn from Student's distribution around the mean of its values with their standard error (what
    they say of it without other knowledge, if they are normal); a place is right in the draws that have its name there.
    Equal draws, as of names whose values are all the same, come in either order.
    """
    known = {name: one.dropna().to_numpy(dtype=np.float64) for name, one in values.items() if len(one.dropna())}
    sign = 1.0 if higher_is_better else -1.0
    order = sorted(known, key=lambda name: -sign * float(known[name].mean()))
    if not order:
        return []
    if any(len(one) < 2 for one in known.values()):
        return [Place(name, np.nan, np.nan) for name in order]
    generator = np.random.default_rng(0)
    means = np.array([sign * _means(known[name], generator) for name in order])
    lots = generator.random(means.shape)
    places = np.lexsort((lots, -means), axis=0).argsort(axis=0)
    right = (places == np.arange(len(order))[:, None]).mean(axis=1)
    above = [*(places[:-1] < places[1:]).mean(axis=1), np.nan]
    return [Place(name, float(one), float(other)) for name, one, other in zip(order, right, above, strict=True)]


def _means(values: Array, generator: np.random.Generator) -> Array:
    error = values.std(ddof=1) / np.sqrt(len(values))
    return np.asarray(values.mean() + error * generator.standard_t(len(values) - 1, DRAWS * 5))
