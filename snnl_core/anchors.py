"""What the search and the measurement ask of anchors, however their distances are held."""

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor

from snnl_core.masses import Masses


class Look(Protocol):
    """What every point of a set sees at one inverse temperature, and what follows for the points.

    Attributes:
        masses: what they see.
    """

    @property
    def masses(self) -> Masses: ...

    def gradient(self, upstream: Tensor) -> Tensor:
        """The gradient of sum(upstream * loss) with respect to the points (n, d); upstream (n,)."""
        ...


class Anchors(ABC):
    """Anchors, and what they see of all points: in this process alone, or as its share of several."""

    @property
    @abstractmethod
    def positions(self) -> Tensor:
        """Where the anchors stand among the points of this process (a,)."""

    @property
    @abstractmethod
    def valid(self) -> Tensor:
        """Which anchors have another point of their class (a,)."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """That of the distances."""

    @property
    @abstractmethod
    def squares(self) -> Tensor:
        """|x|^2 of the anchors, about the center (a,)."""

    @property
    @abstractmethod
    def seen(self) -> int:
        """How many points each anchor sees, itself included."""

    @abstractmethod
    def masses(self, betas: Tensor, orders: int) -> Masses:
        """What the anchors see at inverse temperatures (q, a), with so many moments."""

    @abstractmethod
    def class_masses(self, masses: Masses, classes: int) -> Tensor:
        """The anchors' softmax mass on other classes, summed by the anchor's class and the other (c, c).

        At the first temperature of `masses`, over all processes.
        """

    @abstractmethod
    def scale(self, sampled: int) -> tuple[float, float]:
        """The median of about so many distances between points of two classes, and a bound on all distances."""

    @abstractmethod
    def some(self, picked: Tensor) -> "Anchors":
        """Some of the anchors, ascending, against all points."""

    @property
    def count(self) -> int:
        """The anchors of all processes."""
        return len(self.positions)

    def draw(self, size: int, generator: torch.Generator, groups: Tensor | None = None, each: int = 0) -> Tensor:
        """About so many anchors at random, ascending: this process's share of them.

        With groups (p, a), negative for none, at least `each` of every group in every partition, or all there are.
        """
        # By position, so that it is the same points however they are sorted here.
        order = self.positions.argsort()
        order = order[torch.randperm(len(order), generator=generator, device="cpu").to(order.device)]
        if groups is None or not each:
            return order[:size].sort().values
        wanted = torch.zeros_like(order, dtype=torch.bool)
        wanted[order[:size]] = True
        for row in groups:
            shuffled, places = row[order].sort(stable=True)
            rank = torch.arange(len(places), device=places.device) - torch.searchsorted(shuffled, shuffled)
            wanted[order[places[(rank < each) & (shuffled >= 0)]]] = True
        return wanted.nonzero().flatten()

    def pick(self, values: Tensor, picked: Tensor) -> Tensor:
        """The part of values of the anchors (..., a) that belongs to `some` of them."""
        return values[..., picked]

    def take(self, values: Tensor) -> Tensor:
        """The anchors' part (..., a) of values of this process's points (..., n)."""
        return values[..., self.positions]

    def put(self, values: Tensor, into: Tensor) -> None:
        """Write values of the anchors (a,) to those of this process's points (n,)."""
        into[self.positions] = values

    def total(self, values: Tensor) -> Tensor:
        """Sums over this process's anchors, summed over all processes."""
        return values

    def sum_points(self, values: Tensor) -> Tensor:
        """Sums over this process's points, summed over all processes."""
        return values

    def agreed(self, values: Tensor) -> Tensor:
        """Values that every process has, but for rounding, as the first one has them: all go the same way from here."""
        return values

    def union(self, values: Tensor) -> Tensor:
        """The distinct values (k,) of all processes, ascending."""
        return values.unique()
