"""The minimum of the loss over the temperature (equation 2), for any partition of the anchors at once.

The search runs over beta = 1/T in [0, BETA_LIMIT / median distance]: a scan over a grid on a sample of the anchors
finds the best two valleys (there can be several), then Newton's method on all anchors, kept inside a bracket by
bisection, goes to the bottom. Value, slope and curvature come from one pass over the distances.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from snnl_core.anchors import Anchors

BETA_LIMIT = 1e4
"""The coldest temperature searched is the median distance divided by this."""
GRID = 48
COLDEST_SCALE, HOTTEST_SCALE = BETA_LIMIT, 1e-2
SAMPLE, SAMPLE_PER_GROUP = 512, 32
VALLEYS = 2
STEPS = 40
TOLERANCE = 1e-4
"""Relative step in beta at which the search stops; the value is then right to about its square."""


@dataclass(frozen=True)
class Minimum:
    """For each group: the mean loss at its best inverse temperature, that beta, and which end it sits at."""

    loss: Tensor  # (g,)
    beta: Tensor  # (g,)
    at_limit: tuple[str, ...]  # "none", "cold" (beta at its limit) or "hot" (beta = 0)


def minimize(parts: list[Anchors], groups: Tensor, count: int, median: float, generator: torch.Generator) -> Minimum:
    """Minimise the mean loss of each group of anchors over its own temperature.

    Args:
        parts: the anchors, class by class.
        groups: the group of each point of the data (n,), from 0 to count - 1; negative for none.
        count: how many groups; each has at least one anchor.
        median: the data's scale, a median distance.
        generator: draws the sample that is scanned.
    """
    grid = _grid(median, parts[0].own.nearest)
    curves = _scan(_sample(parts, groups, generator), groups, count, grid)  # (grid, g)
    best = [_descend(parts, groups, grid, start) for start in _valleys(curves)]
    losses, betas = (torch.stack(values) for values in zip(*best, strict=True))
    winner = losses.argmin(0, keepdim=True)
    loss, beta = losses.gather(0, winner)[0], betas.gather(0, winner)[0]
    limits = tuple("hot" if b == 0 else "cold" if b >= grid[-1] else "none" for b in beta)
    return Minimum(loss, beta, limits)


def _grid(median: float, like: Tensor) -> Tensor:
    scales = torch.logspace(
        torch.tensor(HOTTEST_SCALE).log10(), torch.tensor(COLDEST_SCALE).log10(), GRID, dtype=torch.float64
    )
    return torch.cat([torch.zeros(1, dtype=torch.float64), scales / median]).to(like)


def _sample(parts: list[Anchors], groups: Tensor, generator: torch.Generator) -> list[Anchors]:
    """At most about SAMPLE anchors, but SAMPLE_PER_GROUP of each group of each class where there are so many."""
    total = sum(len(part.index) for part in parts)
    sampled = []
    for part in parts:
        order = torch.randperm(len(part.index), generator=generator).to(part.index.device)
        own = groups[part.index[order]]
        picked = [order[own == group] for group in own.unique()]
        kept = [rows[: max(SAMPLE_PER_GROUP, SAMPLE * len(rows) // total)] for rows in picked]
        sampled.append(part.rows(torch.cat(kept)))
    return sampled


def _scan(parts: list[Anchors], groups: Tensor, count: int, grid: Tensor) -> Tensor:
    """The mean loss of each group at each beta of the grid (grid, g)."""
    return torch.stack(
        [
            _group_mean([part.losses(beta.expand(len(part.index))) for part in parts], parts, groups, count)
            for beta in grid
        ]
    )


def _valleys(curves: Tensor) -> list[Tensor]:
    """Grid positions (g,) of the lowest valley of each curve, and of the second lowest where any curve has one."""
    padded = torch.nn.functional.pad(curves.T, (1, 1), value=torch.inf).T
    # Of equal neighbours the colder one is the bottom: separated data are flat at 0 from some beta on.
    bottom = (curves < padded[2:]) & (curves <= padded[:-2])
    ranked = curves.masked_fill(~bottom, torch.inf).sort(0)
    first = ranked.indices[0]
    second = torch.where(ranked.values[1].isfinite(), ranked.indices[1], first)
    return [first] if bool((first == second).all()) else [first, second][:VALLEYS]


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
    each = [part.derivatives(_spread(beta, groups[part.index])) for part in parts]
    value, slope, curve = (_group_mean(list(values), parts, groups, len(beta)) for values in zip(*each, strict=True))
    return value, slope, curve


def _spread(beta: Tensor, groups: Tensor) -> Tensor:
    """Each anchor's beta; anchors of no group take the first group's and are not counted."""
    return beta[groups.clamp_min(0)]


def _group_mean(values: list[Tensor], parts: list[Anchors], groups: Tensor, count: int) -> Tensor:
    flat = torch.cat(values).double()
    group = groups[torch.cat([part.index for part in parts])]
    flat, group = flat[group >= 0], group[group >= 0]
    total = flat.new_zeros(count).index_add_(0, group, flat)
    return (total / torch.bincount(group, minlength=count)).to(values[0].dtype)
