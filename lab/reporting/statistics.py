"""Intervals over seeds: a mean, a paired difference, and Welch's difference."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value with its interval.

    Attributes:
        value: the mean, or the difference of two means.
        low, high: ends of the interval; NaN with fewer than two values.
        n: how many values it rests on; for two sets that are not paired, those of the smaller.
    """

    value: float
    low: float
    high: float
    n: int


def mean_interval(values: Sequence[float] | Any, *, confidence: float = CONFIDENCE) -> Estimate:
    """The mean of independent values with Student's interval; equal values have one without width.

    Raises:
        ValueError: there is no value, or one is not finite.
    """
    from scipy import stats

    data = _checked(values)
    mean, n = float(data.mean()), len(data)
    if n < 2:
        return Estimate(mean, math.nan, math.nan, n)
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * math.sqrt(_variance(data)) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def paired_difference(
    after: Sequence[float] | Any, before: Sequence[float] | Any, *, confidence: float = CONFIDENCE
) -> Estimate:
    """The mean of after - before, pair by pair, with Student's interval.

    Raises:
        ValueError: the two differ in number, there is none, or one is not finite.
    """
    first, second = _checked(after), _checked(before)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values cannot be paired.")
    return mean_interval(first - second, confidence=confidence)


def welch_difference(
    one: Sequence[float] | Any, other: Sequence[float] | Any, *, confidence: float = CONFIDENCE
) -> Estimate:
    """The difference of the means, one - other, of sets that are not paired, with Welch's interval.

    Raises:
        ValueError: a set is empty, or a value is not finite.
    """
    from scipy import stats

    first, second = _checked(one), _checked(other)
    value, n = float(first.mean() - second.mean()), min(len(first), len(second))
    if n < 2:
        return Estimate(value, math.nan, math.nan, n)
    shares = np.array([_variance(first) / len(first), _variance(second) / len(second)])
    if not shares.sum():
        return Estimate(value, value, value, n)
    freedom = shares.sum() ** 2 / (shares**2 / (np.array([len(first), len(second)]) - 1)).sum()
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(shares.sum())
    return Estimate(value, value - half, value + half, n)


def _variance(data: "np.ndarray[Any, np.dtype[np.float64]]") -> float:
    """The sample variance; exactly 0 for equal values, where the mean's rounding would leave a trace."""
    return 0.0 if data.min() == data.max() else float(data.var(ddof=1))


def _checked(values: Sequence[float] | Any) -> "np.ndarray[Any, np.dtype[np.float64]]":
    data = np.asarray(values, dtype=np.float64).ravel()
    if not len(data) or not np.isfinite(data).all():
        raise ValueError(f"an interval needs finite values, at least one; got {data.tolist()}.")
    return data
