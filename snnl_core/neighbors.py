"""The nearest neighbours of points, exactly."""

import torch
from torch import Tensor

from snnl_core.bank import Rows
from snnl_core.compiling import uncompiled
from snnl_core.distances import Distance, check_count, check_tensor
from snnl_core.search import common_dtype, search


@uncompiled
@torch.no_grad()
def nearest_neighbors(
    queries: Tensor,
    points: Tensor,
    k: int,
    *,
    distance: Distance = "sqeuclidean",
    exclude_self: bool = False,
    out: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """The k nearest points of each query, nearest first.

    Memory beyond the arguments and the result is bounded (about 0.5 GB on a processor): queries and points are read in
    chunks, so that they may be memory maps or lie on different devices; with `out` the result may be mapped, too.

    Args:
        queries: (q, d), floating and finite.
        points: (n, d), floating and finite; where either is float64, so are the distances.
        k: how many, from 1 to n (n - 1 with `exclude_self`).
        distance: `sqeuclidean`, or `cosine` for 1 - cos; a point at the origin is at 0 from others at the origin and
            at 1 from all else.
        exclude_self: queries are the points themselves, and no point is its own neighbour.
        out: distances (q, k) and positions (q, k), int64, which are written to and returned, on any device; their
            memory may be that of files (`torch.from_file`, or a writable `numpy.memmap` by `torch.from_numpy`).

    Returns:
        Distances (q, k), in at least float32, and positions among the points (q, k), on the queries' device, or
        on the processor if that has no float64. Copies of a point count as neighbours at distance 0; of points equally
        near, the first ones are taken, in order.

    Raises:
        TypeError: queries or points are no floating tensors, or `out` is not two tensors.
        ValueError: k is impossible, the dimensions differ, a row is not finite, squared distances overflow, or `out`
            has other shapes or dtypes than the result, or is expanded.
    """
    check_tensor("queries", queries)
    check_tensor("points", points)
    if queries.ndim != 2 or queries.shape[1:] != points.shape[1:] or (exclude_self and len(queries) != len(points)):
        raise ValueError(f"queries {tuple(queries.shape)} do not fit points {tuple(points.shape)}.")
    check_count("k", k)
    if not 1 <= k <= len(points) - exclude_self:
        raise ValueError(f"k = {k} of {len(points)} points: k must be from 1 to {len(points) - exclude_self}.")
    rows, bank = Rows.of(queries, distance), Rows.of(points, distance)
    if out is not None:
        _check_out(out, (len(rows), k), common_dtype(rows, bank))
    return search(rows, bank, k, exclude_self=exclude_self, out=out)


def _check_out(out: tuple[Tensor, Tensor], shape: tuple[int, int], dtype: torch.dtype) -> None:
    if not isinstance(out, tuple | list) or len(out) != 2:
        raise TypeError("out must be two tensors: distances and positions.")
    for name, given, kind in zip(("distances", "positions"), out, (dtype, torch.int64), strict=True):
        check_tensor(f"out: {name}", given)
        if given.shape != shape or given.dtype != kind:
            raise ValueError(f"out: {name} are {given.dtype} {tuple(given.shape)}; they must be {kind} {shape}.")
        if any(size > 1 and not step for size, step in zip(given.shape, given.stride(), strict=True)):
            raise ValueError(f"out: {name} are expanded, so that several are kept in one place; clone them.")
