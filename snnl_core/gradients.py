"""The loss's gradient by the points, from tiles that are computed once more."""

from collections.abc import Callable

import torch
from torch import Tensor

from snnl_core import products
from snnl_core.masses import Masses, weighted
from snnl_core.tiles import Points, Tile, Workspace, load, square


def pull(points: Points, masses: Masses, upstream: Tensor) -> Tensor:
    """The gradient of sum(upstream * loss) with respect to the points (n, d), at the masses' first temperature.

    With beta V_ij the derivative by the distance of i and j, it is 2 beta sum_j V_ij (x_i - x_j).
    """
    pulls = masses.pulls(upstream)

    def derivatives(tile: Tile, work: list[Tensor]) -> Tensor:
        spare, total, part = work
        loaded = load(points, points, tile, spare)
        distances = loaded.distances
        if tile.diagonal:
            total.zero_()
            for kind, members in loaded.parts:
                total += weighted(distances, masses, kind, tile.rows, pulls[kind], members, part)
            return total + total.T
        ((kind, members),) = loaded.parts  # the columns' view may overwrite the distances
        weighted(distances, masses, kind, tile.rows, pulls[kind], members, total)
        total += weighted(distances.T, masses, kind, tile.columns, pulls[kind], None, distances.T).T
        return total

    return gradient(points, masses.betas[0, 0], derivatives)


def gradient(points: Points, beta: Tensor, derivatives: Callable[[Tile, list[Tensor]], Tensor]) -> Tensor:
    """2 beta sum_j V_ij (x_i - x_j) for each point (n, d), from V tile by tile, made in three tensors of work."""
    work = Workspace(points, points, 3)
    towards, weight = torch.zeros_like(points.x), torch.zeros_like(points.squares)
    for tile in square(points):
        found = derivatives(tile, work.tensors(tile.shape))
        products.add_combined(towards[tile.rows], found, points.x[tile.columns])
        weight[tile.rows] += found.sum(1)
        if not tile.diagonal:
            products.add_combined(towards[tile.columns], found.T, points.x[tile.rows])
            weight[tile.columns] += found.sum(0)
    return torch.addcmul(towards.neg_(), points.x, weight[:, None]).mul_(2 * beta)
