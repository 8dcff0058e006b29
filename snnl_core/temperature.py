"""The minimum of the loss over the temperature (equation 2), for any partitions of the anchors at once.

The search runs over beta = 1/T in [0, BETA_LIMIT / median distance]. On a sample of the anchors, each against all
points, a scan over a grid finds the best two valleys (there can be several). From the bottom of each on the sample,
Newton's method on all anchors goes to the bottom of the whole; value, slope and curvature come from one pass. A second
valley that the sample shows to be clearly higher is left.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from snnl_core.masses import Masses
from snnl_core.pairs import Pairs

BETA_LIMIT = 1e4
"""The coldest temperature searched is the median distance divided by this."""
HOTTEST_SCALE = 1e-2
"""The first temperature of the grid after infinity is the median distance divided by this,"""
FARTHEST_SCALE = 0.1
"""or the longest distance divided by this, if that is hotter: outliers make valleys of their own."""
GRID = 32
"""Temperatures from HOTTEST_SCALE to BETA_LIMIT; as many a decade beyond."""
SAMPLE, SAMPLE_A_GROUP, SAMPLE_PAIRS, SAMPLE_LIMIT = 256, 64, 1 << 20, 4096
"""The sample has so many anchors, or so many a group, or as many as have so many distances, whichever is most."""
STEPS = 60
STRIDE = 4.0
"""The longest step, as a factor."""
ENOUGH = 1e-9
"""The search ends where a further step promises less than this share of the loss."""
COARSE = 1e-4
"""The same for the sample."""
DOUBT = 4.0
"""A valley is left if it lies higher by so many standard errors of the sample's loss."""


@dataclass(frozen=True)
class Minimum:
    """For each group: the mean loss at its best inverse temperature, that beta, and which end it sits at."""

    loss: Tensor  # (g,), float64
    beta: Tensor  # (g,), float64
    at_limit: tuple[str, ...]  # "none", "cold" (beta at its limit) or "hot" (beta = 0)


