"""Who is near to whom in two sets of points: the searches that several measures share, each made once.

Copies are searched for as one point: a collapsed generator gives thousands, all nearest to each other.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metrics._sets import check_sets, need
from snnl_core.neighbors import nearest_neighbors

NEIGHBORS = 5
"""The most that a measure asks for within a set."""


class Near(NamedTuple):
    """Neighbours of each point, nearest first: squared distances (n, k), in at least float32, and positions (n, k).

    Of copies, any may stand for all.
    """

    distances: Tensor
    positions: Tensor


class Distinct(NamedTuple):
    """The distinct points of a set.

    Attributes:
        first: where the first of each is (u,).
        which: which of them each point is (n,).
        copies: how often each is there (u,).
    """

    first: Tensor
    which: Tensor
    copies: Tensor


@dataclass(frozen=True)
class Neighborhoods:
    """Two sets of points, and the nearest neighbours of each point within its own set and in the other one.

    A search is made when its result is first asked for.

    Attributes:
        real: (n, d).
        generated: (m, d).
        within_generated: of each generated point, others of its set: 5, or as many as there are.
    """

    real: Tensor
    generated: Tensor
    within_generated: Near

    @classmethod
    def of(cls, real: Tensor, generated: Tensor) -> "Neighborhoods":
        """The neighbourhoods of two sets.

        Args:
            real: floating (n, d), finite.
            generated: floating (m, d), finite.

        Raises:
            TypeError: the points are not floating.
            ValueError: shapes do not fit, a row is not finite, or squared distances overflow.
            LeftOutError: a set has one point alone.
        """
        check_sets(real, generated)
        need("a neighbour", 2, min(len(real), len(generated)))
        return cls(real, generated, _within(generated))

    def against(self, real: Tensor) -> "Neighborhoods":
        """The same generated points with other real ones (n, d); errors are those of `of`."""
        check_sets(real, self.generated)
        need("a neighbour", 2, len(real))
        return Neighborhoods(real, self.generated, self.within_generated)

    @property
    def n(self) -> int:
        """Points of the smaller set."""
        return min(len(self.real), len(self.generated))

    @cached_property
    def within_real(self) -> Near:
        """Of each real point, others of its set: 5, or as many as there are."""
        return _within(self.real)

    @cached_property
    def to_generated(self) -> Near:
        """Of each real point, the nearest generated one."""
        return nearest(self.real, self.generated)

    @cached_property
    def to_real(self) -> Near:
        """Of each generated point, the nearest real one."""
        return nearest(self.generated, self.real)


def distinct(points: Tensor) -> Distinct:
    """The distinct rows of points (n, d), byte by byte."""
    rows = np.ascontiguousarray(points.to("cpu", torch.promote_types(points.dtype, torch.float32)).numpy())
    whole = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]
    _, first, which, copies = np.unique(whole, return_index=True, return_inverse=True, return_counts=True)
    return Distinct(*(torch.from_numpy(found).to(points.device) for found in (first, which, copies)))


def nearest(queries: Tensor, points: Tensor, known: Distinct | None = None) -> Near:
    """The one nearest point of each query; (q, d) among (n, d), of which the distinct ones may be known."""
    asked, known = distinct(queries), known or distinct(points)
    found = nearest_neighbors(queries[asked.first], points[known.first], 1)
    return Near(found[0][asked.which], known.first[found[1]][asked.which])


def _within(points: Tensor) -> Near:
    """The nearest others of each point: 5, or as many as there are."""
    k, known = min(NEIGHBORS, len(points) - 1), distinct(points)
    order = known.which.argsort(stable=True)
    rank = torch.arange(len(order), device=order.device) - (known.copies.cumsum(0) - known.copies)[known.which[order]]
    kept = order[rank <= k]  # of each point as many copies as can be neighbours of one, and that one
    found = nearest_neighbors(points[kept], points[kept], k, exclude_self=True)
    one = (rank[rank <= k] == 0).nonzero().flatten()[known.which]  # those who stand for each point
    return Near(found[0][one], kept[found[1]][one])


def exact_squares(ones: Tensor, others: Tensor) -> Tensor:
    """The squared distance of each pair (p,) of points (p, d), in float64."""
    return (ones.double() - others.double()).square().sum(1)
