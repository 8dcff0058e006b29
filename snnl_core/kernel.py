"""The loss of many points at one temperature that is not cold: through the kernel matrix exp(2 beta x_i x_j).

With f_i = exp(-beta |x_i|^2), exp(-beta d_ij) = f_i f_j exp(2 beta x_i x_j). Where no exponent overflows or vanishes,
a tile needs one exp for its rows and columns together, and its sums are products with f: the least that can be done
beside the matrix product. Elsewhere `tiles` carries every anchor's masses relative to its nearest point.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from snnl_core import products
from snnl_core.gradients import gradient
from snnl_core.masses import LOG2_E, Masses
from snnl_core.shares import in_order
from snnl_core.tiles import Points, Tile, Workspace, parts, square

ROOM = {torch.float32: 100.0, torch.float64: 900.0}
"""The largest exponent (to base 2) that stays far from overflow and from numbers that lose digits."""
KEPT = 8
"""Entries of tiles that are kept for the gradient, times the entries of the points: memory for time."""
SHARED = 512
"""Dimensions from which a tile takes long enough to be handed over; with fewer, so many more of them must be there."""


@dataclass(frozen=True)
class Kernel:
    """The kernel matrix of points at one inverse temperature, tile by tile.

    Attributes:
        points: the points.
        beta: the inverse temperature, a scalar.
        scale: exp(-beta |x|^2) (n,).
        factor: 2 beta, to base 2.
        kept: the first tiles, for the gradient, by their place.
    """

    points: Points
    beta: Tensor
    scale: Tensor
    factor: float
    kept: dict[tuple[int, int], Tensor]

    @classmethod
    def of(cls, points: Points, beta: Tensor) -> "Kernel | None":
        """The kernel matrix, or None where an exponent has no room: 4 max |x|^2 bounds the distances."""
        exponents = points.squares * (beta * LOG2_E)
        if float(4 * exponents.max()) > ROOM[points.x.dtype]:
            return None
        return cls(points, beta, torch.exp2(-exponents), 2 * LOG2_E * float(beta), {})

    def masses(self, *, keep: bool) -> Masses:
        """What every point sees; with `keep`, tiles are kept for `gradient`."""
        masses = Masses.empty(self.beta.expand(1, len(self.points)), 1)

        def work(item: tuple[Tile, Tensor | None], room: Workspace) -> list[tuple[int, slice, Tensor]]:
            (tile, kept), (spare, part) = item, room.tensors(item[0].shape)
            kernel = self._load(tile, spare if kept is None else kept)
            if kept is not None:
                self.kept[tile.place] = kernel
            found = []
            for kind, where in parts(self.points, self.points, tile):
                counted = kernel if where is None else torch.mul(kernel, where, out=part)
                found.append((kind, tile.rows, torch.mv(counted, self.scale[tile.columns])))
                if not tile.diagonal:
                    found.append((kind, tile.columns, torch.mv(counted.T, self.scale[tile.rows])))
            return found

        totals = masses.sums[:, 0, 0]
        x, room = self.points.x, partial(Workspace, self.points, self.points, 2)
        tiles = self._tiles(KEPT * x.numel() if keep else 0)
        for found in in_order(work, tiles, room, x, len(x) ** 2 * min(x.shape[1], SHARED) // SHARED):
            for kind, where, sums in found:
                totals[kind, where] += sums
        masses.nearest.zero_()
        masses.sums.mul_(self.scale)
        return masses

    def gradient(self, masses: Masses, upstream: Tensor) -> Tensor:
        """The gradient of sum(upstream * loss) with respect to the points (n, d). What was kept is given up."""
        pulls = masses.pulls(upstream) * self.scale
        # f_i f_j (c_i + c_j) is of rank two.
        left = [torch.stack([pull, self.scale], 1) for pull in pulls]
        right = [torch.stack([self.scale, pull]) for pull in pulls]

        def derivatives(tile: Tile, work: list[Tensor]) -> Tensor:
            spare, total, part = work
            kernel = self.kept.pop(tile.place, None)
            kernel = self._load(tile, spare) if kernel is None else kernel
            for place, (kind, where) in enumerate(parts(self.points, self.points, tile)):
                out = part if place else total
                torch.mm(left[kind][tile.rows], right[kind][:, tile.columns], out=out)
                if where is not None:
                    out.mul_(where)
            return (total.add_(part) if place else total).mul_(kernel)

        return gradient(self.points, self.beta, derivatives)

    def _tiles(self, room: int) -> Iterator[tuple[Tile, Tensor | None]]:
        """All tiles, and memory for those that are kept: the first ones, as far as their entries have room."""
        for tile in square(self.points):
            room -= products.entries(tile.shape, self.points.x)
            yield tile, products.empty(tile.shape, self.points.x) if room >= 0 else None

    def _load(self, tile: Tile, out: Tensor) -> Tensor:
        left, right = self.points.x[tile.rows], self.points.x[tile.columns]
        return products.inner(left, right, factor=self.factor, out=out, tile=True).exp2_()
