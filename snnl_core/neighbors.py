"""Exact nearest neighbours, in chunks of queries."""

import torch
from torch import Tensor

from snnl_core.distances import Distance, prepare, squared_distances

CHUNK_ENTRIES = 1 << 24
"""Distances held at a time."""


@torch.no_grad()
def nearest_neighbors(
    queries: Tensor, points: Tensor, k: int, *, distance: Distance = "sqeuclidean", exclude_self: bool = False
) -> tuple[Tensor, Tensor]:
    """The k nearest points of each query, nearest first.

    Args:
        queries: (q, d), floating.
        points: (n, d), floating.
        k: how many, from 1 to n (n - 1 with `exclude_self`).
        distance: `sqeuclidean`, or `cosine` for 1 - cos.
        exclude_self: queries are the points themselves, and no point is its own neighbour.

    Returns:
        Distances (q, k) and positions among the points (q, k); copies of a point count as neighbours at distance 0.

    Raises:
        ValueError: k is impossible, or the dimensions differ.
    """
    if queries.shape[1:] != points.shape[1:] or (exclude_self and len(queries) != len(points)):
        raise ValueError(f"queries {tuple(queries.shape)} do not fit points {tuple(points.shape)}.")
    if not 1 <= k <= len(points) - exclude_self:
        raise ValueError(f"k = {k} of {len(points)} points: k must be from 1 to {len(points) - exclude_self}.")
    both = prepare(torch.cat([queries, points]), distance)
    queries, points = both[: len(queries)], both[len(queries) :]
    distances, indices = [], []
    size = max(1, CHUNK_ENTRIES // len(points))
    for start in range(0, len(queries), size):
        squared = squared_distances(queries[start : start + size], points)
        if exclude_self:
            squared.diagonal(start).fill_(torch.inf)
        found = squared.topk(k, largest=False)
        distances.append(found.values)
        indices.append(found.indices)
    return torch.cat(distances), torch.cat(indices)
