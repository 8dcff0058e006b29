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
from metrics.neighborhoods import NEIGHBORS, Neighborhoods, exact_squares
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
    """Look at all pairs of a generated and a real point, tile by tile."""
    pairs = _Pairs.of(near)
    m, n, device = len(near.generated), len(near.real), near.real.device
    in_real, in_generated, reached = (torch.zeros(size, dtype=torch.bool, device=device) for size in (m, n, n))
    real_balls = torch.zeros(m, dtype=torch.int64, device=device)
    for top in range(0, m, ROWS):
        rows = slice(top, top + ROWS)
        for left in range(0, n, COLUMNS):
            columns = slice(left, left + COLUMNS)
            low, high = pairs.bounds(rows, columns)
            in_real[rows] |= pairs.inside(low, high, rows, columns, pairs.small[None, columns]).any(1)
            in_generated[columns] |= pairs.inside(low, high, rows, columns, pairs.generated[rows, None]).any(0)
            inside = pairs.inside(low, high, rows, columns, pairs.large[None, columns])
            real_balls[rows] += inside.sum(1)
            reached[columns] |= inside.any(0)
    return Counts(in_real, in_generated, real_balls, reached)


@dataclass(frozen=True)
class _Pairs:
    """Generated points x and real points y around the mean of these, and the squared radii of their balls, float64.

    Attributes:
        small: of real points, to the third neighbour.
        large: of real points, to the fifth.
        generated: of generated points, to the third.
    """

    near: Neighborhoods
    x: Tensor
    y: Tensor
    small: Tensor
    large: Tensor
    generated: Tensor

    @classmethod
    def of(cls, near: Neighborhoods) -> "_Pairs":
        dtype = near.within_real.distances.dtype
        center = near.real.to(dtype).mean(0)
        real, generated = near.within_real.positions, near.within_generated.positions
        radii = [
            exact_squares(points, points[positions[:, k - 1]]) * (1 + TIE)
            for points, positions, k in (
                (near.real, real, PRECISION_K),
                (near.real, real, DENSITY_K),
                (near.generated, generated, PRECISION_K),
            )
        ]
        return cls(near, near.generated.to(dtype) - center, near.real.to(dtype) - center, *radii)

    def bounds(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        """Between what the squared distances of a tile (r, c) are for certain."""
        x, y = self.x[rows], self.y[columns]
        error = (8 + math.sqrt(x.shape[1])) * torch.finfo(x.dtype).eps
        squares = x.square().sum(1)[:, None] + y.square().sum(1)[None]
        with full_precision(x.device):
            product = x @ y.T
        return (
            torch.add((1 + error) * squares, product, alpha=-2),
            torch.add((1 - error) * squares, product, alpha=-2),
        )

    def inside(self, above: Tensor, below: Tensor, rows: slice, columns: slice, radii: Tensor) -> Tensor:
        """Which pairs of a tile are no farther apart than a radius, given bounds of their distances (r, c)."""
        limit = radii.to(above.dtype)
        inside = above <= limit
        row, column = ((below <= limit * (1 + torch.finfo(above.dtype).eps)) & ~inside).nonzero(as_tuple=True)
        radii = radii.expand(above.shape)
        size = max(1, PAIRS // self.x.shape[1])
        for i, j in zip(row.split(size), column.split(size), strict=True):
            apart = exact_squares(self.near.generated[rows][i], self.near.real[columns][j])
            inside[i, j] = apart <= radii[i, j]
        return inside
