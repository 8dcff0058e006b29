"""Softmax masses over distances, carried stably from tile to tile, and the loss that two of them make.

For an anchor at distances d from some points, and an inverse temperature beta, the mass is sum exp(-beta d). It is kept
as the distance to the nearest point and a sum of exp(-beta (d - nearest)), which lies between 1 and the number of
points for every beta. Masses of the own class and of the others give the loss and its derivatives: with
u = log(mass of others) - log(mass of the own class),

    loss   = softplus(u)
    loss'  = w u',                         u'  = E_own[d] - E_others[d]
    loss'' = w (1 - w) u'^2 + w u'',       u'' = Var_others[d] - Var_own[d]

with w = sigmoid(u) the softmax mass on other classes, and E and Var under each kind's own softmax.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

LOG2_E = 1 / math.log(2)
"""exp2 is several times as fast as exp on processors, so beta is taken to base 2."""


LOWEST = {torch.float32: -126.0, torch.float64: -1022.0}
"""Exponents end here: below, numbers lose digits, and many processors take ten times as long and longer over them."""


@dataclass(frozen=True)
class Mass:
    """The mass of one kind of points as anchors see it, at several inverse temperatures.

    Attributes:
        nearest: the distance to the nearest point (a,); infinite where no point was seen.
        sums: sum of exp(-beta excess) excess^k for k = 0, 1, ... (k, q, a), with excess = d - nearest; one to three k.
    """

    nearest: Tensor
    sums: Tensor

    def add(self, other: "Mass", betas: Tensor) -> None:
        """Add the mass of other points, seen by the same anchors, at inverse temperatures (q, a)."""
        nearest = torch.minimum(self.nearest, other.nearest)
        total = _moved(self, nearest, betas) + _moved(other, nearest, betas)
        self.nearest.copy_(nearest)
        self.sums.copy_(total)


def _moved(mass: Mass, nearest: Tensor, betas: Tensor) -> Tensor:
    """The sums about a nearest distance that is no longer the mass's own."""
    # Where nothing was seen the sums are 0 and any finite move will do.
    shift = (mass.nearest - nearest).nan_to_num(0.0, posinf=0.0)
    moved = mass.sums * torch.exp2(shift * betas * -LOG2_E)
    if len(moved) > 2:
        moved[2] += shift * (2 * moved[1] + shift * moved[0])
    if len(moved) > 1:
        moved[1] += shift * moved[0]
    return moved


def mass_of(distances: Tensor, members: Tensor | None, betas: Tensor, orders: int, work: list[Tensor]) -> Mass:
    """The mass of the points of one tile.

    Args:
        distances: (a, m), not negative.
        members: 1 where a point counts for an anchor, else 0 (a, m); None where all do.
        betas: inverse temperatures (q, a).
        orders: how many moments, 1 to 3.
        work: two tensors like `distances` to be written over.
    """
    excess, weights = work
    nearest = _nearest(distances, members, excess)
    excess_over(distances, nearest, members, excess)
    sums = betas.new_empty(orders, *betas.shape)
    for place, beta in enumerate(betas):
        softmax_weights(excess, members, beta, weights)
        torch.sum(weights, 1, out=sums[0, place])
        for order in range(1, orders):
            weights.mul_(excess)
            torch.sum(weights, 1, out=sums[order, place])
    return Mass(nearest, sums)


def _nearest(distances: Tensor, members: Tensor | None, work: Tensor) -> Tensor:
    """The least distance to a point that counts (a,); infinite where none does."""
    if members is None:
        return distances.amin(1)
    # A far distance is added where a point does not count: a choice by mask takes several times as long.
    far = torch.finfo(distances.dtype).max / 2
    nearest = torch.mul(members, -far, out=work).add_(far).add_(distances).amin(1)
    return nearest.masked_fill_(nearest >= far, math.inf)


def excess_over(distances: Tensor, nearest: Tensor, members: Tensor | None, out: Tensor) -> Tensor:
    """Distances beyond each anchor's nearest (a,), into `out` (a, m); not negative where a point counts or not."""
    torch.sub(distances, nearest[:, None], out=out)
    return out if members is None else out.clamp_min_(0)


def softmax_weights(excess: Tensor, members: Tensor | None, beta: Tensor, out: Tensor) -> Tensor:
    """exp(-beta excess) into `out` (a, m), for one beta an anchor (a,); 0 where a point does not count."""
    torch.mul(excess, (beta * -LOG2_E)[:, None], out=out).clamp_min_(LOWEST[out.dtype]).exp2_()
    return out if members is None else out.mul_(members)


