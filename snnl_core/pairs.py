"""Anchors and the points that they see: all distances at once where they are few, by tiles where they are many."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

import torch
from torch import Tensor

from snnl_core import gradients, tiles
from snnl_core.anchors import Anchors, Look
from snnl_core.batch import Batch
from snnl_core.collecting import class_masses, collect
from snnl_core.distances import across, median
from snnl_core.kernel import Kernel
from snnl_core.masses import Masses
from snnl_core.tiles import Points

SMALL = 1024
"""Up to so many points, all distances are held at once."""

SAMPLED = 8192
"""Pairs of points whose distances set the scale of a search, at most."""

Progress = Callable[[int, float], None]
"""Told the number of the pass over all pairs, from 1, and the share of it that is done, in (0, 1]."""


def all_pairs(
    x: Tensor, labels: Tensor, progress: Progress | None = None, center: Tensor | None = None
) -> "Batch | Tiled":
    """Every point as an anchor: x (n, d), labels (n,); products are taken about the mean, or another center (d,)."""
    if len(x) <= SMALL:
        return Batch.of(x, labels, center)
    order = labels.argsort(stable=True)
    x = x[order]
    codes = labels[order].unique_consecutive(return_inverse=True)[1]
    points = Points(x.sub_(x.mean(0) if center is None else center), codes, order)
    return Tiled(points, points, progress)


@dataclass(frozen=True)
class Tiled(Anchors):
    """Anchors and points, sorted by class; the anchors are the points themselves or some of them."""

    anchors: Points
    points: Points
    progress: Progress | None = None
    _passes: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def x(self) -> Tensor:
        """The points, centred and sorted (n, d)."""
        return self.points.x

    @property
    def positions(self) -> Tensor:
        """Where the anchors stand in the caller's data (a,)."""
        return self.anchors.positions

    @property
    def order(self) -> Tensor:
        """The same."""
        return self.anchors.positions

    @property
    def squares(self) -> Tensor:
        """|x|^2 of the anchors, about the center (a,)."""
        return self.anchors.squares

    @property
    def reach(self) -> float:
        """A bound on the distances."""
        return 4 * float(self.points.squares.max())

    @property
    def seen(self) -> int:
        """How many points each anchor sees, itself included."""
        return len(self.points)

    @property
    def valid(self) -> Tensor:
        """Which anchors have another point of their class (a,)."""
        return self.points.counts[self.anchors.codes] > 1

    @property
    def dtype(self) -> torch.dtype:
        """That of the distances."""
        return self.points.x.dtype

    def look(self, beta: Tensor, *, moments: int, keep: bool) -> Look:
        """What all points see at one inverse temperature, a scalar; `keep`: its gradient will be wanted."""
        kernel = Kernel.of(self.points, beta) if moments == 1 else None
        if kernel is not None:
            return KernelLook(kernel, kernel.masses(keep=keep))
        return TiledLook(self.points, self.masses(beta.expand(1, len(self.points)), moments))

    def some(self, picked: Tensor) -> "Tiled":
        """Some of the anchors, ascending, against all points."""
        return Tiled(self.anchors.some(picked), self.points, self.progress, self._passes)

    def masses(self, betas: Tensor, orders: int) -> Masses:
        """What the anchors see at inverse temperatures (q, a), with so many moments."""
        masses = Masses.empty(betas, orders)
        collect(self.anchors, self.points, self._tiles(), masses, self._back(masses))
        return masses

    def class_masses(self, masses: Masses, classes: int) -> Tensor:
        """The anchors' softmax mass on other classes, summed by the anchor's class and the other (c, c)."""
        return class_masses(self.anchors, self.points, self._tiles(), masses, self._back(masses), classes)

    def scale(self, sampled: int) -> tuple[float, float]:
        """The median of about so many distances between points of two classes, and a bound on all distances."""
        draw, points = torch.Generator().manual_seed(0), self.points
        return median(across(points.x, points.codes, min(sampled, SAMPLED), draw)), self.reach

    def _back(self, masses: Masses) -> Masses | None:
        return masses if self.anchors is self.points else None

    def _tiles(self) -> Iterator[tiles.Tile]:
        whole = self.anchors is self.points
        found = list(tiles.square(self.points) if whole else tiles.oblong(self.anchors, self.points))
        number = next(self._passes)
        for done, tile in enumerate(found, start=1):
            yield tile
            if self.progress is not None:
                self.progress(number, done / len(found))


@dataclass(frozen=True)
class TiledLook:
    """What all points see at one inverse temperature, whatever it is."""

    points: Points
    masses: Masses

    def gradient(self, upstream: Tensor) -> Tensor:
        """The gradient of sum(upstream * loss) with respect to the points (n, d); upstream (n,)."""
        return gradients.pull(self.points, self.masses, upstream)


@dataclass(frozen=True)
class KernelLook:
    """What all points see at one inverse temperature that is not cold."""

    kernel: Kernel
    masses: Masses

    def gradient(self, upstream: Tensor) -> Tensor:
        """The gradient of sum(upstream * loss) with respect to the points (n, d); upstream (n,)."""
        return self.kernel.gradient(self.masses, upstream)
