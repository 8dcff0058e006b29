"""Who is near to whom in two sets of points: the searches that several measures share, each made once."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from metrics._sets import check_sets, need
from snnl_core.neighbors import nearest_neighbors

NEIGHBORS = 5
"""The most that a measure asks for within a set."""


@dataclass(frozen=True)
class Near:
    """Neighbours of each point, nearest first: squared distances (n, k), in at least float32, and positions (n, k)."""

    distances: Tensor
    positions: Tensor


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


def nearest(queries: Tensor, points: Tensor) -> Near:
    """The one nearest point of each query; (q, d) among (n, d)."""
    return Near(*nearest_neighbors(queries, points, 1))


def _within(points: Tensor) -> Near:
    k = min(NEIGHBORS, len(points) - 1)
    return Near(*nearest_neighbors(points, points, k, exclude_self=True))


def exact_squares(ones: Tensor, others: Tensor) -> Tensor:
    """The squared distance of each pair (p,) of points (p, d), in float64."""
    return (ones.double() - others.double()).square().sum(1)
