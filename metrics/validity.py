"""Validity of p-values: whether they are at most t as rarely as they claim.

Protocol: the p-values of n inputs of the kind trained on, each for its true class; valid ones are at most t with
probability at most t, exact ones with probability t. The share of p-values at most t is shown beside t, with the
central interval that it falls in with at least the given probability if they are exact. The interval is exact, and
pointwise: it holds at each level by itself, not at all of them together.

P-values from one calibration set are not independent. Given that set, the share that a set of infinite size would
have is itself random: Beta(l, n_cal + 1 - l) over calibration sets, with l = t (n_cal + 1) (Vovk 2012), and the count
among n inputs is beta-binomial. Where l is no whole number, the lower end is that of the whole number below, the upper
end that of the one above. Without a calibration set (independent uniform p-values) the count is binomial.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from scipy import stats
from torch import Tensor

from metrics._arguments import Row, check_unit, check_vector
from snnl_core.conformal import Calibration, Mode, uniform

LEVELS = (0.01, 0.05, 0.1, 0.2, 0.5)
PROBABILITY = 0.95
REPEATS = 200
"""Random splits into calibration scores and others."""


def measure(
    p_values: Tensor,
    n_calibration: int | None = None,
    levels: Sequence[float] = LEVELS,
    probability: float = PROBABILITY,
) -> list[Row]:
    """Rows (metric, level, value, low, high, n): the share of p-values at most each level, and the band for it.

    Args:
        p_values: floating (n,), in [0, 1].
        n_calibration: how many samples they were calibrated with; default none: independent p-values.
        levels: those of the rows, each in (0, 1).
        probability: that of the band, in (0, 1).

    Raises:
        TypeError: p-values are not floating.
        ValueError: no p-value, one outside [0, 1], or an impossible level, probability or n_calibration.
    """
    shares, n = empirical_distribution(p_values, levels).tolist(), len(p_values)
    bands = (band(level, n, n_calibration, probability) for level in levels)
    return [_row(level, share, *ends, n) for level, share, ends in zip(levels, shares, bands, strict=True)]


def resampled(
    scores: Tensor,
    n_calibration: int,
    mode: Mode,
    generator: torch.Generator,
    *,
    repeats: int = REPEATS,
    levels: Sequence[float] = LEVELS,
) -> list[Row]:
    """Rows (metric, level, value, low, high, n) of the share of p-values at most each level, mean over random splits.

    Scores are split into calibration ones and the rest again and again, which makes the two exchangeable whatever they
    are: `smoothed` p-values then have the level as their mean share, `valid` ones at most that. The interval is
    Student's of the mean over the splits, of which n is the number.

    Args:
        scores: nonconformity of each sample under its true label (m,).
        n_calibration: how many of them to calibrate with, from 1 to m - 1.
        mode: the formula, see `snnl_core.conformal`.
        generator: of the CPU, draws the splits.
        repeats: splits, at least 2.
        levels: those of the rows, each in (0, 1).

    Raises:
        TypeError, ValueError: scores are not real numbers (m,), or an argument is outside its range.
    """
    check_vector("scores", scores)
    if not 1 <= n_calibration < len(scores) or repeats < 2:
        sizes = f"n_calibration = {n_calibration}, repeats = {repeats}"
        raise ValueError(f"{sizes}: of {len(scores)} scores some must calibrate and some be left, twice at least.")
    splits = []
    for _ in range(repeats):
        order = torch.randperm(len(scores), generator=generator, device="cpu").to(scores.device)
        chosen, rest = scores[order[:n_calibration]], scores[order[n_calibration:]]
        calibration = Calibration(chosen, torch.zeros_like(chosen, dtype=torch.int64), 1)
        p_values = calibration.p_values(rest[:, None], mode, uniform=uniform(len(rest), generator))
        splits.append(empirical_distribution(p_values[:, 0], levels))
    shares = torch.stack(splits)
    half = float(stats.t.ppf((1 + PROBABILITY) / 2, repeats - 1)) * shares.std(0) / math.sqrt(repeats)
    found = zip(levels, shares.mean(0).tolist(), half.tolist(), strict=True)
    return [_row(level, value, value - width, value + width, repeats) for level, value, width in found]


def _row(level: float, value: float, low: float, high: float, n: int) -> Row:
    return {"metric": "p_at_most", "level": level, "value": value, "low": low, "high": high, "n": n}


def empirical_distribution(p_values: Tensor, levels: Sequence[float]) -> Tensor:
    """The share of p-values at most each level: float64 (levels,) on the processor, in [0, 1].

    Levels are compared in the dtype of the p-values, so that 50 / 1000 is at most 0.05 in each.

    Args:
        p_values: floating (n,), in [0, 1].
        levels: any numbers.

    Raises:
        TypeError, ValueError: as `measure`.
    """
    check_unit("p_values", p_values)
    thresholds = torch.tensor(list(levels), dtype=torch.float64, device="cpu").to(p_values)
    counts = torch.searchsorted(p_values.sort().values, thresholds, right=True)
    return counts.cpu().double() / len(p_values)


def band(
    level: float, n: int, n_calibration: int | None = None, probability: float = PROBABILITY
) -> tuple[float, float]:
    """The interval in [0, 1] that the share of n exact p-values at most `level` falls in with this probability.

    At most (1 - probability) / 2 is left on each side. With calibrated p-values that are not smoothed, exact means
    that no two nonconformities are equal; where some are, the p-values are valid and the shares can be lower.

    Args:
        level: in (0, 1).
        n: how many p-values, at least 1.
        n_calibration: how many samples they were calibrated with, at least 1; default none: independent p-values.
        probability: in (0, 1).

    Raises:
        ValueError: an argument is outside its range.
    """
    if not (0 < level < 1 and 0 < probability < 1):
        raise ValueError(f"level and probability must be in (0, 1), not {level} and {probability}.")
    if n < 1 or (n_calibration is not None and n_calibration < 1):
        raise ValueError(f"n and n_calibration must be at least 1, not {n} and {n_calibration}.")
    tail = (1 - probability) / 2
    if n_calibration is None:
        lower = upper = _binomial(level, n)
    else:
        rank = Fraction(str(level)) * (n_calibration + 1)  # as it is written: 0.29 * 100 is below 29 in floats
        lower, upper = (_beta_binomial(bound, n_calibration, n) for bound in (math.floor(rank), math.ceil(rank)))
    low = int((lower.cumsum(0) <= tail).sum())
    high = int((upper.cumsum(0) < 1 - tail).sum())
    return low / n, min(high, n) / n


def _binomial(level: float, n: int) -> Tensor:
    """P(count = 0 to n) (n + 1,) of independent p-values."""
    count = torch.arange(n + 1, dtype=torch.float64, device="cpu")
    return (_log_choose(n, count) + count * math.log(level) + (n - count) * math.log1p(-level)).exp()


def _beta_binomial(rank: int, n_calibration: int, n: int) -> Tensor:
    """P(count = 0 to n) (n + 1,) of p-values at most rank / (n_calibration + 1), over calibration sets."""
    count = torch.arange(n + 1, dtype=torch.float64, device="cpu")
    if rank in (0, n_calibration + 1):
        return (count == (n if rank else 0)).double()
    a, b = count.new_tensor(rank), count.new_tensor(n_calibration + 1 - rank)
    return (_log_choose(n, count) + _log_beta(count + a, n - count + b) - _log_beta(a, b)).exp()


def _log_choose(n: int, count: Tensor) -> Tensor:
    return math.lgamma(n + 1) - (count + 1).lgamma() - (n - count + 1).lgamma()


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return a.lgamma() + b.lgamma() - (a + b).lgamma()
