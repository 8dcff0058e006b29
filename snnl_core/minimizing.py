"""The best temperature of a batch in training: what the loss asks of the search, and what it says of rounding."""

import math
import warnings

import torch
from torch import Tensor

from snnl_core import plain
from snnl_core.batch import Batch
from snnl_core.pairs import Tiled, all_pairs
from snnl_core.rounding import HELD, TOO_MUCH, factor_of, largest_of, share_lost
from snnl_core.temperature import minimize

SAMPLE = 64
"""Anchors of a batch that show where the minimum over the temperature is to be sought; all anchors find it."""


class Minimize:
    """Stands for the minimising temperature.

    Attributes:
        found: the last inverse temperature; NaN where none changed the loss.
    """

    def __init__(self, counts: dict[str, int]) -> None:
        """It counts there at which end of the search it was found."""
        self._counts = counts
        self.found = math.nan

    def pairs(self, x: Tensor, labels: Tensor) -> tuple[Batch | Tiled, float]:
        """All pairs of points (n, d), and the power of two that these were multiplied by for float32 to hold them."""
        pairs = all_pairs(x, labels)
        if x.dtype == torch.float64 or pairs.reach > 4.0**-HELD:
            return pairs, 1.0
        factor = factor_of(largest_of(x))
        return (pairs, 1.0) if factor == 1 else (all_pairs(x * factor, labels), factor)

    def search(self, pairs: Batch | Tiled, labels: Tensor, factor: float = 1.0) -> tuple[Tensor, str]:
        """The inverse temperature for points that were multiplied by a factor, a scalar, and the end that it sits at.

        It is 0, at no end of which nothing is counted, where no temperature changes the loss.
        """
        if not bool(pairs.valid.any() & (labels != labels[0]).any()):  # one look at what a GPU has
            self.found = math.nan
            return pairs.x.new_zeros(()), "hot"
        found = minimize(pairs, pairs.valid.long()[None] - 1, 1, sample=SAMPLE)
        warn_of_rounding(pairs, found.limit)
        self._counts[found.at_limit[0]] += 1
        self.found = found.beta[0] * factor**2
        return pairs.x.new_tensor(found.beta[0]), found.at_limit[0]

    def plainly(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Points that a transform is at work on, multiplied as `pairs` does, and their inverse temperature.

        Both are to be differentiated.

        Raises:
            RuntimeError: the points have no values of their own, as under vmap or in an older torch, or are too many.
        """
        plain.refuse_many(x)
        try:
            with torch.no_grad():
                pairs, factor = self.pairs(x.detach(), labels)
                beta, end = self.search(pairs, labels, factor)
        except RuntimeError as error:
            raise RuntimeError(
                "torch.func.vmap does not reach into the search for a temperature, nor do other transforms before "
                "torch 2.10: give one, or take set by set."
            ) from error
        x = x if factor == 1 else x * factor
        return x, plain.stationary(x, labels, beta) if end == "none" else beta


def warn_of_rounding(pairs: Batch | Tiled, beta: float) -> None:
    """Warn where much of what points see at an inverse temperature, or at hotter ones, is rounding."""
    eps = torch.finfo(pairs.dtype).eps
    if not eps * pairs.reach / 4 * beta > TOO_MUCH:  # a bound on it, in which NaN shows itself
        return
    few = pairs.some(torch.arange(0, pairs.count, -(-pairs.count // SAMPLE), device=pairs.x.device))
    masses = few.masses(pairs.x.new_full((1, few.count), beta), 1)
    if share_lost(few, masses, min(1 / beta, torch.finfo(pairs.dtype).max), of_loss=True) > TOO_MUCH:
        warnings.warn(
            f"{pairs.dtype} cannot hold the distances of this batch: part of the loss is rounding. Pass x.double(), "
            "or see to it that no point is far from the others.",
            stacklevel=6,
        )
