"""The nearest neighbours of points, exactly."""

from dataclasses import dataclass

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
            memory is nobody else's, and may be that of files (`torch.from_file`, or a writable `numpy.memmap` by
            `torch.from_numpy`).

    Returns:
        Distances (q, k), in at least float32, and positions among the points (q, k), on the queries' device, or
        on the processor if that has no float64. Copies of a point count as neighbours at distance 0; of points equally
        near, the first ones are taken, in order.

    Raises:
        TypeError: queries or points are no floating tensors, or `out` is not two tensors.
        ValueError: k is impossible, the dimensions differ, a row is not finite, squared distances overflow, or `out`
            has other shapes or dtypes than the result, or shares memory with itself, the queries or the points.
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
        _check_out(out, (len(rows), k), common_dtype(rows, bank), {"queries": queries, "points": points})
    return search(rows, bank, k, exclude_self=exclude_self, out=out)


def _check_out(out: tuple[Tensor, Tensor], shape: tuple[int, int], dtype: torch.dtype, read: dict[str, Tensor]) -> None:
    if not isinstance(out, tuple | list) or len(out) != 2:
        raise TypeError("out must be two tensors: distances and positions.")
    for name, given, kind in zip(("distances", "positions"), out, (dtype, torch.int64), strict=True):
        check_tensor(f"out: {name}", given)
        if given.shape != shape or given.dtype != kind:
            raise ValueError(f"out: {name} are {given.dtype} {tuple(given.shape)}; they must be {kind} {shape}.")
        place = _Place.of(given)
        if not place.once:
            told = "are expanded, or windows that overlap, so that several are kept in one place; clone them."
            raise ValueError(f"out: {name} {told}")
        for other, values in read.items():
            if values.device == given.device and place.meets(_Place.of(values)):
                raise ValueError(f"out: {name} share memory with the {other}; give them memory of their own.")
        read = {**read, name: given}


@dataclass(frozen=True)
class _Place:
    """Where a matrix lies, in bytes.

    Attributes:
        start: where its memory begins.
        stop: where it ends.
        step: from one row to the next, or column where these are farther apart.
        length: of one of those.
        once: whether each number has a place of its own.
    """

    start: int
    stop: int
    step: int
    length: int
    once: bool

    @classmethod
    def of(cls, x: Tensor) -> "_Place":
        size = x.element_size()
        sides = sorted((step * size, count) for step, count in zip(x.stride(), x.shape, strict=True) if count > 1)
        step, length, stop, once = 0, size, size, True
        for step, count in sides:
            length, once = stop, once and step >= stop
            stop += step * (count - 1)
        return cls(x.data_ptr(), x.data_ptr() + (stop if x.numel() else 0), step, length, once)

    def meets(self, other: "_Place") -> bool:
        """Whether both have a place in common; rows that are equally far apart may lie side by side."""
        if self.stop <= other.start or other.stop <= self.start:
            return False
        between = (other.start - self.start) % self.step if self.step == other.step > 0 else 0
        return between < self.length or between + other.length > self.step
