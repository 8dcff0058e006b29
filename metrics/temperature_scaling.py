"""Temperature scaling (Guo et al. 2017): the one number that logits are divided by to be calibrated, as a baseline.

The temperature is fitted on samples that the network was not trained on, and never on those it is reported for.
"""

import math

from torch import Tensor

from metrics._arguments import check_labelled

LIMIT = 1e4
"""Temperatures are searched from the widest range of the logits of a sample divided by this, to it times this."""
PRECISION = 1e-12
"""The search ends where the inverse temperature is known to this share of itself."""
STEPS = 200


def temperature_of(logits: Tensor, labels: Tensor) -> float:
    """The T > 0 that minimises the mean negative log-likelihood of softmax(logits / T), in the units of the logits.

    The likelihood is convex in 1 / T; its slope is brought to 0 in float64. Logits c times as large have a T c times
    as large. The ends, with s the widest range (maximum less minimum) of the logits of a sample:

    - each sample's class has the highest logit, or shares it: T would go to 0, and is s / LIMIT;
    - the logits say no more than chance, or less: T would go to infinity, and is s * LIMIT;
    - all logits of each sample are equal (s = 0): every T is as good, and is 1.

    Args:
        logits: floating (n, classes), finite.
        labels: integers (n,) in [0, classes).

    Raises:
        TypeError: logits are not floating, or labels not integers.
        ValueError: no sample, shapes that do not fit, a label that is no class, or a logit that is not finite.
    """
    check_labelled(logits, labels)
    wide = logits.double()
    excess = wide - wide.gather(1, labels.long()[:, None])
    scale = float((wide.amax(1) - wide.amin(1)).max())
    if scale == 0:
        return 1.0
    excess /= scale
    return scale / _best_inverse(excess)


def _best_inverse(excess: Tensor) -> float:
    """Where in [1 / LIMIT, LIMIT] the slope of the likelihood in beta = 1 / T is 0, or the end nearest to that.

    Newton's method inside a shrinking bracket; a step that leaves it halves it in log(beta) instead.
    """
    low, high = 1 / LIMIT, LIMIT
    if _derivatives(excess, low)[0] >= 0:
        return low
    if _derivatives(excess, high)[0] <= 0:
        return high
    beta = 1.0
    for _ in range(STEPS):
        slope, curvature = _derivatives(excess, beta)
        low, high = (beta, high) if slope < 0 else (low, beta)
        following = beta - slope / curvature if curvature > 0 else math.nan
        if abs(following - beta) <= PRECISION * beta or high - low <= PRECISION * high:
            break
        beta = following if low < following < high else math.sqrt(low * high)
    return beta


def _derivatives(excess: Tensor, beta: float) -> tuple[float, float]:
    """The first two derivatives of mean log sum_c exp(beta excess_c), with excess_c = logit_c - logit of the class."""
    weights = (beta * excess).softmax(1)
    first = (weights * excess).sum(1)
    second = (weights * (excess - first[:, None]).square()).sum(1)
    return float(first.mean()), float(second.mean())