def minimize(pairs: Pairs, groups: Tensor, generator: torch.Generator | None = None) -> Minimum:
    """Minimise the mean loss of each group of anchors over its own temperature.

    Args:
        pairs: the anchors and what they see.
        groups: the group of each anchor in each partition (p, a), numbered from 0 over all partitions; negative for
            none. Each group has at least one valid anchor.
        generator: draws the sample; default a fixed seed.
    """
    whole, grid = _Groups(pairs, groups, int(groups.max()) + 1), _grid(*pairs.scale())
    anchors = groups.shape[1]
    size = max(SAMPLE, min(SAMPLE_A_GROUP * whole.count, SAMPLE_LIMIT), SAMPLE_PAIRS // anchors)
    if size >= anchors:
        return _lowest(whole, _scan(whole, grid), grid)
    picked = torch.randperm(anchors, generator=generator or torch.Generator().manual_seed(0))[:size]
    picked = picked.sort().values.to(groups.device)
    sample = _Groups(pairs.some(picked), groups[:, picked], whole.count)
    bottoms = [_descend(sample, valley, grid, COARSE) for valley in _scan(sample, grid)]
    return _lowest(whole, [_Valley.around(beta, grid) for beta in _without_doubt(sample, bottoms)], grid)


@dataclass(frozen=True)
class _Groups:
    """Groups of anchors whose mean losses are wanted."""

    pairs: Pairs
    groups: Tensor  # (p, a)
    count: int

    def losses(self, betas: Tensor) -> Tensor:
        """Each anchor's loss, (k, a), at k inverse temperatures that all groups share."""
        return self._masses(betas[:, None].expand(-1, self.groups.shape[1]), 1).losses()

    def derivatives(self, betas: Tensor, active: Tensor) -> Tensor:
        """Mean loss, slope and curvature (3, g) at each group's own beta (g,), in the active partitions (p,)."""
        groups = self.groups[active]
        masses = self._masses(betas[groups.clamp_min(0)], 3)  # who is in no group takes the first one's
        valid = masses.valid & (groups >= 0)
        return torch.stack(
            [self.mean(values, groups, valid) for values in (masses.losses(), masses.slopes(), masses.curves())]
        )

    def mean(self, values: Tensor, groups: Tensor, valid: Tensor) -> Tensor:
        """Mean of values (p, a) over the valid members (p, a) of each group (g,); NaN for an empty one."""
        totals = torch.zeros(2, self.count, dtype=torch.float64, device=values.device)
        members = groups[valid]
        totals[0].index_add_(0, members, values[valid].double())
        totals[1].index_add_(0, members, totals.new_ones(len(members)))
        return totals[0] / totals[1]

    def _masses(self, betas: Tensor, moments: int) -> Masses:
        return self.pairs.masses(betas.to(self.pairs.dtype), moments)


@dataclass(frozen=True)
class _Valley:
    """Where to start the descent of each group, and between which betas, each (g,)."""

    beta: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def around(cls, beta: Tensor, grid: Tensor) -> "_Valley":
        """A start that nothing bounds but the search's own ends."""
        return cls(beta, torch.zeros_like(beta), torch.full_like(beta, float(grid[-1])))


def _grid(median: float, farthest: float) -> Tensor:
    """Inverse temperatures from 0 up, evenly spaced in their logarithm but for the 0."""
    coldest = math.log10(BETA_LIMIT)
    hottest = math.log10(min(HOTTEST_SCALE, FARTHEST_SCALE * median / farthest if farthest else math.inf))
    a_decade = (GRID - 1) / math.log10(BETA_LIMIT / HOTTEST_SCALE)
    scales = torch.logspace(hottest, coldest, 1 + round(a_decade * (coldest - hottest)), dtype=torch.float64)
    return torch.cat([scales.new_zeros(1), scales / median])


def _scan(sample: _Groups, grid: Tensor) -> list[_Valley]:
    """The lowest valley of each group's curve over the grid, and the second lowest where any has one."""
    losses = sample.losses(grid)
    valid = sample.pairs.valid
    groups = sample.groups
    curves = torch.stack([sample.mean(each.expand_as(groups), groups, valid & (groups >= 0)) for each in losses])
    # A group that the sample missed starts where all anchors together are lowest.
    curves = torch.where(curves.isnan(), losses[:, valid].double().mean(1, keepdim=True), curves)
    return [
        _Valley(grid[place], grid[(place - 1).clamp_min(0)], grid[(place + 1).clamp_max(len(grid) - 1)])
        for place in _valleys(curves, 4 * torch.finfo(losses.dtype).eps)
    ]


def _valleys(curves: Tensor, noise: float) -> list[Tensor]:
    """Grid positions (g,) of the lowest valley of each curve (k, g), and of the second lowest where any has one."""
    padded = torch.nn.functional.pad(curves.T, (1, 1), value=torch.inf).T
    # Of equal neighbours the colder one is the bottom: separated data are flat at 0 from some beta on.
    bottom = (curves < padded[2:]) & (curves <= padded[:-2])
    ranked = curves.masked_fill(~bottom, torch.inf).sort(0)
    # But points that all coincide are mixed: flat, but for a share of noise, at their bound, which is not 0.
    flat = (curves[0] > 0) & (curves[0] <= (1 + noise) * curves.amin(0))
    first = ranked.indices[0].masked_fill(flat, 0)
    second = torch.where(ranked.values[1].isfinite() & ~flat, ranked.indices[1], first)
    return [first] if bool((first == second).all()) else [first, second]


def _without_doubt(sample: _Groups, bottoms: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """The betas of the valleys that may be the lowest: those within the sampling error of the lowest."""
    values, betas = (torch.stack(each) for each in zip(*bottoms, strict=True))
    lowest = values.nan_to_num(torch.inf).argmin(0, keepdim=True)
    best = betas.gather(0, lowest)[0]
    if len(bottoms) == 1:
        return [best]
    groups, valid = sample.groups, sample.pairs.valid & (sample.groups >= 0)
    losses = sample.pairs.masses(best[groups.clamp_min(0)].to(sample.pairs.dtype), 1).losses()
    mean, square = (sample.mean(losses.double() ** power, groups, valid) for power in (1, 2))
    count = (
        sample.mean(losses, groups, valid)
        .new_zeros(sample.count)
        .index_add_(0, groups[valid], mean.new_ones(int(valid.sum())))
    )
    error = DOUBT * ((square - mean.square()).clamp_min(0) / count).sqrt()
    open_ = ~(values > values.gather(0, lowest) + error)
    kept = [torch.where(open_[place], betas[place], best) for place in range(len(betas))]
    return [best, *(beta for beta in kept if bool((beta != best).any()))]


def _lowest(whole: _Groups, valleys: list[_Valley], grid: Tensor) -> Minimum:
    """Descend from every start, and take the lowest end of each group."""
    ends = [_descend(whole, valley, grid, ENOUGH) for valley in valleys]
    losses, betas = (torch.stack(values) for values in zip(*ends, strict=True))
    winner = losses.argmin(0, keepdim=True)
    loss, beta = losses.gather(0, winner)[0], betas.gather(0, winner)[0]
    limits = tuple("hot" if b == 0 else "cold" if b >= grid[-1] else "none" for b in beta)
    return Minimum(loss, beta, limits)


def _descend(groups: _Groups, valley: _Valley, grid: Tensor, enough: float) -> tuple[Tensor, Tensor]:
    """The lowest value found (g,) and its beta (g,), by Newton's method inside a shrinking bracket."""
    beta, low, high = valley.beta, valley.low, valley.high
    best_loss, best_beta = torch.full_like(beta, torch.inf), beta
    value, slope, curve = torch.zeros(3, *beta.shape, dtype=beta.dtype, device=beta.device)
    settled = torch.zeros_like(beta, dtype=torch.bool)
    for _ in range(STEPS):
        active = ((groups.groups >= 0) & ~settled[groups.groups.clamp_min(0)]).any(1)
        found = groups.derivatives(beta, active)
        value, slope, curve = torch.where(found.isnan(), torch.stack([value, slope, curve]), found)
        better = value < best_loss
        best_loss, best_beta = torch.where(better, value, best_loss), torch.where(better, beta, best_beta)
        low, high = torch.where(slope <= 0, beta, low), torch.where(slope > 0, beta, high)
        at_end = ((beta == 0) & (slope >= 0)) | ((beta >= grid[-1]) & (slope <= 0))
        promise = torch.where(curve > 0, slope.square() / (2 * curve), torch.inf)
        settled = settled | at_end | (promise <= enough * value) | (high - low <= 1e-9 * high)
        if bool(settled.all()):
            break
        beta = torch.where(settled, beta, _next(beta, slope, curve, low, high, float(grid[1])))
    return best_loss, best_beta


def _next(beta: Tensor, slope: Tensor, curve: Tensor, low: Tensor, high: Tensor, smallest: float) -> Tensor:
    """Newton's step where it stays within the bracket and a factor of STRIDE, else a step in the right direction."""
    newton = beta - slope / curve
    near = (beta == 0) | ((newton > beta / STRIDE) & (newton < beta * STRIDE))
    usable = (curve > 0) & (newton > low) & (newton < high) & near
    up = torch.minimum(torch.where(beta > 0, STRIDE * beta, smallest), (beta.clamp_min(smallest) * high).sqrt())
    down = torch.maximum(beta / STRIDE, (low * beta).sqrt())
    down = torch.where((low == 0) & ((beta <= smallest) | ((curve > 0) & (newton <= 0))), 0.0, down)
    return torch.where(usable, newton, torch.where(slope <= 0, up, down))
