"""Reliability of confidences: in bins of like confidence, how often the choice was right.

Protocol: n samples, each with a confidence in [0, 1] and whether its choice was right. A bin holds the confidences
above its lower edge and up to its upper one (0 is in the first). The calibration error is the mean over samples of
|accuracy - mean confidence| of their bin (Guo et al. 2017, equation 3). Bins are of equal width, or of equal mass
(Nguyen and O'Connor 2015): their edges are then the confidences of ranks ceil(i n / bins), so that equal confidences
share a bin, the order of the samples does not matter, and a confidence that many share leaves bins empty.

The confidence can be of any origin. A p-value, as the credibility of deep k-nearest neighbours is, does not claim to
be a probability of being right: its table shows how the two go together, its error is no fault of it.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from metrics._arguments import check_correct, check_unit

BINS = 15
Binning = Literal["equal_width", "equal_mass"]


@dataclass(frozen=True)
class ReliabilityTable:
    """One entry a bin, in tensors (bins,) on the processor.

    Attributes:
        lower: the edge below, float64; 0 for the first bin.
        upper: the edge above, float64; 1 for the last bin.
        confidence: mean confidence, float64; NaN in an empty bin.
        accuracy: share of right choices, float64; NaN in an empty bin.
        count: how many samples, int64.
    """

    lower: Tensor
    upper: Tensor
    confidence: Tensor
    accuracy: Tensor
    count: Tensor


def reliability_table(
    confidence: Tensor, correct: Tensor, bins: int = BINS, binning: Binning = "equal_width"
) -> ReliabilityTable:
    """The table behind a reliability diagram.

    Args:
        confidence: floating (n,), in [0, 1].
        correct: bool (n,), whether each choice was right.
        bins: how many.
        binning: `equal_width` or `equal_mass`.

    Raises:
        TypeError: confidence is not floating, or correct not bool.
        ValueError: no sample, shapes that do not fit, a confidence outside [0, 1], bins < 1, or an unknown binning.
    """
    _check(confidence, correct)
    edges = _edges(confidence, bins, binning)
    index = torch.bucketize(confidence, edges)
    count = torch.bincount(index, minlength=bins)
    sums = confidence.new_zeros(2, bins, dtype=torch.float64)
    sums.index_add_(1, index, torch.stack([confidence.double(), correct.double()]))
    mean, accuracy = (sums / count).cpu()
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64, device="cpu")
    edges = torch.cat([ends[:1], edges.double().cpu(), ends[1:]])
    return ReliabilityTable(edges[:-1], edges[1:], mean, accuracy, count.cpu())


def calibration_error(confidence: Tensor, correct: Tensor, bins: int = BINS, binning: Binning = "equal_width") -> float:
    """The mean over samples of |accuracy - mean confidence| of their bin, in [0, 1] (Guo et al. 2017, equation 3).

    Arguments and errors are those of `reliability_table`.
    """
    _check(confidence, correct)
    index = torch.bucketize(confidence, _edges(confidence, bins, binning))
    excess = correct.double() - confidence.double()
    sums = excess.new_zeros(bins).index_add_(0, index, excess)
    return float(sums.abs().sum() / len(confidence))


def _edges(confidence: Tensor, bins: int, binning: Binning) -> Tensor:
    """The inner edges (bins - 1,) in the confidence's own dtype, so that 3 / 5 is one of them in each."""
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}.")
    if binning not in get_args(Binning):
        raise ValueError(f"unknown binning {binning!r}; known: {', '.join(get_args(Binning))}.")
    steps = torch.arange(1, bins, device=confidence.device)
    if binning == "equal_width":
        return steps.to(confidence.dtype) / bins
    ranks = -(-steps * len(confidence) // bins)
    return confidence.sort().values[ranks - 1]


def _check(confidence: Tensor, correct: Tensor) -> None:
    check_unit("confidence", confidence)
    check_correct(correct, len(confidence))
