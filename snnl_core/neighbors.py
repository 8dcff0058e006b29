"""Exact nearest neighbours, in chunks of queries."""

import torch
from torch import Tensor

from snnl_core.distances import Distance, check_finite, full_precision, prepare, squared_distances

CHUNK_ENTRIES = 1 << 22
"""Distances held at a time."""


@torch.no_grad()
def nearest_neighbors(
    queries: Tensor, points: Tensor, k: int, *, distance: Distance = "sqeuclidean", exclude_self: bool = False
) -> tuple[Tensor, Tensor]:
    """The k nearest points of each query, nearest first.

    Args:
        queries: (q, d), floating and finite.
        points: (n, d), of the same dtype.
        k: how many, from 1 to n (n - 1 with `exclude_self`).
        distance: `sqeuclidean`, or `cosine` for 1 - cos.
        exclude_self: queries are the points themselves, and no point is its own neighbour.

    Returns:
        Distances (q, k), in at least float32, and positions among the points (q, k). Copies of a point count as
        neighbours at distance 0; of points equally near, the first ones are taken, in order.

    Raises:
        ValueError: k is impossible, the dimensions differ, or a row is not finite.
    """
    if queries.shape[1:] != points.shape[1:] or (exclude_self and len(queries) != len(points)):
        raise ValueError(f"queries {tuple(queries.shape)} do not fit points {tuple(points.shape)}.")
    if not 1 <= k <= len(points) - exclude_self:
        raise ValueError(f"k = {k} of {len(points)} points: k must be from 1 to {len(points) - exclude_self}.")
    both = torch.cat([queries, points])
    check_finite(both)
    both = prepare(both if both.dtype == torch.float64 else both.float(), distance)
    both = both - both.mean(0)  # which keeps |a|^2 + |b|^2 - 2ab accurate
    queries, points = both[: len(queries)], both[len(queries) :]
    distances, indices = [], []
    size = max(1, CHUNK_ENTRIES // len(points))
    for start in range(0, len(queries), size):
        with full_precision(points.device):
            squared = squared_distances(queries[start : start + size], points)
        if exclude_self:
            squared.diagonal(start).fill_(torch.inf)
        values, index = _smallest(squared, k)
        distances.append(values)
        indices.append(index)
    return torch.cat(distances), torch.cat(indices)


def _smallest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k smallest of each row, ascending, and where they are; of equal ones the first (topk takes any)."""
    last = values.topk(k, largest=False).values[:, -1:]
    below, level = values < last, values == last
    room = k - below.sum(1, keepdim=True)
    picked = below | (level & (level.cumsum(1, dtype=torch.int32) <= room))
    index = picked.nonzero()[:, 1].view(-1, k)
    found, order = values.gather(1, index).sort(dim=1, stable=True)
    return found, index.gather(1, order)
