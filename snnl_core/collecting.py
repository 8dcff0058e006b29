"""What points see in each other, collected tile by tile: the sums of which the loss and its derivatives are made.

Where all anchors of a tile may count from one reference, its nearest pair, the tile is taken from there once, and
where they are at one temperature besides, one exponential serves its rows and its columns. Elsewhere every anchor
counts from its own nearest point.
"""

import math
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from snnl_core.masses import LOG2_E, LOWEST, Mass, Masses, mass_of, weighted
from snnl_core.shares import in_order
from snnl_core.tiles import OTHERS, Loaded, Points, Tile, Workspace, load

LONG = 128
"""Dimensions up to which a pair is as much work as any other; with more it counts as so many times as much."""
REACH = 64.0
"""So far beyond the reference, as an exponent to base 2, an anchor's nearest point may be: its sum keeps its digits."""


def collect(a: Points, b: Points, tiles: Iterable[Tile], seen: Masses, back: Masses | None = None) -> None:
    """Add to the masses that the points of `a` see in `b`, tile by tile, and to those that `b` see in `a`.

    An anchor whose inverse temperature is NaN is passed over where its tile has no other.

    Args:
        a: the anchors.
        b: the points that they see.
        tiles: tiles of `a` with `b`.
        seen: what the points of `a` see.
        back: what the points of `b` see, if they are anchors too; the same as `seen` where `b` is `a`.
    """

    def work(tile: Tile, room: Workspace) -> list[_Found]:
        spare, *rest = room.tensors(tile.shape)
        loaded = load(a, b, tile, spare)
        columns = None if back is None or tile.diagonal else _View(back, tile.columns)
        rows = _View(seen, tile.rows)
        found = _from_one_reference(loaded, rows, columns, rest[0])
        if found is None:
            found = _each_from_its_own(loaded, rows, rest)
            if columns is not None:
                found += _each_from_its_own(loaded.turned, columns, [tensor.T for tensor in rest])
        return found

    room = partial(Workspace, a, b, 3, in_pieces=True)
    pairs = len(a) * len(b) * len(seen.betas) * max(LONG, a.x.shape[1]) // LONG
    for found in in_order(work, tiles, room, a.x, pairs):
        for anchors, kind, mass in found:
            anchors.mass(kind).add(mass, anchors.betas)


def class_masses(
    a: Points, b: Points, tiles: Iterable[Tile], seen: Masses, back: Masses | None, classes: int
) -> Tensor:
    """Softmax masses on other classes, summed by the anchor's class and the other one (c, c).

    Args:
        a, b, tiles, seen, back: as for `collect`.
        classes: how many there are.
    """
    shares = seen.shares()
    back_shares = shares if back is None or back is seen else back.shares()

    def work(tile: Tile, room: Workspace) -> tuple[Tile, list[Tensor]]:
        spare, out = room.tensors(tile.shape)
        loaded = load(a, b, tile, spare)
        distances, where = loaded.distances, dict(loaded.parts)[OTHERS]
        weighted(distances, seen, OTHERS, tile.rows, shares, where, out)
        found = [_by_class(out, a.codes[tile.rows])]
        if back is not None and not tile.diagonal:
            turned = None if where is None else where.T
            weighted(distances.T, back, OTHERS, tile.columns, back_shares, turned, out.T)
            found.append(_by_class(out, a.codes[tile.rows]))
        return tile, found

    total = a.x.new_zeros(classes, classes, dtype=torch.float64)
    asked = (tile for tile in tiles if tile.others)
    for tile, sums in in_order(work, asked, partial(Workspace, a, b, 2), a.x, len(a) * len(b)):
        for into, by_class in zip((total, total.T), sums, strict=False):
            some = into[tile.block.low : tile.block.high + 1]
            some.index_add_(1, b.codes[tile.columns], by_class.to(total.dtype))
    return total


def _by_class(values: Tensor, codes: Tensor) -> Tensor:
    """Values of a block's rows (r, c), summed by their classes (k, c)."""
    low, high = int(codes[0]), int(codes[-1])
    if low == high:
        return values.sum(0, keepdim=True)
    return values.new_zeros(high - low + 1, values.shape[1]).index_add_(0, codes - low, values)


