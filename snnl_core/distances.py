"""Pairwise distances, and what every entry point demands of points and labels."""

from typing import Literal, get_args

import torch
from torch import Tensor

Distance = Literal["sqeuclidean", "cosine"]


def check_points(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Points as (n, d) in at least float32, and labels (n,) on the same device.

    Raises:
        TypeError: x is not floating, or the labels are not integers.
        ValueError: shapes do not match, or there are fewer than two points.
    """
    if not x.is_floating_point():
        raise TypeError(f"x must be floating, not {x.dtype}; convert it, e.g. x.float().")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"labels must be integers, not {labels.dtype}; convert them, e.g. labels.long().")
    if labels.ndim != 1 or x.ndim < 1 or len(x) != len(labels):
        raise ValueError(f"x is {tuple(x.shape)} and labels {tuple(labels.shape)}; labels must be (n,) for x (n, ...).")
    if len(x) < 2:
        raise ValueError(f"n = {len(x)}: a neighbour needs at least two points.")
    flat = x.reshape(len(x), -1)
    return flat if flat.dtype == torch.float64 else flat.float(), labels.to(x.device)


def check_finite(points: Tensor) -> None:
    """Raise ValueError, naming the first bad row of the points (n, d), unless all are finite."""
    bad = (~points.isfinite().all(1)).nonzero().flatten()
    if len(bad):
        raise ValueError(f"row {int(bad[0])} of x is not finite; {len(bad)} of {len(points)} rows are not.")


def prepare(x: Tensor, distance: Distance) -> Tensor:
    """Points whose squared Euclidean distances, times a constant, are the wanted ones.

    Centring keeps |a|^2 + |b|^2 - 2ab accurate; for the cosine distance, 1 - cos = |a - b|^2 / 2 on the unit sphere.

    Raises:
        ValueError: the distance is unknown.
    """
    if distance == "sqeuclidean":
        return x - x.mean(0, keepdim=True)
    if distance == "cosine":
        return torch.nn.functional.normalize(x, dim=1) * 0.5**0.5
    raise ValueError(f"unknown distance {distance!r}; known: {', '.join(get_args(Distance))}.")


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """|a_i - b_j|^2 >= 0, (n, d) x (m, d) -> (n, m). The error is of the order of eps * max |a|^2."""
    # Inside a caller's autocast the product would be taken in half precision.
    with torch.autocast(a.device.type, enabled=False):
        product = torch.addmm(a.square().sum(1, keepdim=True) + b.square().sum(1), a, b.T, alpha=-2)
    return product.clamp_min(0)