@dataclass(frozen=True)
class Masses:
    """The masses of the own class and of all others, as anchors see them at several inverse temperatures.

    What is derived from them is 0 for an anchor that is not valid: one without another point of its class.

    Attributes:
        nearest: of each kind, as in `Mass` (2, a).
        sums: the same (2, k, q, a).
        betas: the inverse temperatures (q, a).
    """

    nearest: Tensor
    sums: Tensor
    betas: Tensor

    @classmethod
    def empty(cls, betas: Tensor, orders: int) -> "Masses":
        """No points yet, for anchors at inverse temperatures (q, a)."""
        return cls(betas.new_full((2, betas.shape[1]), math.inf), betas.new_zeros(2, orders, *betas.shape), betas)

    @property
    def kinds(self) -> list[Mass]:
        """Views of the own class, and of the others."""
        return [Mass(nearest, sums) for nearest, sums in zip(self.nearest, self.sums, strict=True)]

    def add(self, other: "Masses") -> None:
        """Add what the same anchors see of other points, at the same temperatures."""
        for own, more in zip(self.kinds, other.kinds, strict=True):
            own.add(more, self.betas)

    def packed(self) -> Tensor:
        """What was seen, without the inverse temperatures, as one vector: a process sends it in one message."""
        return torch.cat([self.nearest.flatten(), self.sums.flatten()])

    def unpacked(self, packed: Tensor) -> "Masses":
        """Such a vector as masses of these shapes, at these inverse temperatures."""
        nearest, sums = packed.split([self.nearest.numel(), self.sums.numel()])
        return Masses(nearest.view_as(self.nearest), sums.view_as(self.sums), self.betas)

    @property
    def orders(self) -> int:
        """How many moments they have."""
        return self.sums.shape[1]

    @cached_property
    def _alone(self) -> Tensor:
        return self.sums[0, 0, 0] == 0  # which NaN is not: what is not finite shows in the loss

    @property
    def valid(self) -> Tensor:
        """Which anchors have another point of their class (a,)."""
        return ~self._alone

    @cached_property
    def _apart(self) -> Tensor:
        """How much farther the nearest of the own class is than the nearest other (a,); 0 where one is not there."""
        return (self.nearest[0] - self.nearest[1]).nan_to_num_(0.0, 0.0, 0.0)

    @cached_property
    def _log_ratio(self) -> Tensor:
        """u = log(others) - log(own) (q, a): -inf where there are no others or the anchor is not valid."""
        own, others = self.sums[:, 0]
        ratio = (others / own).log_().addcmul_(self._apart, self.betas)
        return ratio.masked_fill_(self._alone, -math.inf)

    @cached_property
    def foreign(self) -> Tensor:
        """w, each anchor's softmax mass on other classes (q, a)."""
        return self._log_ratio.sigmoid()

    def losses(self) -> Tensor:
        """Each anchor's loss (q, a)."""
        # log((own + others) / own) as a softplus: exact where it is near 0, and no ratio underflows.
        return F.softplus(self._log_ratio, threshold=50)

    def slopes(self) -> Tensor:
        """The first derivative of each anchor's loss in beta (q, a), from two moments."""
        own, others = self.sums[:, 1] / self.sums[:, 0]
        return _where_both(self.foreign * (self._apart + own - others))

    def derivatives(self) -> Tensor:
        """Each anchor's loss and its first and second derivative in beta (3, q, a), from three moments."""
        means, squares = (self.sums[:, 1:] / self.sums[:, :1]).unbind(1)  # (2, q, a), about the nearest
        own, others = torch.addcmul(squares, means, means, value=-1)  # the variances
        slope = self._apart + means[0] - means[1]
        bend = torch.addcmul(others - own, 1 - self.foreign, slope.square())
        found = torch.stack([self.losses(), self.foreign * slope, self.foreign * bend])
        _where_both(found[1:])
        return found

    def shares(self) -> Tensor:
        """c (a,) such that c exp(-beta excess) is an anchor's softmax mass on a point of another class.

        At the first inverse temperature.
        """
        return self.foreign[0] / self.sums[1, 0, 0]

    def pulls(self, upstream: Tensor) -> Tensor:
        """For each kind (2, a), c such that d sum(upstream * loss) / d distance = beta c exp(-beta excess).

        At the first inverse temperature, which is left out as its product with c alone could overflow.
        """
        pull = upstream * self.foreign[0]
        # Where a kind of points is missing there is nothing to pull at.
        sums = self.sums[:, 0, 0]
        found = pull / sums.masked_fill(sums == 0, math.inf)
        found[1].neg_()
        return found


def _where_both(values: Tensor) -> Tensor:
    """The values, in place, of anchors that see both kinds of points; 0 for others, whose softmax is 0 / 0."""
    return values.nan_to_num_(0.0, 0.0, 0.0)


def weighted(
    distances: Tensor, masses: Masses, kind: int, rows: slice, factors: Tensor, members: Tensor | None, out: Tensor
) -> Tensor:
    """factor_i exp(-beta_i (d_ij - nearest_i)) over one kind of pairs, into `out` (a, m); factors (n,)."""
    excess = excess_over(distances, masses.nearest[kind, rows], members, out)
    return softmax_weights(excess, members, masses.betas[0, rows], out).mul_(factors[rows, None])
