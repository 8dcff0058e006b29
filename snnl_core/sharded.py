"""Points in several processes, measured together: each process works on its share of the tiles.

Every process keeps its own points and meets those of the others one after the other: in round s it gets the points of
the process s places on, works on the tiles of the two, and sends back what the visitors have seen. After half a round
trip every pair of processes has met; where the number of processes is even, the last meeting happens on both sides and
each does half of its tiles. Memory: the own points, one visitor's, and a tile.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import torch
import torch.distributed as dist
from torch import Tensor

from snnl_core.anchors import Anchors
from snnl_core.collecting import class_masses, collect
from snnl_core.distances import across, median
from snnl_core.distributed import exchange, gather, of_the_first, reduced
from snnl_core.masses import Masses
from snnl_core.pairs import SAMPLED, Progress
from snnl_core.tiles import Points, Tile, oblong, square


class _InProcesses(Anchors):
    """Anchors that see the points of all processes; `points` are this process's own."""

    points: Points

    @property
    def dtype(self) -> torch.dtype:
        """That of the distances."""
        return self.points.x.dtype

    def scale(self, sampled: int) -> tuple[float, float]:
        """The median of about so many distances between points of two classes, and a bound on all distances."""
        return _scale(self.points, min(sampled, SAMPLED) // dist.get_world_size())

    def sum_points(self, values: Tensor) -> Tensor:
        """Sums over this process's points, summed over all processes."""
        return reduced(values)

    def agreed(self, values: Tensor) -> Tensor:
        """Values that every process has, but for rounding, as the first one has them: all go the same way from here."""
        return of_the_first(values)

    def union(self, values: Tensor) -> Tensor:
        """The distinct values (k,) of all processes, ascending."""
        return gather(values.unique()).unique()


@dataclass(frozen=True)
class Sharded(_InProcesses):
    """This process's points, sorted by class, as anchors that see the points of all processes.

    Attributes:
        points: this process's points; their positions are numbered through over all processes.
        start: the position of this process's first point.
        rows: how many points each process has.
        counts: the points of each class in all processes (c,).
    """

    points: Points
    start: int
    rows: list[int]
    counts: Tensor
    progress: Progress | None = None
    _passes: Iterator[int] = field(default_factory=lambda: count(1))

    @classmethod
    def of(
        cls, x: Tensor, labels: Tensor, rows: list[int], progress: Progress | None, center: Tensor | None = None
    ) -> "Sharded":
        """Of this process's points (n, d), maybe none, and labels (n,); how many each has; products about center (d,).

        Raises:
            ValueError: there are fewer than two points in all.
        """
        if sum(rows) < 2:
            raise ValueError(f"n = {sum(rows)} in all processes: a neighbour needs at least two points.")
        classes = gather(labels, rows).unique()
        order = labels.argsort(stable=True)
        codes = torch.searchsorted(classes, labels[order])
        if center is None:
            center = reduced(x.sum(0, dtype=torch.float64)) / sum(rows)
        start = sum(rows[: dist.get_rank()])
        counts = reduced(torch.bincount(codes, minlength=len(classes)))
        return cls(Points(x[order].sub_(center.to(x.dtype)), codes, order + start), start, rows, counts, progress)

    @property
    def positions(self) -> Tensor:
        """Where the anchors stand among the points of this process (a,)."""
        return self.points.positions - self.start

    @property
    def squares(self) -> Tensor:
        """|x|^2 of the anchors, about the center (a,)."""
        return self.points.squares

    @property
    def seen(self) -> int:
        """How many points each anchor sees, itself included."""
        return sum(self.rows)

    @property
    def valid(self) -> Tensor:
        """Which anchors have another point of their class (a,)."""
        return self.counts[self.points.codes] > 1

    @property
    def count(self) -> int:
        """The anchors of all processes."""
        return sum(self.rows)

    def masses(self, betas: Tensor, orders: int) -> Masses:
        """What the anchors see at inverse temperatures (q, a), with so many moments."""
        masses, number = Masses.empty(betas, orders), next(self._passes)
        collect(self.points, self.points, square(self.points), masses, masses)
        meetings = list(self._meetings())
        for done, meeting in enumerate(meetings, start=1):
            visitors = meeting.points(self.points)
            back = Masses.empty(meeting.columns(betas), orders)
            collect(*meeting.work(self.points, visitors), *meeting.ordered(masses, back))
            masses.add(meeting.home(back, masses))
            if self.progress is not None:
                self.progress(number, done / len(meetings))
        return masses

    def class_masses(self, masses: Masses, classes: int) -> Tensor:
        """The anchors' softmax mass on other classes, summed by the anchor's class and the other (c, c)."""
        found = class_masses(self.points, self.points, square(self.points), masses, masses, classes)
        for meeting in self._meetings():
            visitors, theirs = meeting.points(self.points), meeting.masses(masses)
            found += class_masses(*meeting.work(self.points, visitors), *meeting.ordered(masses, theirs), classes)
        return reduced(found)

    def some(self, picked: Tensor) -> "SharedSample":
        """Some of the anchors, ascending, of each process, in every process."""
        return SharedSample.of(self.points, self.points.some(picked), self.counts, self.start)

    def draw(self, size: int, generator: torch.Generator, groups: Tensor | None = None, each: int = 0) -> Tensor:
        """About so many anchors at random, ascending: this process's share of them."""
        share = -(-size * len(self.points) // self.count)
        return super().draw(share, generator, groups, -(-each // len(self.rows)))

    def pick(self, values: Tensor, picked: Tensor) -> Tensor:
        """The part of values of the anchors (..., a) that belongs to `some` of them, of all processes."""
        order = gather(self.points.codes[picked]).argsort(stable=True)
        return gather(values[..., picked].movedim(-1, 0)).movedim(0, -1)[..., order]

    def total(self, values: Tensor) -> Tensor:
        """Sums over this process's anchors, summed over all processes."""
        return reduced(values)

    def _meetings(self) -> Iterator["_Meeting"]:
        rank, world = dist.get_rank(), len(self.rows)
        for distance in range(1, world // 2 + 1):
            yield _Meeting(rank, (rank - distance) % world, (rank + distance) % world, self.rows)


@dataclass(frozen=True)
class _Meeting:
    """One round: this process's points visit one process, and those of another visit here."""

    rank: int
    host: int
    guest: int
    rows: list[int]

    @property
    def first(self) -> bool:
        """Whether this process's points are the rows of the tiles; of two that meet twice, those of the lower one."""
        return self.host != self.guest or self.rank < self.guest

    def columns(self, values: Tensor) -> Tensor:
        """The guest's values (..., n), for this process's own."""
        return exchange(values, self.host, self.guest, (*values.shape[:-1], self.rows[self.guest]))

    def points(self, own: Points) -> Points:
        """The guest's points."""
        x = exchange(own.x, self.host, self.guest, (self.rows[self.guest], own.x.shape[1]))
        return Points(x, *self.columns(torch.stack([own.codes, own.positions])))

    def masses(self, own: Masses) -> Masses:
        """The guest's masses."""
        return Masses(*(self.columns(values) for values in (own.nearest, own.sums, own.betas)))

    def home(self, theirs: Masses, own: Masses) -> Masses:
        """Send the guest what it has seen here, and get what this process's points have seen at their host."""
        length = own.nearest.numel() + own.sums.numel()
        return own.unpacked(exchange(theirs.packed(), self.guest, self.host, (length,)))

    def work(self, own: Points, guests: Points) -> tuple[Points, Points, list[Tile]]:
        """The points of both, and the tiles that are this process's work."""
        a, b = (own, guests) if self.first else (guests, own)
        found = list(oblong(a, b, overlap=False))
        return a, b, found if self.host != self.guest else found[0 if self.first else 1 :: 2]

    def ordered(self, own: Masses, guests: Masses) -> tuple[Masses, Masses]:
        """What the rows and the columns of the tiles see."""
        return (own, guests) if self.first else (guests, own)


@dataclass(frozen=True)
class SharedSample(_InProcesses):
    """The same anchors in every process, each process seeing its own points for them.

    Attributes:
        points: this process's points.
        anchors: the anchors, of all processes, sorted by class.
        counts: the points of each class in all processes (c,).
        start: the position of this process's first point.
    """

    points: Points
    anchors: Points
    counts: Tensor
    start: int

    @classmethod
    def of(cls, points: Points, own: Points, counts: Tensor, start: int) -> "SharedSample":
        """From each process's own anchors."""
        codes = gather(own.codes)
        order = codes.argsort(stable=True)
        anchors = Points(gather(own.x)[order], codes[order], gather(own.positions)[order])
        return cls(points, anchors, counts, start)

    @property
    def positions(self) -> Tensor:
        """Where the anchors stand among the points of this process (a,); beyond its ends for those of others."""
        return self.anchors.positions - self.start

    @property
    def squares(self) -> Tensor:
        """|x|^2 of the anchors, about the center (a,)."""
        return self.anchors.squares

    @property
    def seen(self) -> int:
        """How many points each anchor sees, itself included."""
        return int(self.counts.sum())

    @property
    def valid(self) -> Tensor:
        """Which anchors have another point of their class (a,)."""
        return self.counts[self.anchors.codes] > 1

    @property
    def count(self) -> int:
        """The anchors of all processes."""
        return len(self.anchors)

    def masses(self, betas: Tensor, orders: int) -> Masses:
        """What the anchors see at inverse temperatures (q, a), with so many moments."""
        here, everywhere = Masses.empty(betas, orders), Masses.empty(betas, orders)
        collect(self.anchors, self.points, oblong(self.anchors, self.points), here)
        for packed in gather(here.packed()[None], [1] * dist.get_world_size()):
            everywhere.add(here.unpacked(packed))
        return everywhere

    def class_masses(self, masses: Masses, classes: int) -> Tensor:
        """The anchors' softmax mass on other classes, summed by the anchor's class and the other (c, c)."""
        shared = oblong(self.anchors, self.points)
        return reduced(class_masses(self.anchors, self.points, shared, masses, None, classes))

    def some(self, picked: Tensor) -> "SharedSample":
        """Some of the anchors, ascending, the same in every process."""
        return SharedSample(self.points, self.anchors.some(picked), self.counts, self.start)

    def draw(self, size: int, generator: torch.Generator, groups: Tensor | None = None, each: int = 0) -> Tensor:
        """About so many anchors at random, ascending, the same in every process."""
        picked = super().draw(size, generator, groups, each)
        count = of_the_first(picked.new_tensor(len(picked)))
        return of_the_first(picked if len(picked) == count else picked.new_empty(int(count)))

    def take(self, values: Tensor) -> Tensor:
        """The anchors' part (..., a) of values (..., n) of every process's points."""
        here, rows = self._own
        taken = values.new_zeros(*values.shape[:-1], self.count)
        taken[..., here] = values[..., rows]
        return reduced(taken)

    def put(self, values: Tensor, into: Tensor) -> None:
        """Write values of the anchors (a,) that are this process's points to those (n,)."""
        here, rows = self._own
        into[rows] = values[here]

    @property
    def _own(self) -> tuple[Tensor, Tensor]:
        """Which anchors are this process's points, and which points those are."""
        here = (self.positions >= 0) & (self.positions < len(self.points))
        return here, self.positions[here]


def _scale(points: Points, share: int) -> tuple[float, float]:
    """The median of distances between points of two classes, `share` from each process, and a bound on all."""
    generator = torch.Generator().manual_seed(0)
    picked = torch.randperm(len(points), generator=generator, device="cpu")[:share].sort().values.to(points.x.device)
    x, codes = gather(points.x[picked]), gather(points.codes[picked])
    # As many pairs however few the points are, as one process draws them.
    distances = across(x, codes, share * dist.get_world_size(), generator)
    own = points.squares.max() if len(points) else points.x.new_zeros(())
    largest = gather(own[None], [1] * dist.get_world_size()).max()
    scale = of_the_first(torch.tensor([median(distances), 4 * float(largest)], dtype=torch.float64, device=x.device))
    return float(scale[0]), float(scale[1])
