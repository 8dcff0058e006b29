"""Generated images that are nearer to a training image than they should be, and what a measure says of it.

Protocol: a generated point x is memorised if its nearest training point t is no farther from it than from t's own
nearest other training point; the share of those is `memorized`. Copies are at distance 0, so a copy of a training image
counts even if that is there twice. Held-out images have a share of their own, as any set that is dense: hold it against
that. A measure's gap is its value against held-out images minus that against as many training ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metrics._arguments import Row
from metrics._sets import check_sets, need, row
from metrics.neighborhoods import Distinct, distinct, nearest
from snnl_core.neighbors import nearest_neighbors

NO_VALUES = ("_low", "_high", "_stderr", "inverse_temperature")
"""How rows end that say how sure or where a value is: they have no gap."""


@dataclass(frozen=True)
class TrainingNeighbors:
    """The nearest training point t of each of n points x.

    Attributes:
        position: of t among the training points (n,).
        distance: |x - t| (n,).
        own: |t - the nearest other training point| (n,).
    """

    position: Tensor
    distance: Tensor
    own: Tensor

    @property
    def memorized(self) -> Tensor:
        """Whether each point is no farther from t than t's own nearest is (n,)."""
        return self.distance <= self.own

    @property
    def order(self) -> Tensor:
        """The points from the most memorised on (n,): by distance divided by that of t's own nearest."""
        ratio = torch.where(self.distance == 0, 0.0, self.distance / self.own)
        return ratio.argsort(stable=True)

    def rows(self, side: str) -> list[Row]:
        """The row of `memorized`, in [0, 1], of the side that the points are."""
        return [row("memorized", float(self.memorized.double().mean()), len(self.position), side)]


@dataclass(frozen=True)
class TrainingSet:
    """Training points (t, d), whose copies are found once for whatever is compared with them."""

    points: Tensor
    known: Distinct

    @classmethod
    def of(cls, points: Tensor) -> "TrainingSet":
        """The set of all training points, floating (t, d), finite.

        Raises:
            TypeError: the points are not floating.
            ValueError: they have another shape, or a row is not finite.
        """
        check_sets(points, points)
        return cls(points, distinct(points))

    def __len__(self) -> int:
        return len(self.points)

    def nearest_other(self, some: Tensor) -> Tensor:
        """The squared distance to the nearest other point of some of the points, by position (m,)."""
        alone = self.points[self.known.first]
        if len(alone) == 1:
            return alone.new_zeros(len(some))
        squares = nearest_neighbors(self.points[some], alone, 2)[0][:, 1]  # the first is the point itself
        return squares.masked_fill(self.known.copies[self.known.which[some]] > 1, 0)


def training_neighbors(points: Tensor, training: TrainingSet) -> TrainingNeighbors:
    """The nearest training point of each point, floating (n, d), and how far that is from others.

    Raises:
        TypeError: the points are not floating.
        ValueError: shapes do not fit, or a row is not finite.
        LeftOutError: there is one training point alone.
    """
    check_sets(training.points[:1], points)
    need("memorized", 2, len(training))
    found = nearest(points, training.points, training.known)
    position = found.positions[:, 0]
    met, which = position.unique(return_inverse=True)
    return TrainingNeighbors(position, found.distances[:, 0].sqrt(), training.nearest_other(met).sqrt()[which])


def gaps(held_out: Sequence[Row], training: Sequence[Row]) -> list[Row]:
    """A row `NAME_gap` for each measure that is in both: the held-out value minus the training one.

    Rows belong together by metric, side and group, n included: values of other n are not comparable.
    """
    known = {_identity(one): float(one["value"]) for one in training}
    return [
        {**one, "metric": f"{one['metric']}_gap", "value": float(one["value"]) - known[_identity(one)]}
        for one in held_out
        if _identity(one) in known and not str(one["metric"]).endswith(NO_VALUES)
    ]


def _identity(one: Row) -> tuple[str | float | int, ...]:
    return tuple(one[key] for key in ("metric", "side", "group", "n"))
