"""The minimum of the loss over the temperature (equation 2), for any partitions of the anchors at once.

The search runs over beta = 1/T in [0, BETA_LIMIT / median distance]. On a sample of the anchors, each against all
points, a scan over a grid finds the best two valleys (there can be several). From the bottom of each on the sample,
Newton's method on all anchors goes to the bottom of the whole; value, slope and curvature come from one pass. A second
valley that the sample shows to be clearly higher is left.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from snnl_core.anchors import Anchors
from snnl_core.float64 import in_float64, where_float64_is
from snnl_core.masses import Masses

BETA_LIMIT = 1e4
"""The coldest temperature searched is the median distance divided by this."""
HOTTEST_SCALE = 1e-2
"""The first temperature of the grid after infinity is the median distance divided by this,"""
FARTHEST_SCALE = 0.1
"""or the longest distance divided by this, if that is hotter: outliers make valleys of their own."""
GRID = 32
"""Temperatures from HOTTEST_SCALE to BETA_LIMIT; as many a decade beyond."""
SAMPLE, SAMPLE_PAIRS = 256, 1 << 20
"""A measurement's sample has so many anchors, or as many as have so many distances, if that is more,"""
SAMPLE_A_GROUP, SAMPLE_LIMIT = 64, 4096
"""and so many of every group, but not more than that in all groups of a partition together."""
SCALE_PAIRS = 128
"""Distances, for each anchor of the sample, whose median sets the scale."""
STEPS = 60
ENTRIES = 1 << 22
"""Numbers that are parted by groups at a time on a GPU."""
NEAR = 1e-3
"""Curvatures at places in log(beta) that are nearer to each other tell nothing of how it changes."""
TRUSTED = 0.5
"""A change of Newton's step by more than this share of it is not made."""
LONGEST = math.log(4)
"""The longest step in log(beta)."""
SMALLEST = 1e-6 * 1e-2
"""The smallest beta but 0 that a step downhill looks at, as a share of the largest."""
HOT = 100
"""So many times that, and less, is at the hot end: there the grid begins."""
ENOUGH = {torch.float32: 1e-6, torch.float64: 1e-9}
"""The search ends where a further step promises less than this share of the loss: it is taken, and its promise, too."""
COARSE, FEW = 1e-4, 8
"""The same for the sample, which is searched at all if the anchors are more than so many times as many."""
DOUBT = 4.0
"""A valley is left if it lies higher by so many standard errors of the sample's loss."""


@dataclass(frozen=True)
class Minimum:
    """For each group: the mean loss at its best inverse temperature, that beta, and which end it sits at."""

    loss: list[float]
    beta: list[float]
    at_limit: tuple[str, ...]  # "none", "cold" (beta at its limit) or "hot" (beta = 0)
    limit: float


