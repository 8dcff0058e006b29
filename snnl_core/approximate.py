"""Neighbours by an index that may miss some: made outside the engine, and passed in.

An index proposes points; their distances are measured and ordered here, exactly, and a query for which it proposes too
few is searched among all points. P-values stay valid whatever it misses, as it misses as much of calibration rows.
"""

import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from snnl_core.distances import Distance, check_tensor

Index = Callable[[Tensor, int], Tensor]
"""Queries (q, d) and k -> positions (q, m), int64, of points that may be the k nearest; -1 for none."""
Build = Callable[[Tensor, Distance], Index]
"""Points (n, d), one or more, and the distance by which they are compared -> their index. All are as the user's own."""
SAMPLED = 200
"""Rows of which recall is measured at most."""
LOW = 0.9
"""A recall below is warned of."""


def indexed(build: Build, layers: Mapping[str, Tensor], distance: Distance) -> dict[str, Index]:
    """The index of each layer's rows (n, d); where there are none, it proposes nothing."""
    return {name: build(x, distance) if len(x) else _nothing for name, x in layers.items()}


def _nothing(queries: Tensor, k: int) -> Tensor:
    return torch.empty(len(queries), 0, dtype=torch.int64, device="cpu")


def proposed(index: Index, queries: Tensor, k: int, points: int) -> tuple[Tensor, Tensor]:
    """What an index proposes: positions (q, m), m at least k, ascending; and which are none, or there twice (q, m).

    Raises:
        TypeError: it gives no tensor.
        ValueError: they are not (q, m), or a position is not one of a point.
    """
    found = index(queries, k)
    check_tensor("what the index gives", found)
    found = found.to(queries.device)
    if found.ndim != 2 or len(found) != len(queries) or found.dtype != torch.int64:
        raise ValueError(f"the index gives {found.dtype} {tuple(found.shape)}; expected int64 ({len(queries)}, m).")
    positions = torch.nn.functional.pad(found, (0, max(0, k - found.shape[1])), value=-1).sort(1).values
    if positions.numel() and int(positions[:, -1].max()) >= points:
        raise ValueError(f"the index proposes point {int(positions[:, -1].max())} of {points}.")
    none = positions < 0
    none[:, 1:] |= positions.diff(dim=1) == 0
    return positions.clamp_min(0), none


def share_found(found: Tensor, exact: Tensor) -> Tensor:
    """Of each query the share (q,) of distances found (q, k) that are at most the k-th of the exact ones (q, k)."""
    rounding = 1 + 8 * torch.finfo(exact.dtype).eps
    return (found <= rounding * exact[:, -1:]).double().mean(1)


def warn_of_low(recall: dict[str, float]) -> None:
    """Warn of layers, by name, whose recall is low."""
    for name, share in recall.items():
        if share < LOW:
            warnings.warn(
                f"layer {name!r}: the index finds {share:.2f} of the nearest neighbours; p-values hold, and tell less.",
                stacklevel=5,
            )
