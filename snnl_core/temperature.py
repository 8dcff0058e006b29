"""The minimum of the loss over the temperature (equation 2), for any partition of the anchors at once.

The search runs over beta = 1/T in [0, BETA_LIMIT / median distance]: a scan over a grid on a sample of the anchors
finds the best two valleys (there can be several), then Newton's method on all anchors, kept inside a bracket by
bisection, goes to the bottom. Value, slope and curvature come from one pass over the distances.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from snnl_core.anchors import Anchors, farthest_distance, median_distance

BETA_LIMIT = 1e4
"""The coldest temperature searched is the median distance divided by this."""
HOTTEST_SCALE = 1e-2
"""The first temperature of the grid after infinity is the median distance divided by this,"""
FARTHEST_SCALE = 0.1
"""or the longest distance divided by this, if that is hotter: outliers make valleys of their own."""
GRID = 32
"""Temperatures from HOTTEST_SCALE to BETA_LIMIT; as many a decade beyond."""
SAMPLE = 2048
"""Anchors that the scan looks at, at most; the descent looks at all."""
STEPS = 40
TOLERANCE = 1e-4
"""Relative step in beta at which the search stops; the value is then right to about its square."""


@dataclass(frozen=True)
class Minimum:
    """For each group: the mean loss at its best inverse temperature, that beta, and which end it sits at."""

    loss: Tensor  # (g,)
    beta: Tensor  # (g,)
    at_limit: tuple[str, ...]  # "none", "cold" (beta at its limit) or "hot" (beta = 0)


@dataclass(frozen=True)
class Scan:
    """The loss of a sample of the anchors over a grid of inverse temperatures; it serves any partition of them."""

    grid: Tensor  # (k,) from 0 up
    index: Tensor  # (s,) positions in the data
    losses: Tensor  # (k, s)


def scan(parts: list[Anchors], generator: torch.Generator) -> Scan:
    """Look at every temperature of the grid.

    Args:
        parts: the anchors, class by class.
        generator: draws the sample.
    """
    median = median_distance(parts)
    grid = _grid(median, farthest_distance(parts)).to(parts[0].own.nearest)
    index, losses = [], []
    for part in parts:
        sample = part.rows(_draw(len(part.index), parts, generator).to(part.index.device))
        index.append(sample.index)
        losses.append(torch.stack([sample.losses(beta.expand(len(sample.index))) for beta in grid]))
    return Scan(grid, torch.cat(index), torch.cat(losses, 1))


def _grid(median: float, farthest: float) -> Tensor:
    """Inverse temperatures from 0 up, evenly spaced in their logarithm but for the 0."""
    coldest = math.log10(BETA_LIMIT)
    hottest = math.log10(min(HOTTEST_SCALE, FARTHEST_SCALE * median / farthest if farthest else math.inf))
    a_decade = (GRID - 1) / math.log10(BETA_LIMIT / HOTTEST_SCALE)
    scales = torch.logspace(hottest, coldest, 1 + round(a_decade * (coldest - hottest)), dtype=torch.float64)
    return torch.cat([scales.new_zeros(1), scales / median])


def minimize(parts: list[Anchors], scanned: Scan, groups: Tensor, count: int) -> Minimum:
    """Minimise the mean loss of each group of anchors over its own temperature.

    Args:
        parts: the anchors, class by class.
        scanned: their scan.
        groups: the group of each point of the data (n,), from 0 to count - 1; negative for none.
        count: how many groups; each has at least one anchor.
    """
    grid, curves = scanned.grid, _group_mean(scanned.losses, groups[scanned.index], count)
    # A group that the sample missed starts where all anchors together are lowest.
    curves = torch.where(curves.isnan(), scanned.losses.mean(1, keepdim=True), curves)
    best = [_descend(parts, groups, grid, start) for start in _valleys(curves)]
    losses, betas = (torch.stack(values) for values in zip(*best, strict=True))
    winner = losses.argmin(0, keepdim=True)
    loss, beta = losses.gather(0, winner)[0], betas.gather(0, winner)[0]
    limits = tuple("hot" if b == 0 else "cold" if b >= grid[-1] else "none" for b in beta)
    return Minimum(loss, beta, limits)


def _draw(n: int, parts: list[Anchors], generator: torch.Generator) -> Tensor:
    """All of a class's anchors, or its share of SAMPLE at random."""
    total = sum(len(part.index) for part in parts)
    share = n if total <= SAMPLE else max(1, SAMPLE * n // total)
    return torch.randperm(n, generator=generator)[:share]


def _valleys(curves: Tensor) -> list[Tensor]:
    """Grid positions (g,) of the lowest valley of each curve, and of the second lowest where any curve has one."""
    padded = torch.nn.functional.pad(curves.T, (1, 1), value=torch.inf).T
    # Of equal neighbours the colder one is the bottom: separated data are flat at 0 from some beta on.
    bottom = (curves < padded[2:]) & (curves <= padded[:-2])
    ranked = curves.masked_fill(~bottom, torch.inf).sort(0)
    first = ranked.indices[0]
    second = torch.where(ranked.values[1].isfinite(), ranked.indices[1], first)
    return [first] if bool((first == second).all()) else [first, second]


def _descend(parts: list[Anchors], groups: Tensor, grid: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """The lowest value found (g,) and its beta (g,), by Newton's method inside a shrinking bracket."""
    low, high = grid[(start - 2).clamp_min(0)], grid[(start + 2).clamp_max(len(grid) - 1)]
    beta = grid[start]
    best_loss, best_beta = torch.full_like(beta, torch.inf), beta
    for _ in range(STEPS):
        value, slope, curve = _evaluate(parts, groups, beta)
        better = value < best_loss
        best_loss, best_beta = torch.where(better, value, best_loss), torch.where(better, beta, best_beta)
        at_end = ((beta == 0) & (slope >= 0)) | ((beta >= grid[-1]) & (slope <= 0))
        low, high = torch.where(slope <= 0, beta, low), torch.where(slope > 0, beta, high)
        following = torch.where(at_end, beta, _next(beta, slope, curve, low, high))
        settled = (following - beta).abs() <= TOLERANCE * beta
        beta = following
        if bool(settled.all()):
            break
    return best_loss, best_beta


def _next(beta: Tensor, slope: Tensor, curve: Tensor, low: Tensor, high: Tensor) -> Tensor:
    newton = beta - slope / curve
    middle = torch.where(low > 0, (low * high).sqrt(), high / 2)
    usable = (curve > 0) & (newton > low) & (newton < high)
    return torch.where(usable, newton, middle)


def _evaluate(parts: list[Anchors], groups: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean loss, slope and curvature of each group (g,), each at its own beta (g,)."""
    index = torch.cat([part.index for part in parts])
    # Anchors of no group take the first group's beta and are not counted.
    each = [part.derivatives(beta[groups[part.index].clamp_min(0)]) for part in parts]
    values = torch.stack([torch.cat(kind) for kind in zip(*each, strict=True)])  # (3, a)
    value, slope, curve = _group_mean(values, groups[index], len(beta))
    return value, slope, curve


def _group_mean(values: Tensor, groups: Tensor, count: int) -> Tensor:
    """Mean over each group's members: (k, a) and groups (a,), negative for none -> (k, g); NaN for an empty one."""
    member = groups >= 0
    total = values.new_zeros(len(values), count, dtype=torch.float64)
    total.index_add_(1, groups[member], values[:, member].double())
    return (total / torch.bincount(groups[member], minlength=count)).to(values.dtype)
