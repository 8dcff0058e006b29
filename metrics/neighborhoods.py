"""Who is near to whom in two sets of points: the searches that several measures share, each made once."""

from dataclasses import dataclass

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

    Attributes:
        real: (n, d).
        generated: (m, d).
        within_real: of each real point, others of its set: 5, or as many as there are.
        within_generated: the same of the generated points.
        to_generated: of each real point, the nearest generated one.
        to_real: of each generated point, the nearest real one.
    """

    real: Tensor
    generated: Tensor
    within_real: Near
    within_generated: Near
    to_generated: Near
    to_real: Near

    @classmethod
    def of(cls, real: Tensor, generated: Tensor) -> "Neighborhoods":
        """Search both sets.

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
        crossing = {"to_generated": nearest(real, generated), "to_real": nearest(generated, real)}
        return cls(real, generated, _within(real), _within(generated), **crossing)

    def against(self, real: Tensor) -> "Neighborhoods":
        """The same generated points with other real ones (n, d); how near they are to each other is known."""
        check_sets(real, self.generated)
        crossing = {"to_generated": nearest(real, self.generated), "to_real": nearest(self.generated, real)}
        return Neighborhoods(real, self.generated, _within(real), self.within_generated, **crossing)

    @property
    def n(self) -> int:
        """Points of the smaller set."""
        return min(len(self.real), len(self.generated))


def nearest(queries: Tensor, points: Tensor) -> Near:
    """The one nearest point of each query; (q, d) among (n, d)."""
    return Near(*nearest_neighbors(queries, points, 1))


def _within(points: Tensor) -> Near:
    k = min(NEIGHBORS, len(points) - 1)
    return Near(*nearest_neighbors(points, points, k, exclude_self=True))


def exact_squares(ones: Tensor, others: Tensor) -> Tensor:
    """The squared distance of each pair (p,) of points (p, d), in float64."""
    return (ones.double() - others.double()).square().sum(1)
