"""Selective prediction: the risk of a classifier that answers only where it is confident enough.

Protocol: n samples, each with a confidence (larger is more confident; only the order matters) and whether its choice
was right. At a threshold, the coverage is the share of samples whose confidence is at least that, the risk the share
of wrong choices among them. AURC is the mean over i = 1 to n of the risk of the i most confident samples (Geifman and
El-Yaniv 2017; Geifman et al. 2019). Where confidences are equal, the i most confident are not defined: AURC is the
mean over all orders of the equal ones, which is exact, in closed form, and the same for any order of the samples.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from metrics._arguments import Row, check_correct, check_vector


@dataclass(frozen=True)
class RiskCoverageCurve:
    """One point for each distinct confidence, from the highest: float64 tensors (t,).

    Attributes:
        coverage: share of samples answered, in (0, 1], ascending to 1.
        risk: share of wrong choices among them, in [0, 1].
        threshold: the confidence from which on samples are answered.
    """

    coverage: Tensor
    risk: Tensor
    threshold: Tensor


def measure(confidence: Tensor, correct: Tensor) -> list[Row]:
    """Rows (metric, value, n) of `aurc` in [0, 1] and of `excess_aurc`; arguments and errors are those of `aurc`."""
    values = {"aurc": aurc(confidence, correct), "excess_aurc": excess_aurc(confidence, correct)}
    return [{"metric": metric, "value": value, "n": len(confidence)} for metric, value in values.items()]


def risk_coverage_curve(confidence: Tensor, correct: Tensor) -> RiskCoverageCurve:
    """Risk and coverage at every threshold; arguments and errors are those of `aurc`."""
    threshold, errors, counts = _levels(confidence, correct)
    answered = counts.cumsum(0)
    return RiskCoverageCurve(answered / len(confidence), errors.cumsum(0) / answered, threshold)


def aurc(confidence: Tensor, correct: Tensor) -> float:
    """The area under the risk-coverage curve, in [0, 1]: the mean risk of the i most confident samples over all i.

    Args:
        confidence: real numbers (n,), a larger one for a more confident choice; infinite ones are allowed.
        correct: bool (n,), whether each choice was right.

    Raises:
        TypeError: confidence is not real, or correct not bool.
        ValueError: no sample, shapes that do not fit, or a confidence that is NaN.
    """
    _, errors, counts = _levels(confidence, correct)
    expected = (errors / counts).repeat_interleave(counts).cumsum(0)
    ranks = torch.arange(1, len(expected) + 1, device=expected.device)
    return float((expected / ranks).mean())


def excess_aurc(confidence: Tensor, correct: Tensor) -> float:
    """AURC less that of the best order, all right choices before all wrong ones, in [0, 1] (Geifman et al. 2019).

    It compares the order alone, where classifiers differ in accuracy. Arguments and errors are those of `aurc`.
    """
    return aurc(confidence, correct) - aurc(correct.double(), correct)


def _levels(confidence: Tensor, correct: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct confidences from the highest (t,), and the wrong choices and samples at each."""
    check_vector("confidence", confidence)
    check_correct(correct, len(confidence))
    levels, index, counts = confidence.double().unique(return_inverse=True, return_counts=True)
    errors = torch.bincount(index, weights=(~correct).double(), minlength=len(levels))
    return levels.flip(0), errors.flip(0), counts.flip(0)