class _View(NamedTuple):
    """Anchors of a tile, and the masses that are theirs."""

    masses: Masses
    where: slice

    @property
    def betas(self) -> Tensor:
        """Their inverse temperatures (q, a)."""
        return self.masses.betas[:, self.where]

    def mass(self, kind: int) -> Mass:
        """What they have seen of one kind."""
        return Mass(self.masses.nearest[kind, self.where], self.masses.sums[kind, ..., self.where])


_Found = tuple[_View, int, Mass]
"""What anchors have seen of one kind."""


def _each_from_its_own(loaded: Loaded, anchors: _View, work: list[Tensor]) -> list[_Found]:
    betas, orders = anchors.betas, anchors.masses.orders
    return [(anchors, kind, mass_of(loaded.distances, members, betas, orders, work)) for kind, members in loaded.parts]


def _from_one_reference(loaded: Loaded, rows: _View, columns: _View | None, work: Tensor) -> list[_Found] | None:
    """What is seen in a tile of one kind of pairs, whose distances are overwritten; None where that cannot be."""
    ((kind, members), *others), distances = loaded.parts, loaded.distances
    if others or members is not None:
        return None
    sides = [_Side(rows, 1, distances)] + ([] if columns is None else [_Side(columns, 0, distances)])
    ends = [_Ends.of(numbers) for numbers in torch.stack([side.numbers() for side in sides]).tolist()]
    least = min(each.nearest for each in ends)
    if not all(each.within(least) for each in ends):
        return None
    excess, orders = distances.sub_(least), rows.masses.orders
    found = [side.nearest.new_zeros(orders, *side.anchors.betas.shape) for side in sides]
    for q in range(len(rows.betas)):
        known = [each.beta(q) for each in ends]
        if len(known) == 2 and known[0] is not None and known[0] == known[1]:
            _add_sums(excess, known[0], [(1, found[0][:, q]), (0, found[1][:, q])], work)
            continue
        for side, each, sums, beta in zip(sides, ends, found, known, strict=True):
            if each.any(q):
                betas = beta if beta is not None else side.along(side.anchors.betas[q])
                _add_sums(excess, betas, [(side.dim, sums[:, q])], work)
    return [
        (side.anchors, kind, Mass(torch.full_like(side.nearest, least), sums))
        for side, sums in zip(sides, found, strict=True)
    ]


def _add_sums(excess: Tensor, beta: float | Tensor, into: list[tuple[int, Tensor]], work: Tensor) -> None:
    """The sums of exp(-beta excess) excess^k along dimensions, into tensors (k, a); no beta is negative."""
    weights = torch.mul(excess, beta * -LOG2_E, out=work).clamp_min_(LOWEST[excess.dtype]).exp2_()
    for order in range(len(into[0][1])):
        if order:
            weights.mul_(excess)
        for dim, sums in into:
            torch.sum(weights, dim, out=sums[order])


class _Side:
    """Rows or columns of a tile of distances as anchors: their nearest points lie along a dimension."""

    def __init__(self, anchors: _View, dim: int, distances: Tensor) -> None:
        self.anchors, self.dim, self.nearest = anchors, dim, distances.amin(dim)

    def along(self, values: Tensor) -> Tensor:
        """Values of the anchors (a,), as they stand in the tile."""
        return values.unsqueeze(self.dim)

    def numbers(self) -> Tensor:
        """The ends of the nearest distances, and of each row of inverse temperatures but for those that are NaN."""
        betas, unknown = self.anchors.betas, self.anchors.betas.isnan()
        ends = [betas.masked_fill(unknown, math.inf).amin(1), betas.masked_fill(unknown, -math.inf).amax(1)]
        return torch.cat([torch.stack(self.nearest.aminmax()), *ends])


class _Ends(NamedTuple):
    """These as numbers."""

    nearest: float
    farthest: float
    low: list[float]
    high: list[float]

    @classmethod
    def of(cls, numbers: list[float]) -> "_Ends":
        nearest, farthest, *betas = numbers
        return cls(nearest, farthest, betas[: len(betas) // 2], betas[len(betas) // 2 :])

    def any(self, q: int) -> bool:
        """Whether an anchor has a temperature there."""
        return self.low[q] <= self.high[q]

    def beta(self, q: int) -> float | None:
        """The inverse temperature of all anchors, if they have the same one."""
        return self.low[q] if self.low[q] == self.high[q] else None

    def within(self, reference: float) -> bool:
        """Whether no anchor's nearest point is too far beyond a reference, at any of the temperatures."""
        return (self.farthest - reference) * max(0.0, *self.high) * LOG2_E <= REACH
