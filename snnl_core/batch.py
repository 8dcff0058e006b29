"""All pairs of a batch at once: the direct path for few points, where the number of operations is what counts."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from snnl_core import kernel, products
from snnl_core.anchors import Anchors
from snnl_core.distances import median
from snnl_core.masses import LOG2_E, LOWEST, Masses

ENTRIES = 1 << 20
"""Weights computed at once, at most, when several temperatures are asked for."""


@dataclass(frozen=True)
class Batch(Anchors):
    """Distances of anchors to all points, and which are of the own class.

    Attributes:
        x: all points, centred (n, d).
        codes: the class of each point (n,).
        distances: (a, n).
        reach: a bound on the distances.
        own: 1 for the anchor's class without itself, else 0 (a, n).
        others: 1 for all other classes, else 0 (a, n).
        rows: which points the anchors are (a,); None for all.
        relative: whether masses are taken relative to each anchor's nearest point, as every temperature allows.
    """

    x: Tensor
    codes: Tensor
    distances: Tensor
    reach: float
    own: Tensor
    others: Tensor
    rows: Tensor | None = None
    relative: bool = True

    @classmethod
    def of(cls, x: Tensor, codes: Tensor, center: Tensor | None = None) -> "Batch":
        """All points (n, d) as anchors, of classes (n,), about their mean or another center (d,)."""
        x = x - (x.mean(0) if center is None else center)
        product = products.gram(x)
        squares = product.diagonal().clone()
        distances = (squares[:, None] + squares).sub_(product, alpha=2).clamp_min_(0)
        values = _comparable(codes, x.dtype)
        others = torch.ne(values[:, None], values, out=product)  # the product has served
        own = torch.sub(1, others).fill_diagonal_(0)
        return cls(x, codes, distances, 4 * float(squares.max()), own, others)

    @property
    def positions(self) -> Tensor:
        """Where the anchors stand among the points (a,)."""
        return torch.arange(len(self.x), device=self.x.device) if self.rows is None else self.rows

    @property
    def order(self) -> Tensor | None:
        """None where the anchors are all points, in the caller's order."""
        return self.rows

    @property
    def squares(self) -> Tensor:
        """|x|^2 of the anchors, about the center (a,)."""
        return torch.linalg.vector_norm(self.x if self.rows is None else self.x[self.rows], dim=1).square_()

    @property
    def seen(self) -> int:
        """How many points each anchor sees, itself included."""
        return len(self.x)

    @property
    def valid(self) -> Tensor:
        """Which anchors have another point of their class (a,)."""
        return self._nearest[0].isfinite()

    @property
    def dtype(self) -> torch.dtype:
        """That of the distances."""
        return self.x.dtype

    def some(self, picked: Tensor) -> "Batch":
        """Some of the anchors, against all points."""
        parts = {name: getattr(self, name).index_select(0, picked) for name in ("distances", "own", "others")}
        found = replace(self, rows=picked if self.rows is None else self.rows[picked], **parts)
        # What is worked out once for all need not be for some.
        nearest, excess = self._nearest.index_select(1, picked), self._excess.index_select(0, picked)
        vars(found).update(_nearest=nearest, _excess=excess)
        return found

    @cached_property
    def _nearest(self) -> Tensor:
        """The distance to the nearest point of the own class, and of others (2, a); infinite where there is none."""
        # Far is added where a point does not count: one operation, where a choice by mask is slow.
        far = torch.finfo(self.x.dtype).max / 2
        found = []
        for unwanted in (self.others, self.own):
            distances = torch.add(self.distances, unwanted, alpha=far)
            if self.rows is None:
                distances.fill_diagonal_(far)
            else:
                distances[torch.arange(len(self.rows), device=self.rows.device), self.rows] = far
            found.append(distances.amin(1))
        nearest = torch.stack(found)
        return nearest.masked_fill_(nearest >= far, math.inf)

    @cached_property
    def _excess(self) -> Tensor:
        """Distances beyond the nearest point of the same kind (a, n); 0 from each anchor to itself."""
        excess = self.distances
        if not self.relative:
            return excess
        for nearest, members in zip(self._nearest, (self.own, self.others), strict=True):
            excess = excess - members * nearest.nan_to_num(0.0, posinf=0.0)[:, None]
        return excess

    def masses(self, betas: Tensor, orders: int) -> Masses:
        """What the anchors see at inverse temperatures (q, a), with so many moments."""
        share = max(1, ENTRIES // (orders * self.distances.numel()))
        parts = [torch.bmm(self._members, self._powers(part, orders).transpose(1, 2)) for part in betas.split(share)]
        parts = [part.unflatten(2, (orders, -1)) for part in parts]
        sums = parts[0] if len(parts) == 1 else torch.cat(parts, 3)
        return self._masses(sums.permute(1, 2, 3, 0), betas)

    def look(self, beta: Tensor, *, moments: int, keep: bool) -> "BatchLook":
        """What all points see at one inverse temperature, a scalar: not relatively, where exponents have room."""
        near = self.reach * float(beta) * LOG2_E <= kernel.ROOM[self.dtype]
        batch = replace(self, relative=False) if near else self
        weights = torch.mul(batch._excess, beta * -LOG2_E)
        powers = weights = (weights if near else weights.clamp_min_(LOWEST[self.dtype])).exp2_()
        sums = weights.new_empty(2, moments, 1, len(self.x))
        for order in range(moments):
            powers = powers * batch._excess if order else powers
            torch.sum(powers * self.own, 1, out=sums[0, order, 0])
            torch.sum(powers * self.others, 1, out=sums[1, order, 0])
        masses = batch._masses(sums, beta.expand(1, len(self.x)))
        return BatchLook(self.x, self.own, self.others, masses, weights, batch.relative)

    def _masses(self, sums: Tensor, betas: Tensor) -> Masses:
        # Not relative, every nearest point counts as lying at 0.
        return Masses(self._nearest if self.relative else betas.new_zeros(2, betas.shape[1]), sums, betas)

    def _powers(self, betas: Tensor, orders: int) -> Tensor:
        """exp(-beta excess) excess^k for k = 0, 1, ... at inverse temperatures (q, a): (a, orders q, n)."""
        excess = self._excess[:, None]
        found = excess.new_empty(len(excess), orders, len(betas), excess.shape[2])
        first, *others = found.unbind(1)
        powers = torch.mul(excess, (betas.T * -LOG2_E)[:, :, None], out=first).clamp_min_(LOWEST[self.dtype]).exp2_()
        for following in others:
            powers = torch.mul(powers, excess, out=following)
        return found.flatten(1, 2)

    @cached_property
    def _members(self) -> Tensor:
        """Both kinds (a, 2, n)."""
        return torch.stack([self.own, self.others], 1)

    def class_masses(self, masses: Masses, classes: int) -> Tensor:
        """The anchors' softmax mass on other classes, summed by the anchor's class and the other (c, c)."""
        mass = self._powers(masses.betas[:1], 1)[:, 0].mul_(self.others).mul_(masses.shares()[:, None])
        by_class = mass.double() @ F.one_hot(self.codes, classes).double()
        return F.one_hot(self.codes[self.positions], classes).double().T @ by_class

    def scale(self, sampled: int) -> tuple[float, float]:
        """The median of about so many distances between points of two classes, and a bound on all distances."""
        stride = self.distances.numel() // sampled | 1  # odd, so as not to stay in some columns
        distances, counted = self.distances.flatten()[::stride], self.others.flatten()[::stride]
        return median(distances[counted > 0]), self.reach


def _comparable(codes: Tensor, dtype: torch.dtype) -> Tensor:
    """Codes as numbers of a dtype where it holds them: a processor compares those five times as fast as integers."""
    if codes.is_cpu and all(abs(int(end)) <= 1 / torch.finfo(dtype).eps for end in codes.aminmax()):
        return codes.to(dtype)
    return codes


@dataclass(frozen=True)
class BatchLook:
    """What all points of a batch see at one inverse temperature; fields are those of `Batch`, and weights (n, n)."""

    x: Tensor
    own: Tensor
    others: Tensor
    masses: Masses
    weights: Tensor
    relative: bool

    def gradient(self, upstream: Tensor) -> Tensor:
        """The gradient of sum(upstream * loss) with respect to the points (n, d); upstream (n,)."""
        own, others = self.masses.pulls(-2 * upstream)
        if self.relative:
            pulls = (self.own * own[:, None]).add_(self.others * others[:, None]).mul_(self.weights)
            pulls = pulls + pulls.T
        else:  # the weights are symmetric
            pulls = (own[:, None] + own).mul_(self.own).add_((others[:, None] + others).mul_(self.others))
            pulls.mul_(self.weights)
        pulls.diagonal().sub_(pulls.sum(1))
        return products.combined(pulls.mul_(self.masses.betas[0, 0]), self.x)
