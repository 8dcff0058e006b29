"""The nearest neighbours of points, exactly."""

import torch
from torch import Tensor

from snnl_core.bank import Rows
from snnl_core.distances import Distance
from snnl_core.search import search


@torch.no_grad()
def nearest_neighbors(
    queries: Tensor, points: Tensor, k: int, *, distance: Distance = "sqeuclidean", exclude_self: bool = False
) -> tuple[Tensor, Tensor]:
    """The k nearest points of each query, nearest first.

    Memory beyond the arguments and the result is bounded (about 0.5 GB on a processor): the points are read in chunks,
    so that they may be a memory map or lie on another device than the queries.

    Args:
        queries: (q, d), floating and finite.
        points: (n, d), floating and finite; where either is float64, so are the distances.
        k: how many, from 1 to n (n - 1 with `exclude_self`).
        distance: `sqeuclidean`, or `cosine` for 1 - cos; a point at the origin is at 0 from others at the origin and
            at 1 from all else.
        exclude_self: queries are the points themselves, and no point is its own neighbour.

    Returns:
        Distances (q, k), in at least float32, and positions among the points (q, k), on the queries' device. Copies of
        a point count as neighbours at distance 0; of points equally near, the first ones are taken, in order.

    Raises:
        TypeError: a tensor is not floating.
        ValueError: k is impossible, the dimensions differ, a row is not finite, or squared distances overflow.
    """
    if queries.ndim != 2 or queries.shape[1:] != points.shape[1:] or (exclude_self and len(queries) != len(points)):
        raise ValueError(f"queries {tuple(queries.shape)} do not fit points {tuple(points.shape)}.")
    if not 1 <= k <= len(points) - exclude_self:
        raise ValueError(f"k = {k} of {len(points)} points: k must be from 1 to {len(points) - exclude_self}.")
    return search(Rows.of(queries, distance), Rows.of(points, distance), k, exclude_self=exclude_self)
