"""Values by seed, and intervals: of a mean, a paired difference and Welch's difference over seeds, and of a share.

Rows are those of the one tidy table (`lab.cells.rows`), of one measure; a Series of values has the seeds as its index.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95
FEWEST = 3
"""Values that an interval needs: of two, Student's factor is 12.7, and the interval says nothing."""
Range = tuple[float, float]
"""What a quantity can be at least and at most."""
ANY: Range = (-math.inf, math.inf)
SHARE: Range = (0.0, 1.0)
OF_SHARES: Range = (-1.0, 1.0)
"""Of a difference of two shares."""
PERCENT: Range = (0.0, 100.0)
POINTS: Range = (-100.0, 100.0)
"""Of a difference of two percentages."""
POSITIVE: Range = (0.0, math.inf)


@dataclass(frozen=True)
class Estimate:
    """A value with its interval.

    Attributes:
        value: the mean, or the difference of two means.
        low, high: ends of the interval; NaN with fewer than three values.
        n: how many values it rests on; for two sets that are not paired, those of the smaller.
    """

    value: float
    low: float
    high: float
    n: int


def by_seed(rows: "pd.DataFrame") -> "pd.Series[float]":
    """The values of rows of which each seed has one."""
    values: pd.Series[float] = rows["value"]
    return values.set_axis(rows["seed"]).sort_index()


def first_by_seed(rows: "pd.DataFrame") -> "pd.Series[float]":
    """The values at the first step; seeds that lack it are left out."""
    return by_seed(rows[rows["step"] == rows["step"].min()])


def last_by_seed(rows: "pd.DataFrame") -> "pd.Series[float]":
    """The values at the last step; seeds that lack it are left out."""
    return by_seed(rows[rows["step"] == rows["step"].max()])


def mean_interval(values: Sequence[float] | Any, *, within: Range = ANY, confidence: float = CONFIDENCE) -> Estimate:
    """The mean of independent values with Student's interval; equal values have one without width.

    Where the mean can only be `within` a range, the interval ends there: it holds the mean as often as before.

    Raises:
        ValueError: there is no value, or one is not finite.
    """
    data = _checked(values)
    n, deviation = len(data), math.sqrt(_variance(data))
    return _student(float(data.mean()), deviation, math.sqrt(n), n - 1, n, within, confidence)


def paired_by_seed(after: "pd.Series[float]", before: "pd.Series[float]", *, within: Range = ANY) -> Estimate | None:
    """The mean of after - before with Student's interval, over the seeds that both have a value of; None without one.

    The interval ends where the difference can only be `within` a range.

    Raises:
        ValueError: a difference is infinite.
    """
    differences = (after - before).dropna().sort_index()
    return mean_interval(differences, within=within) if len(differences) else None


def welch_difference(one: Sequence[float] | Any, other: Sequence[float] | Any, *, within: Range = ANY) -> Estimate:
    """The difference of the means, one - other, of sets that are not paired, with Welch's interval.

    The interval ends where the difference can only be `within` a range.

    Raises:
        ValueError: a set is empty, or a value is not finite.
    """
    first, second = _checked(one), _checked(other)
    value, n = float(first.mean() - second.mean()), min(len(first), len(second))
    shares = np.array([_variance(first) / len(first), _variance(second) / len(second)])
    spread = (shares**2 / np.maximum(np.array([len(first), len(second)]) - 1, 1)).sum()
    freedom = shares.sum() ** 2 / spread if spread else 1
    return _student(value, math.sqrt(shares.sum()), 1.0, freedom, n, within, CONFIDENCE)


def share_interval(hits: int, n: int, *, confidence: float = CONFIDENCE) -> Estimate:
    """The share of n independent trials that hit, with the exact interval of Clopper and Pearson (1934).

    Raises:
        ValueError: there is no trial, or the hits are not from 0 to n.
    """
    from scipy.special import betaincinv

    if not 0 <= hits <= n or not n:
        raise ValueError(f"a share needs 0 to n hits of n > 0 trials; got {hits} of {n}.")
    tail = (1 - confidence) / 2
    low = float(betaincinv(hits, n - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    return Estimate(hits / n, low, high, n)


def _student(
    value: float, deviation: float, root: float, freedom: float, n: int, within: Range, confidence: float
) -> Estimate:
    """The interval of a value whose standard error is deviation / root, by Student's distribution."""
    from scipy.special import stdtrit  # the quantile; `scipy.stats` takes long to import

    half = float(stdtrit(freedom, (1 + confidence) / 2)) * deviation / root if n >= FEWEST else math.nan
    low, high = (float(np.clip(end, *within)) for end in (value - half, value + half))
    return Estimate(value, low, high, n)


def _variance(data: "np.ndarray[Any, np.dtype[np.float64]]") -> float:
    """The sample variance; exactly 0 for equal values, where the mean's rounding would leave a trace."""
    return 0.0 if data.min() == data.max() else float(data.var(ddof=1))


def _checked(values: Sequence[float] | Any) -> "np.ndarray[Any, np.dtype[np.float64]]":
    data = np.asarray(values, dtype=np.float64).ravel()
    if not len(data) or not np.isfinite(data).all():
        raise ValueError(f"an interval needs finite values, at least one; got {data.tolist()}.")
    return data
