"""How much a set of points differs within itself: its Vendi score, and how far its neighbours are from each other.

Protocol: the Vendi score is the exponential of the entropy of the eigenvalues of K / n, K being the cosines between
points (Friedman and Dieng 2023, order 1): the effective number of different points, from 1 to n, in float64. The
eigenvalues are those of the smaller of the two Gram matrices. A point at the origin has no direction: it counts as
orthogonal to all but others at the origin.
"""

import torch
from torch import Tensor

from metrics._arguments import Row
from metrics._sets import check_sets, need, row
from metrics.neighborhoods import Neighborhoods
from snnl_core.distances import full_precision

COLLAPSED = 0.1
"""Below this share of the real points' distance to their neighbours, generated points are the same few."""


def measure(near: Neighborhoods) -> list[Row]:
    """Rows of `vendi` of either side, in [1, n], and of `spread` >= 0 of the generated side.

    `spread` is the mean distance of generated points to their nearest other one, divided by that of real points; it is
    left out where all real points have copies.
    """
    real, generated = near.within_real.distances[:, 0], near.within_generated.distances[:, 0]
    usual, found = (float(squares.double().sqrt().mean()) for squares in (real, generated))
    sides = {"real": near.real, "generated": near.generated}
    vendi = [row("vendi", vendi_score(points), near.n, side) for side, points in sides.items()]
    return [*vendi, *([row("spread", found / usual, near.n, "generated")] if usual else [])]


@torch.no_grad()
def vendi_score(points: Tensor) -> float:
    """The effective number of different points of (n, d), in [1, n].

    Raises:
        TypeError: the points are not floating.
        ValueError: they are not (n, d), or a row is not finite.
    """
    check_sets(points, points)
    need("vendi", 1, len(points))
    points = points.double()
    largest = points.abs().amax(1, keepdim=True)
    nowhere = (largest == 0).flatten()
    unit = torch.nn.functional.normalize(points[~nowhere] / largest[~nowhere], dim=1)
    with full_precision(points.device):
        gram = unit.T @ unit if len(unit) > unit.shape[1] else unit @ unit.T
    at_origin = nowhere.sum().double()[None]
    shares = torch.cat([torch.linalg.eigvalsh(gram), at_origin]) / len(points)
    return float(torch.special.entr(shares.clamp(min=0)).sum().exp())
