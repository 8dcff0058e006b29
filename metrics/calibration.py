"""Accuracy and calibration of a classifier: how often its first choice is right, and what its probabilities are worth.

Protocol: the softmax of n logits, in float64. Accuracy is the share of samples whose most probable class is theirs;
`nll` the mean negative logarithm of the probability of their class, in nats; `ece` the expected calibration error of
the most probable class over 15 equal-width bins of its probability (Guo et al. 2017, equation 3).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from snnl_core.distances import check_integers

BINS = 15
SUM_TOLERANCE = 1e-3
Row = dict[str, str | float | int]


def measure(logits: Tensor, labels: Tensor) -> list[Row]:
    """Rows (metric, value, n) of `accuracy` in [0, 1], `nll` >= 0 and `ece` in [0, 1].

    Args:
        logits: floating (n, classes), one row a sample.
        labels: class of each sample (n,), integers in [0, classes).

    Raises:
        TypeError: logits are not floating, or labels not integers.
        ValueError: no sample, shapes that do not fit, a label that is no class, or a logit that is not finite.
    """
    _check(logits, labels)
    probabilities = logits.double().softmax(1)
    values = {
        "accuracy": accuracy(logits, labels),
        "nll": float(F.cross_entropy(logits.double(), labels.long())),
        "ece": expected_calibration_error(probabilities, labels),
    }
    return [{"metric": metric, "value": value, "n": len(labels)} for metric, value in values.items()]


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """The share in [0, 1] of samples whose highest score, probability or logit, is their class's; the first of equals.

    Args:
        scores: floating (n, classes).
        labels: integers (n,) in [0, classes).

    Raises:
        TypeError, ValueError: as `measure`.
    """
    _check(scores, labels)
    return float((scores.argmax(1) == labels).double().mean())


def nll(probabilities: Tensor, labels: Tensor) -> float:
    """The mean of -log(probability of the sample's class), in nats; infinite where one of them is 0.

    Args:
        probabilities: floating (n, classes), rows in [0, 1] that sum to 1.
        labels: integers (n,) in [0, classes).

    Raises:
        TypeError, ValueError: as `measure`, or a row is no distribution.
    """
    _check_probabilities(probabilities, labels)
    return float(-probabilities.double().gather(1, labels.long()[:, None]).log().mean())


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """The mean over samples of |accuracy - mean confidence| of their bin, in [0, 1] (Guo et al. 2017, equation 3).

    A sample's confidence is the probability of its most probable class. Bin i holds the confidences in
    (i / bins, (i + 1) / bins].

    Args:
        probabilities: floating (n, classes), rows in [0, 1] that sum to 1.
        labels: integers (n,) in [0, classes).
        bins: how many, of equal width.

    Raises:
        TypeError, ValueError: as `nll`, or bins < 1.
    """
    _check_probabilities(probabilities, labels)
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}.")
    confidence, choice = probabilities.max(1)
    edges = torch.arange(1, bins, dtype=confidence.dtype, device=confidence.device) / bins
    excess = (choice == labels).double() - confidence.double()
    sums = excess.new_zeros(bins).index_add_(0, torch.bucketize(confidence, edges), excess)
    return float(sums.abs().sum() / len(labels))


def _check_probabilities(probabilities: Tensor, labels: Tensor) -> None:
    _check(probabilities, labels)
    inside = (probabilities >= 0) & (probabilities <= 1 + SUM_TOLERANCE)
    if not inside.all() or ((probabilities.double().sum(1) - 1).abs() > SUM_TOLERANCE).any():
        raise ValueError("probabilities must be in [0, 1] and sum to 1 in each row; of logits, take the softmax.")


def _check(scores: Tensor, labels: Tensor) -> None:
    if not scores.is_floating_point():
        raise TypeError(f"logits and probabilities must be floating, not {scores.dtype}.")
    check_integers("labels", labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or scores.numel() == 0:
        shapes = f"{tuple(scores.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"(n, classes) and as many labels (n,) are needed, at least one, not {shapes}.")
    if not scores.isfinite().all():
        raise ValueError("logits and probabilities must be finite.")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        low, high, last = int(labels.min()), int(labels.max()), scores.shape[1] - 1
        raise ValueError(f"labels must be in 0 to {last}, not {low} to {high}.")
