"""Anchors and their distances, arranged so that the loss and its derivatives in 1/T cost one exp a pair.

Write u = log(mass on other classes) - log(mass on the own class) for one anchor, masses at inverse temperature beta.
Then its loss is softplus(u), and

    loss'  = w u',                  u'  = E_own[d] - E_others[d]
    loss'' = w (1 - w) u'^2 + w u'' u'' = Var_others[d] - Var_own[d]

with w = sigmoid(u) the softmax mass on other classes, and E and Var under each part's own softmax.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from snnl_core.distances import squared_distances

PIECE_ENTRIES = 1 << 22
"""Distances that one piece of the anchors holds, at most: what bounds the temporaries of a pass (16 MB in float32)."""


@dataclass(frozen=True)
class Part:
    """Distances from anchors to one kind of points, as the excess over each anchor's nearest of that kind."""

    nearest: Tensor  # (a,)
    excess: Tensor  # (a, m), >= 0

    @classmethod
    def of(cls, squared: Tensor) -> "Part":
        """From distances (a, m) with m >= 1."""
        nearest = squared.min(1).values
        return cls(nearest, squared.sub_(nearest[:, None]))

    def rows(self, picked: Tensor) -> "Part":
        """The part of some of the anchors."""
        return Part(self.nearest[picked], self.excess[picked])

    def log_mass(self, beta: Tensor) -> Tensor:
        """log sum exp(-beta d), for one beta an anchor (a,)."""
        return self.weights(beta).sum(1).log_().sub_(beta * self.nearest)

    def weights(self, beta: Tensor) -> Tensor:
        """exp(-beta (d - nearest)), (a, m)."""
        return self.excess.mul(-beta[:, None]).exp_()

    def moments(self, beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log sum exp(-beta d), and mean and variance of d under the softmax, each (a,)."""
        weights = self.weights(beta)
        mass = weights.sum(1)
        mean = weights.mul_(self.excess).sum(1).div_(mass)
        square = weights.mul_(self.excess).sum(1).div_(mass)
        return mass.log().sub_(beta * self.nearest), mean + self.nearest, (square - mean.square()).clamp_min_(0)


@dataclass(frozen=True)
class Anchors:
    """Valid anchors of one class, with their distances to the class's other points and to all other classes."""

    index: Tensor  # (a,) positions in the data
    own: Part
    others: Part
    columns: Tensor  # (m,) positions of the points of other classes

    def losses(self, beta: Tensor) -> Tensor:
        """Each anchor's loss at its own beta (a,)."""
        return F.softplus(self.others.log_mass(beta) - self.own.log_mass(beta), threshold=50)

    def derivatives(self, beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each anchor's loss and its first and second derivative in beta."""
        own_log, own_mean, own_variance = self.own.moments(beta)
        others_log, others_mean, others_variance = self.others.moments(beta)
        u, slope, curve = others_log - own_log, own_mean - others_mean, others_variance - own_variance
        w = u.sigmoid()
        return F.softplus(u, threshold=50), w * slope, w * (1 - w) * slope.square() + w * curve

    def rows(self, picked: Tensor) -> "Anchors":
        """Some of the anchors (a mask or positions among them)."""
        return Anchors(self.index[picked], self.own.rows(picked), self.others.rows(picked), self.columns)


def anchors_by_class(points: Tensor, labels: Tensor, chosen: Tensor) -> list[Anchors]:
    """The chosen anchors (n,) that are valid, class by class: those with another point of their class.

    A large class comes in several pieces. Empty when there is one class only.
    """
    return [piece for label in labels.unique() for piece in _pieces(points, labels == label, chosen)]


def _pieces(points: Tensor, mask: Tensor, chosen: Tensor) -> Iterator[Anchors]:
    own, others = mask.nonzero().flatten(), (~mask).nonzero().flatten()
    if len(own) < 2 or not len(others):
        return
    for index in own[chosen[own]].split(max(1, PIECE_ENTRIES // len(points))):
        if len(index):
            yield Anchors(index, _without_itself(points, index, own), _to(points, index, others), others)


def median_distance(parts: list[Anchors]) -> float:
    """The median, over a sample of pairs of an anchor and a point of another class, of their distance.

    Where most pairs coincide it is that of the others, and 1 where all do: any scale will serve.
    """
    # Cloned, since a strided view would keep all of its distances alive.
    sample = torch.cat([_all(part.others).flatten()[:: _stride(part)].clone() for part in parts])
    if not bool(sample.median()):
        sample = sample[sample > 0]
    return float(sample.median()) if len(sample) else 1.0


def farthest_distance(parts: list[Anchors]) -> float:
    """The longest distance from any of the anchors."""
    return max(float((kind.nearest + kind.excess.amax(1)).max()) for part in parts for kind in (part.own, part.others))


def _all(part: Part) -> Tensor:
    return part.excess + part.nearest[:, None]


def _stride(part: Anchors) -> int:
    return max(1, part.others.excess.numel() // 100_000)


def _without_itself(points: Tensor, index: Tensor, own: Tensor) -> Part:
    squared = squared_distances(points[index], points[own])
    kept = index[:, None] != own
    return Part.of(squared[kept].view(len(index), len(own) - 1))


def _to(points: Tensor, index: Tensor, others: Tensor) -> Part:
    return Part.of(squared_distances(points[index], points[others]))
