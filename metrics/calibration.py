"""Accuracy and calibration of a classifier: how often its first choice is right, and what its probabilities are worth.

Protocol: the softmax of n logits, in float64. Accuracy is the share of samples whose most probable class is theirs;
`nll` the mean negative logarithm of the probability of their class, in nats; `ece` the expected calibration error of
the most probable class over 15 equal-width bins of its probability (Guo et al. 2017, equation 3).
"""

from torch import Tensor
from torch.nn import functional as F

from metrics._arguments import SUM, Row, check_labelled
from metrics.reliability import BINS, Binning, calibration_error


def measure(logits: Tensor, labels: Tensor) -> list[Row]:
    """Rows (metric, value, n) of `accuracy` in [0, 1], `nll` >= 0 and `ece` in [0, 1].

    Args:
        logits: floating (n, classes), one row a sample.
        labels: class of each sample (n,), integers in [0, classes).

    Raises:
        TypeError: logits are not floating, or labels not integers.
        ValueError: no sample, shapes that do not fit, a label that is no class, or a logit that is not finite.
    """
    check_labelled(logits, labels)
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
    check_labelled(scores, labels)
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


def brier_score(probabilities: Tensor, labels: Tensor) -> float:
    """The mean squared distance between the probabilities and the class as a corner, in [0, 2] (Brier 1950).

    It sums over all classes: for two classes, it is twice the mean square of 1 - (probability of the sample's class).

    Args:
        probabilities: floating (n, classes), rows in [0, 1] that sum to 1.
        labels: integers (n,) in [0, classes).

    Raises:
        TypeError, ValueError: as `nll`.
    """
    _check_probabilities(probabilities, labels)
    corners = F.one_hot(labels.long(), probabilities.shape[1])
    return float((probabilities.double() - corners).square().sum(1).mean())


def expected_calibration_error(
    probabilities: Tensor, labels: Tensor, bins: int = BINS, binning: Binning = "equal_width"
) -> float:
    """The mean over samples of |accuracy - mean confidence| of their bin, in [0, 1] (Guo et al. 2017, equation 3).

    A sample's confidence is the probability of its most probable class. Of equal width, bin i holds the confidences
    in (i / bins, (i + 1) / bins]; for bins of equal mass see `metrics.reliability`.

    Args:
        probabilities: floating (n, classes), rows in [0, 1] that sum to 1.
        labels: integers (n,) in [0, classes).
        bins: how many.
        binning: `equal_width` or `equal_mass`.

    Raises:
        TypeError, ValueError: as `nll`, or bins < 1, or an unknown binning.
    """
    _check_probabilities(probabilities, labels)
    confidence, choice = probabilities.max(1)
    return calibration_error(confidence, choice == labels, bins, binning)


def classwise_calibration_error(
    probabilities: Tensor, labels: Tensor, bins: int = BINS, binning: Binning = "equal_width"
) -> float:
    """The mean over classes of the calibration error of "it is this class", in [0, 1] (Kull et al. 2019, equation 2).

    Every probability counts, not only the largest of each row. Arguments and errors are those of
    `expected_calibration_error`.
    """
    _check_probabilities(probabilities, labels)
    by_class = probabilities.T.contiguous()
    errors = [calibration_error(claimed, labels == c, bins, binning) for c, claimed in enumerate(by_class)]
    return sum(errors) / len(errors)


def _check_probabilities(probabilities: Tensor, labels: Tensor) -> None:
    check_labelled(probabilities, labels)
    inside = (probabilities >= 0) & (probabilities <= 1 + SUM)
    if not inside.all() or ((probabilities.double().sum(1) - 1).abs() > SUM).any():
        raise ValueError("probabilities must be in [0, 1] and sum to 1 in each row; of logits, take the softmax.")
