"""Precision, recall, density and coverage: which points of one set lie in balls around those of the other.

Protocol: around each point a ball that reaches to its k-th nearest neighbour in its own set. Precision is the share of
generated points in some ball of a real one, recall that of real points in some ball of a generated one (Kynkaanniemi et
al. 2019, k = 3). Density is the mean number of real balls, divided by k, that a generated point lies in, coverage the
share of real points with a generated one in their ball (Naeem et al. 2020, k = 5); the row is named `ball_coverage`,
since `coverage` is the mean over classes of `metrics.real_generated`.

A ball is closed: a point at exactly its radius lies in it, as both papers and torch-fidelity have it; `prdc` leaves it
out. The two differ for copies alone: around points that are there more than k times, balls have radius 0, and a copy of
them counts as inside, as it should; and for two identical sets density is (k + 1) / k.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from metrics._arguments import Row
from metrics._sets import need, row
from metrics.neighborhoods import NEIGHBORS, Near, Neighborhoods, distinct, exact_squares
from snnl_core import products
from snnl_core.distances import full_precision

PRECISION_K = 3
DENSITY_K = NEIGHBORS
ROWS, COLUMNS = 512, 2048
"""Points of a tile: 4 MB in float32, which stays near the processor."""
PAIRS = 1 << 22
"""Numbers of the pairs that are measured at a time."""
TIE = 1e-12
"""Beyond a radius by this share, a point is still on the ball: rounding in float64."""


def measure(near: Neighborhoods) -> list[Row]:
    """Rows of `precision`, `recall` and `ball_coverage` in [0, 1], and of `density` >= 0, which may exceed 1.

    Exact: a pair that float32 cannot decide is decided in float64.

    Raises:
        LeftOutError: a set has no more than five points.
    """
    need("precision, recall, density, coverage", DENSITY_K + 1, near.n, "each a ball to its fifth neighbour")
    found = count(near)
    values = {
        "precision": found.in_real_ball.double().mean(),
        "recall": found.in_generated_ball.double().mean(),
        "density": found.real_balls.double().mean() / DENSITY_K,
        "ball_coverage": found.reached.double().mean(),
    }
    sides = {"precision": "generated", "recall": "real", "density": "generated", "ball_coverage": "real"}
    return [row(metric, float(value), near.n, sides[metric]) for metric, value in values.items()]


@dataclass(frozen=True)
class Counts:
    """What lies in whose balls.

    Attributes:
        in_real_ball: whether each generated point lies in a ball of a real one, k = 3 (m,).
        in_generated_ball: whether each real point lies in a ball of a generated one, k = 3 (n,).
        real_balls: in how many balls of real points each generated one lies, k = 5 (m,).
        reached: whether the ball of each real point holds a generated one, k = 5 (n,).
    """

    in_real_ball: Tensor
    in_generated_ball: Tensor
    real_balls: Tensor
    reached: Tensor


@torch.no_grad()
def count(near: Neighborhoods) -> Counts:
    """Look at all pairs of a distinct generated and a distinct real point, tile by tile."""
    generated, real = distinct(near.generated), distinct(near.real)
    pairs, copies = _Pairs.of(near, generated.first, real.first), real.copies.double()
    m, n, device = len(generated.first), len(real.first), near.real.device
    in_real, in_generated, reached = (torch.zeros(size, dtype=torch.bool, device=device) for size in (m, n, n))
    real_balls = torch.zeros(m, dtype=torch.float64, device=device)
    for top in range(0, m, ROWS):
        for left in range(0, n, COLUMNS):
            row, column, (large, small, of_generated) = pairs.inside(
                slice(top, top + ROWS), slice(left, left + COLUMNS)
            )
            in_real[row[small]] = True
            in_generated[column[of_generated]] = True
            reached[column[large]] = True
            real_balls += torch.bincount(row[large], copies[column[large]], minlength=m)
    return Counts(in_real[generated.which], in_generated[real.which], real_balls[generated.which], reached[real.which])


@dataclass(frozen=True)
class _Pairs:
    """Generated points x, real points y, and the balls around both.

    Attributes:
        generated: as they are, (m, d).
        real: as they are, (n, d).
        x: around the mean, in at least float32.
        y: the same of the real ones.
        x_squares: |x|^2 (m,).
        y_squares: |y|^2 (n,).
        large: squared radii of real points, to the fifth neighbour, float64 (n,).
        small: the same to the third.
        of_generated: of generated points, to the third (m,).
    """

    generated: Tensor
    real: Tensor
    x: Tensor
    y: Tensor
    x_squares: Tensor
    y_squares: Tensor
    large: Tensor
    small: Tensor
    of_generated: Tensor

    @classmethod
    def of(cls, near: Neighborhoods, generated: Tensor, real: Tensor) -> "_Pairs":
        """Of some of the points, by their positions."""
        points = near.generated[generated], near.real[real]
        dtype = near.within_real.distances.dtype
        center = near.real.to(dtype).mean(0)
        x, y = (some.to(dtype) - center for some in points)
        radii = (
            _radii(near.real, near.within_real, DENSITY_K)[real],
            _radii(near.real, near.within_real, PRECISION_K)[real],
            _radii(near.generated, near.within_generated, PRECISION_K)[generated],
        )
        return cls(*points, x, y, x.square().sum(1), y.square().sum(1), *radii)

    def inside(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Pairs of a tile that may lie in a ball of each other, by row and column (p,), and for each whether x is in
        the large and in the small ball of y, and y in that of x (p,).

        Products tell of nearly all pairs that they do not; where those cannot decide, float64 does.
        """
        row, column, least, most = self._candidates(rows, columns)
        limits = [self.large[column], self.small[column], self.of_generated[row]]
        unsure = torch.stack([(least <= limit) & (most > limit) for limit in limits]).any(0).nonzero().flatten()
        apart = most.double()
        for some in unsure.split(max(1, PAIRS // self.x.shape[1])):
            apart[some] = exact_squares(self.generated[row[some]], self.real[column[some]])
        return row, column, [apart <= limit for limit in limits]

    def _candidates(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pairs of a tile by row and column, and between what their squared distances are for certain (p,).

        They are those whose distance may be within a radius.
        """
        error = (8 + math.sqrt(self.x.shape[1])) * torch.finfo(self.x.dtype).eps
        x_squares, y_squares = self.x_squares[rows], self.y_squares[columns]
        with full_precision(self.x.device):
            least = products.inner(self.x[rows], self.y[columns], factor=-2, plus=(1 - error) * y_squares)
        rest = (1 - error) * x_squares  # of the least that |x - y|^2 can be
        near = least <= (self.of_generated[rows].to(least) - rest)[:, None]
        near |= least - self.large[columns].to(least) <= -rest[:, None]
        row, column = near.nonzero(as_tuple=True)
        least = least[row, column] + rest[row]
        most = least + 2 * error * (x_squares[row] + y_squares[column])
        return row + rows.start, column + columns.start, least, most


def _radii(points: Tensor, within: Near, k: int) -> Tensor:
    """Squared distances to the k-th neighbour, float64 (n,)."""
    return exact_squares(points, points[within.positions[:, k - 1]]) * (1 + TIE)
