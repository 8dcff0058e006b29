"""Anchors and their distances, arranged so that the loss and its derivatives in 1/T cost one exp a pair.

Write u = log(mass on other classes) - log(mass on the own class) for one anchor, masses at inverse temperature beta.
Then its loss is softplus(u), and

    loss'  = w u',                  u'  = E_own[d] - E_others[d]
    loss'' = w (1 - w) u'^2 + w u'' u'' = Var_others[d] - Var_own[d]

with w = sigmoid(u) the softmax mass on other classes, and E and Var under each part's own softmax.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from snnl_core.distances import squared_distances


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
    """The valid anchors of one class, with their distances to the class's other points and to all other classes."""

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

    Empty when there is one class only.
    """
    found = []
    for label in labels.unique():
        mask = labels == label
        own, others = mask.nonzero().flatten(), (~mask).nonzero().flatten()
        index = own[chosen[own]]
        if len(own) > 1 and len(others) and len(index):
            found.append(Anchors(index, _without_itself(points, index, own), _to(points, index, others), others))
    return found


def median_distance(parts: list[Anchors]) -> float:
    """The median, over a sample of pairs of an anchor and a point of another class, of their distance."""
    sample = torch.cat(
        [(part.others.excess + part.others.nearest[:, None]).flatten()[:: _stride(part)] for part in parts]
    )
    return float(sample.median())


def _stride(part: Anchors) -> int:
    return max(1, part.others.excess.numel() // 100_000)


def _without_itself(points: Tensor, index: Tensor, own: Tensor) -> Part:
    squared = squared_distances(points[index], points[own])
    kept = index[:, None] != own
    return Part.of(squared[kept].view(len(index), len(own) - 1))


def _to(points: Tensor, index: Tensor, others: Tensor) -> Part:
    return Part.of(squared_distances(points[index], points[others]))
