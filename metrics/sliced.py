"""Transport of one set to another along random directions: the sliced Wasserstein distance, and MIND.

Protocol: both sets, of equal n, are projected on 1,000 directions, drawn uniformly from the sphere, always the same
ones. Along a direction the squared 2-Wasserstein distance is the mean squared difference of the sorted projections. Its
mean over the directions is the square of `sliced_wasserstein` (Bonneel et al. 2015); times 3 d it is `mind`, the Monge
Inception Distance (Berthet et al. 2026, arXiv 2605.06797), whose name is kept whatever the features. Both order sets in
the same way, and both fall towards 0 as n grows: compare equal n.
"""

import math

import torch
from torch import Tensor

from lab.training.draws import random_generator
from metrics._arguments import Row
from metrics._sets import check_same_shape, check_sets, row
from snnl_core.distances import full_precision

DIRECTIONS = 1000
AT_ONCE = 50
"""Directions that are projected on together."""


def measure(real: Tensor, generated: Tensor) -> list[Row]:
    """Rows of `sliced_wasserstein` >= 0, in units of the features, and `mind` >= 0, in those of their squares.

    Arguments and errors are those of `mean_transport`.
    """
    n, d = real.shape
    cost = mean_transport(real, generated)
    return [row("sliced_wasserstein", math.sqrt(cost), n), row("mind", 3 * d * cost, n)]


@torch.no_grad()
def mean_transport(real: Tensor, generated: Tensor) -> float:
    """The mean over the directions of the squared 2-Wasserstein distance along them, >= 0.

    Args:
        real: floating (n, d), finite.
        generated: floating (n, d), finite.

    Raises:
        TypeError: the points are not floating.
        ValueError: shapes differ, or a row is not finite.
    """
    check_sets(real, generated)
    check_same_shape(real, generated)
    dtype = torch.promote_types(real.dtype, torch.float32)
    center = real.to(dtype).mean(0)
    draw = random_generator(0, "directions")
    drawn = torch.randn(DIRECTIONS, real.shape[1], generator=draw, dtype=torch.float64, device="cpu")
    directions = torch.nn.functional.normalize(drawn, dim=1).to(real.device, dtype)
    sets = [side.to(dtype) - center for side in (real, generated)]
    total = 0.0
    for some in directions.split(AT_ONCE):
        with full_precision(real.device):
            one, other = ((some @ points.T).sort(dim=1).values for points in sets)
        total += float((one - other).square().mean(1).double().sum())
    return total / DIRECTIONS
