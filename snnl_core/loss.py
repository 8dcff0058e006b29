"""The soft nearest neighbor loss at a given temperature, for training (equation 1 of Frosst et al. 2019)."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from snnl_core.distances import Distance, check_points, prepare, squared_distances

Reduction = Literal["mean", "sum", "none"]


def soft_nearest_neighbor_loss(
    x: Tensor,
    labels: Tensor,
    temperature: float | Tensor = 1.0,
    *,
    distance: Distance = "sqeuclidean",
    reduction: Reduction = "mean",
) -> Tensor:
    """How entangled the classes of a batch are at one temperature: 0 when every neighbour is of the own class.

    Computed in log space in at least float32, so it is finite for every temperature; differentiable with respect to
    `x` and to a tensor `temperature`. The error is of the order of eps * max |x - mean|^2 / temperature: pass float64
    where that is too much.

    Args:
        x: points (n, ...), floating; flattened to (n, d).
        labels: class of each point (n,), any integers.
        temperature: T in (0, inf], in units of the distance; a float or a tensor of one element.
        distance: `sqeuclidean`, or `cosine` for 1 - cos.
        reduction: `mean` over the points that have another of their class, `sum`, or `none` for (n,), where a point
            that is alone in its class gets 0.

    Returns:
        A scalar, or (n,) for `none`; 0 and differentiable when no point has another of its class.

    Raises:
        TypeError: x is not floating, or the labels are not integers.
        ValueError: shapes do not match, n < 2, or the temperature, distance or reduction is impossible.
    """
    points, labels = check_points(x, labels)
    beta = 1 / _check_temperature(temperature, points)
    squared = squared_distances(*[prepare(points, distance)] * 2)
    losses, valid = _losses(squared, labels, beta)
    if reduction == "none":
        return losses.to(x.dtype)
    if reduction not in ("mean", "sum"):
        raise ValueError(f"unknown reduction {reduction!r}; known: mean, sum, none.")
    total = losses.sum()
    return (total / valid.sum().clamp_min(1) if reduction == "mean" else total).to(x.dtype)


def _losses(squared: Tensor, labels: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """Each anchor's loss (n,), 0 where it has no other point of its class, and where it has one (n,)."""
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    valid = (same & ~itself).any(1)
    own_nearest, own = _log_mass(squared, same & ~itself, beta)
    others_nearest, others = _log_mass(squared, ~same, beta)
    # log((own + others) / own) as a softplus: exact where it is near 0, and no ratio underflows.
    losses = F.softplus((own_nearest - others_nearest) * beta + others - own, threshold=50)
    return losses.masked_fill(~valid, 0.0), valid


def _log_mass(squared: Tensor, mask: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """Each row's nearest masked distance d0, as a constant, and log of the sum of exp(-(d - d0) beta) over the mask.

    Kept apart so that the difference of two masses survives where each alone overflows. An empty row has the lowest
    finite number, which has a zero gradient and no NaN.
    """
    empty = ~mask.any(1)
    nearest = squared.detach().masked_fill(~mask, math.inf).amin(1).masked_fill(empty, 0.0)
    logits = ((nearest[:, None] - squared) * beta).masked_fill(~mask, -math.inf)
    return nearest, logits.logsumexp(1).masked_fill(empty, torch.finfo(squared.dtype).min / 4)


def _check_temperature(temperature: float | Tensor, points: Tensor) -> Tensor:
    value = torch.as_tensor(temperature, dtype=points.dtype, device=points.device)
    if value.numel() != 1 or not bool(value > 0):
        raise ValueError(f"temperature must be one number in (0, inf], not {temperature}.")
    if bool((1 / value).isinf()):
        raise ValueError(f"temperature {temperature} is too small for {points.dtype}: scale x up, or use float64.")
    return value.reshape(())