def minimize(
    anchors: Anchors, groups: Tensor, count: int, *, sample: int | None = None, generator: torch.Generator | None = None
) -> Minimum:
    """Minimise the mean loss of each group of anchors over its own temperature.

    Args:
        anchors: the anchors and what they see.
        groups: the group of each anchor in each partition (p, a), numbered through from 0; negative for none. The
            members of a group are valid anchors.
        count: how many groups there are, each with at least one anchor in some process.
        sample: how many anchors are looked at first; default many, as a measurement wants.
        generator: draws the sample; default a fixed seed.
    """
    size = sample or max(SAMPLE, SAMPLE_PAIRS // anchors.seen)
    whole, grid = _Groups.of(anchors, groups, count), _grid(*anchors.scale(SCALE_PAIRS * size), anchors.dtype)
    if size >= anchors.count:
        return _lowest(whole, _scan(whole, grid), grid[-1])
    each = 0 if sample else min(SAMPLE_A_GROUP, max(1, SAMPLE_LIMIT // count))
    picked = anchors.draw(size, generator or torch.Generator().manual_seed(0), groups, each)
    few = _Groups.of(anchors.some(picked), anchors.pick(groups, picked), count)
    valleys = _scan(few, grid)
    if FEW * few.anchors.count < anchors.count:
        valleys = [_descend(few, starts, grid[-1], COARSE) for starts in valleys]
    return _lowest(whole, _without_doubt(few, valleys, grid), grid[-1])


@dataclass(frozen=True)
class _Groups:
    """Groups of anchors whose mean losses are wanted."""

    anchors: Anchors
    groups: Tensor  # (p, a)
    count: int
    members: Tensor  # (p, g), how many each group has in each partition, in all processes

    @classmethod
    def of(cls, anchors: Anchors, groups: Tensor, count: int) -> "_Groups":
        # Those of no group are counted behind the last one; a bincount would wait for a GPU.
        empty, rows = groups.new_zeros(count + 1), groups.remainder(count + 1)
        members = torch.stack([empty.index_add(0, row, torch.ones_like(row)) for row in rows])
        return cls(anchors, groups, count, anchors.total(members[:, :-1].contiguous()))

    @cached_property
    def _places(self) -> Tensor:
        """Each anchor's group (p, a), the number behind the last one for none."""
        return self.groups.remainder(self.count + 1)

    @cached_property
    def sizes(self) -> Tensor:
        """How many members each group has (g,)."""
        return where_float64_is(self.members.sum(0))

    def losses(self, grid: list[float]) -> Tensor:
        """Mean loss of each group (k, g) at inverse temperatures that all share; NaN for an empty one."""
        betas = torch.tensor(grid, dtype=self.anchors.dtype, device=self.groups.device)
        losses = self.anchors.masses(betas[:, None].expand(-1, self.groups.shape[1]), 1).losses()
        return self.means(losses[:, None].expand(-1, *self.groups.shape), self.groups)

    def derivatives(self, betas: list[float], active: list[bool]) -> list[list[float]]:
        """Mean loss, slope and curvature of each group, each group at its own beta, in partitions with active ones."""
        groups = self.groups[self._partitions(active)] if len(self.groups) > 1 else self.groups
        found: list[list[float]] = self.means(self.at(betas, groups, 3).derivatives(), groups).tolist()
        return found

    def at(self, betas: list[float], groups: Tensor, moments: int) -> Masses:
        """What the anchors see, each at its group's beta; at NaN, which is passed over, who is in no group."""
        by_group = torch.tensor([*betas, math.nan], dtype=self.anchors.dtype, device=groups.device)
        return self.anchors.masses(by_group[groups], moments)

    def means(self, values: Tensor, groups: Tensor) -> Tensor:
        """Means of values (k, p, a) over the members of each group (k, g); NaN for an empty one."""
        # Those of no group are counted behind the last one.
        places = self._places if groups is self.groups else groups.remainder(self.count + 1)
        each = in_float64(values.flatten(1))
        totals = _sums(each, places.flatten().to(each.device), self.count + 1)
        return self.anchors.agreed(self.anchors.total(totals[:, :-1]) / self.sizes)

    def _partitions(self, active: list[bool]) -> Tensor:
        """Which partitions have an active group (p,)."""
        return (self.members[:, torch.tensor(active, device=self.members.device)] > 0).any(1)


def _sums(values: Tensor, places: Tensor, count: int) -> Tensor:
    """The sums (k, count) of values (k, a) by their places (a,), with the same bits each time."""
    totals = values.new_zeros(len(values), count)
    if values.is_cpu:
        return totals.index_add_(1, places, values)
    # There index_add_ adds in whatever order the threads of a GPU come.
    numbers, size = torch.arange(count, device=values.device)[:, None], max(1, ENTRIES // totals.numel())
    for part, own in zip(values.split(size, 1), places.split(size), strict=True):
        totals += part[:, None].where(own == numbers, 0.0).sum(2)
    return totals


@dataclass
class _Search:
    """The search of one group: Newton's method inside a shrinking bracket.

    Attributes:
        beta: where to look next.
        low, high: the bracket.
        best: the least loss seen, and its beta.
        settled: whether the search has ended.
        turn: how the curvature over log(beta) changes with log(beta), as a share of itself; first as a sample says.
        seen: log(beta) and that curvature where it was last looked.
    """

    beta: float
    low: float
    high: float
    best: tuple[float, float] = (math.inf, math.nan)
    settled: bool = False
    turn: float = 0.0
    seen: tuple[float, float] | None = None

    def see(self, value: float, slope: float, curve: float, limit: float, enough: float) -> None:
        """Take in what was found at `beta`, and choose where to look next."""
        if math.isnan(value):  # a group that the sample missed
            self.best, self.settled = (value, self.beta), True
            return
        if slope <= 0:
            self.low = self.beta
        else:
            self.high = self.beta
        at_end = (self.beta == 0 and slope >= 0) or (self.beta >= limit and slope <= 0)
        promise = slope * (slope / (2 * curve)) if curve > 0 else math.inf
        near = promise <= enough * value
        self.settled = at_end or near or self.high - self.low <= enough * self.high
        # The last step is worth taking, but not worth looking at: so near, it keeps its promise to a few digits.
        following = self.beta if at_end else self._next(slope, curve, limit * SMALLEST)
        taken = value - promise if near and not at_end else value
        self.best = min(self.best, (taken, following if self.settled else self.beta))
        self.beta = following

    def _next(self, slope: float, curve: float, smallest: float) -> float:
        """Newton's step in log(beta), where the curve is rounder; else a step downhill."""
        plain = self.beta - slope / curve if curve > 0 else math.nan
        if self.beta == 0:
            return plain if 0 < plain < self.high else min(smallest, self.high / 2)
        if self.low == 0 and slope > 0:
            if self.beta <= (HOT * smallest if plain <= 0 else smallest):
                return 0.0
            if plain <= 0:
                # A few anchors that cost much make the curve straight here; the others' valley may lie before its end.
                return self.beta * math.exp(-LONGEST)
        bend = curve * self.beta + slope
        step = self._bent(-slope / bend, bend * self.beta) if bend > 0 else -math.copysign(math.inf, slope)
        newton = self.beta * math.exp(min(max(step, -LONGEST), LONGEST))
        if self.low < newton < self.high:
            return newton
        return math.sqrt(max(self.low, smallest)) * math.sqrt(self.high)

    def _bent(self, step: float, bend: float) -> float:
        """Newton's step in log(beta), shortened or lengthened as the curvature is seen to change (Halley's method)."""
        place, (before, known) = math.log(self.beta), self.seen or (math.nan, bend)
        self.seen = place, bend
        if abs(place - before) > NEAR:
            self.turn = (bend - known) / (place - before) / bend
        change = 1 + self.turn * step / 2
        return step / change if abs(change - 1) < TRUSTED else step


def _grid(median: float, farthest: float, dtype: torch.dtype) -> list[float]:
    """Inverse temperatures from 0 up, evenly spaced in their logarithm but for the 0, as far as `dtype` goes."""
    median = max(median, 4 * BETA_LIMIT / torch.finfo(dtype).max)
    coldest = math.log10(BETA_LIMIT)
    hottest = math.log10(min(HOTTEST_SCALE, FARTHEST_SCALE * median / farthest if farthest else math.inf))
    a_decade = (GRID - 1) / math.log10(BETA_LIMIT / HOTTEST_SCALE)
    steps = round(a_decade * (coldest - hottest))
    return [0.0, *(10 ** (hottest + (coldest - hottest) * i / steps) / median for i in range(steps + 1))]


def _scan(sample: _Groups, grid: list[float]) -> list[list[_Search]]:
    """Searches from the lowest valley of each group's curve over the grid, and from the second lowest if there is one.

    Groups without a second one start twice from the first.
    """
    curves = sample.losses(grid)
    # A group that the sample missed starts where the first group is lowest.
    curves = torch.where(curves.isnan(), curves[:, :1], curves)
    noise, values = 4 * torch.finfo(sample.anchors.dtype).eps, curves.T.tolist()
    return [
        [_start(grid, curve, place) for curve, place in zip(values, places.tolist(), strict=True)]
        for places in _valleys(curves, noise)
    ]


def _start(grid: list[float], curve: list[float], place: int) -> _Search:
    """A search from the bottom of the parabola through three points of a curve, taken over the logarithm of beta."""
    low, beta, high = grid[max(place - 1, 0)], grid[place], grid[min(place + 1, len(grid) - 1)]
    if low and beta < high:
        left, middle, right = curve[place - 1 : place + 2]
        bend = left - 2 * middle + right
        if bend > 0:
            beta *= (high / beta) ** ((left - right) / (2 * bend))
    return _Search(beta, low, high, (curve[place], grid[place]))


def _valleys(curves: Tensor, noise: float) -> list[Tensor]:
    """Grid positions (g,) of the lowest valley of each curve (k, g), and of the second lowest where any has one."""
    padded = torch.nn.functional.pad(curves.T, (1, 1), value=torch.inf).T
    # Of equal neighbours the colder one is the bottom: separated data are flat at 0 from some beta on.
    bottom = (curves < padded[2:]) & (curves <= padded[:-2])
    # But points that all coincide are mixed: flat, but for a share of noise, at their bound, which is not 0.
    hot = (curves[0] > 0) & (curves[0] <= (1 + noise) * curves.amin(0))
    # Behind a rise that is more than noise a valley is one, and may be the lower one between two temperatures.
    bottom &= ~hot | (curves.cummax(0).values > (1 + 4 * noise) * curves)
    bottom[0] |= hot
    ranked = curves.masked_fill(~bottom, torch.inf).sort(0)
    first = ranked.indices[0]
    second = torch.where(ranked.values[1].isfinite(), ranked.indices[1], first)
    return [first] if bool((first == second).all()) else [first, second]


def _descend(groups: _Groups, searches: list[_Search], limit: float, enough: float) -> list[_Search]:
    """Search until every group has settled."""
    for _ in range(STEPS):
        active = [not search.settled for search in searches]
        found = groups.derivatives([search.beta for search in searches], active)
        for search, *derivatives in zip(searches, *found, strict=True):
            if not search.settled:
                search.see(*derivatives, limit, enough)
        if all(search.settled for search in searches):
            break
    return searches


def _without_doubt(sample: _Groups, bottoms: list[list[_Search]], grid: list[float]) -> list[list[_Search]]:
    """Searches on all anchors from the sample's lowest valley, and from another that may be as low."""
    best = [min(each, key=lambda search: search.best) for each in zip(*bottoms, strict=True)]
    starts = [best]
    if len(bottoms) > 1:
        errors = _errors(sample, [search.beta for search in best])
        other = [max(each, key=lambda search: search.best) for each in zip(*bottoms, strict=True)]
        pairs = zip(best, other, errors, strict=True)
        starts.append([a if b.best[0] > a.best[0] + DOUBT * error else b for a, b, error in pairs])
    if len(starts) > 1 and [search.beta for search in starts[0]] == [search.beta for search in starts[1]]:
        del starts[1]
    return [[_Search(search.beta, 0.0, grid[-1], turn=search.turn) for search in each] for each in starts]


def _errors(sample: _Groups, betas: list[float]) -> list[float]:
    """The standard error of each group's mean loss at its own beta."""
    losses = in_float64(sample.at(betas, sample.groups, 1).losses())
    mean, square = sample.means(torch.stack([losses, losses.square()]), sample.groups)
    return ((square - mean.square()).clamp_min(0) / sample.sizes).sqrt().tolist()  # type: ignore[no-any-return]


def _lowest(whole: _Groups, starts: list[list[_Search]], limit: float) -> Minimum:
    """Descend from every start, and take the lowest end of each group."""
    enough = ENOUGH[whole.anchors.dtype]
    ends = [_descend(whole, searches, limit, enough) for searches in starts]
    best = [min(search.best for search in each) for each in zip(*ends, strict=True)]
    limits = tuple("hot" if beta == 0 else "cold" if beta >= limit else "none" for _, beta in best)
    return Minimum([loss for loss, _ in best], [beta for _, beta in best], limits, limit)
