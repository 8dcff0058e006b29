"""Detection of foreign inputs: how well a score tells them from inputs of the kind that was trained on.

Protocol: a score for each input of both sets, where a LARGER score always means more foreign; only the order matters,
and equal scores are told apart nowhere. "In" is the kind that was trained on, "out" the foreign one. AUROC is the
probability that an out input scores higher than an in one, equal ones counted half (Mann-Whitney); it has no positive
side. The others have one, and their names say which:

- `fpr95_ood_pos`: the threshold flags at least 95% of the out inputs; the share of in inputs flagged with them. This
  is the FPR@95 of OpenOOD v1.5 and of pytorch-ood. (OpenOOD reads it off a curve without the points between two others
  on a line, as scikit-learn's is by default, and can report more where scores are equal.)
- `fpr95_id_pos`: the threshold accepts at least 95% of the in inputs; the share of out inputs accepted with them.
- `aupr_ood_pos`, `aupr_id_pos`: average precision, sum over thresholds of (recall gained) x precision, without
  interpolation, as scikit-learn's; trapezoids (OpenOOD, pytorch-ood) give other numbers where scores are equal.

AUPR grows with the share of positives: compare it at equal n_in and n_out, or at a fixed prevalence.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from metrics._arguments import Row, check_vector

PERCENT = 95
"""Of the positives, so many at least are above the threshold."""


@dataclass(frozen=True)
class RocCurve:
    """One point for each distinct score, from the highest, after one at (0, 0): float64 tensors (t + 1,).

    Attributes:
        fpr: share of in inputs with at least this score, ascending from 0 to 1.
        tpr: share of out inputs with at least this score, ascending from 0 to 1.
        threshold: the score, descending; infinite at the first point, which flags nothing.
    """

    fpr: Tensor
    tpr: Tensor
    threshold: Tensor


def measure(scores_in: Tensor, scores_out: Tensor) -> list[Row]:
    """Rows (metric, value, n_in, n_out) of AUROC, and of AUPR and FPR at 95% with either side as positive.

    Args:
        scores_in: real numbers (n_in,), of the kind trained on.
        scores_out: real numbers (n_out,), of foreign inputs: these should be larger. Infinite ones are allowed.

    Raises:
        TypeError: scores are not real numbers.
        ValueError: a side has no score, is not (n,), or has a NaN.
    """
    metrics = (auroc, aupr_id_pos, aupr_ood_pos, fpr95_id_pos, fpr95_ood_pos)
    values = {metric.__name__: metric(scores_in, scores_out) for metric in metrics}
    sizes = {"n_in": len(scores_in), "n_out": len(scores_out)}
    return [{"metric": metric, "value": value, **sizes} for metric, value in values.items()]


def auroc(scores_in: Tensor, scores_out: Tensor) -> float:
    """P(out > in) + P(out = in) / 2, in [0, 1]: 0.5 is chance. Arguments and errors are those of `measure`."""
    inside, outside = _scores(scores_in, scores_out)
    ordered = inside.sort().values
    below, up_to = (torch.searchsorted(ordered, outside, right=right).sum() for right in (False, True))
    return int(below + up_to) / (2 * len(inside) * len(outside))


def roc_curve(scores_in: Tensor, scores_out: Tensor) -> RocCurve:
    """The curve for plots, out inputs as positives. Arguments and errors are those of `measure`."""
    inside, outside = _scores(scores_in, scores_out)
    threshold, false, true = _flagged(inside, outside)
    fpr, tpr = (torch.cat([n.new_zeros(1), n]).double() / n[-1] for n in (false, true))
    return RocCurve(fpr, tpr, torch.cat([threshold.new_tensor([torch.inf]), threshold]))


def aupr_ood_pos(scores_in: Tensor, scores_out: Tensor, prevalence: float | None = None) -> float:
    """Average precision of flagging out inputs, in (0, 1].

    Args:
        scores_in, scores_out: as for `measure`.
        prevalence: the share of positives in (0, 1) for which precision is computed; default that of the two sets.

    Raises:
        TypeError, ValueError: as `measure`, or prevalence is not in (0, 1).
    """
    return _average_precision(*_scores(scores_in, scores_out), prevalence)


def aupr_id_pos(scores_in: Tensor, scores_out: Tensor, prevalence: float | None = None) -> float:
    """Average precision of accepting in inputs, in (0, 1]; arguments and errors are those of `aupr_ood_pos`."""
    inside, outside = _scores(scores_in, scores_out)
    return _average_precision(-outside, -inside, prevalence)


def fpr95_ood_pos(scores_in: Tensor, scores_out: Tensor) -> float:
    """The share of in inputs flagged where at least 95% of the out inputs are; as `measure`."""
    return _false_positives(*_scores(scores_in, scores_out))


def fpr95_id_pos(scores_in: Tensor, scores_out: Tensor) -> float:
    """The share of out inputs accepted where at least 95% of the in inputs are; as `measure`."""
    inside, outside = _scores(scores_in, scores_out)
    return _false_positives(-outside, -inside)


def _scores(scores_in: Tensor, scores_out: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float64, so that scores of two dtypes are compared as they are."""
    check_vector("scores_in", scores_in)
    check_vector("scores_out", scores_out)
    return scores_in.double(), scores_out.double()


def _flagged(negative: Tensor, positive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct scores from the highest (t,), and how many of each side have at least that score."""
    threshold = torch.cat([negative, positive]).unique().flip(0)
    counts = [len(side) - torch.searchsorted(side.sort().values, threshold) for side in (negative, positive)]
    return threshold, counts[0], counts[1]


def _average_precision(negative: Tensor, positive: Tensor, prevalence: float | None) -> float:
    if prevalence is not None and not 0 < prevalence < 1:
        raise ValueError(f"prevalence must be in (0, 1), not {prevalence}.")
    _, false, true = _flagged(negative, positive)
    weight = 1.0 if prevalence is None else (1 - prevalence) / prevalence * len(positive) / len(negative)
    precision = true / (true + weight * false.double())
    gained = true.diff(prepend=true.new_zeros(1))
    return float((gained * precision).sum() / len(positive))


def _false_positives(negative: Tensor, positive: Tensor) -> float:
    needed = -(-PERCENT * len(positive) // 100)
    threshold = positive.sort(descending=True).values[needed - 1]
    return float((negative >= threshold).double().mean())
