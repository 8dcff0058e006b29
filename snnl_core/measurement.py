"""What is measured of anchors: the minimum for all, for each class and for groups, and which classes mix there."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from snnl_core import notebook
from snnl_core.anchors import Anchors
from snnl_core.masses import Masses
from snnl_core.rounding import share_lost
from snnl_core.temperature import minimize


@dataclass(frozen=True)
class GroupEntanglement:
    """The loss of a group of anchors at the group's own best temperature.

    Attributes:
        loss: mean over the group's anchors, in [0, bound].
        temperature: where it is least, in units of the distance; infinite at the hot end, NaN with one class.
        bound: the value at infinite temperature, mean ln((n - 1) / (points of the anchor's class - 1)).
        score: loss / bound in [0, 1]: 0 separated, 1 entangled; NaN without valid anchors or with one class.
        at_limit: `cold` or `hot` where the minimum sits at an end of the search, else `none`.
        n_valid: anchors that count: those with another point of their class.
    """

    loss: float
    temperature: float
    bound: float
    score: float
    at_limit: str
    n_valid: int


@dataclass(frozen=True, repr=False)
class Entanglement(GroupEntanglement):
    """The entanglement of classes in a set of points: of all anchors together, and of each class and group alone.

    Attributes:
        classes: the labels, ascending (c,).
        class_pairs: mean over the anchors of class a of the softmax mass on class b (c, c), at the joint best
            temperature; rows sum to 1, and are NaN where a class has no valid anchor.
        per_sample: each point's loss at the joint best temperature (n,), in the dtype that it was measured in; 0 where
            it is no valid anchor.
        by_class: each class's anchors at their own best temperature, by label.
        by_group: the same for the caller's groups, by number.
        stderr: standard error of `loss` from the sampling of anchors, at the temperature found; 0 when all are used,
            NaN with one valid anchor. Too small where few anchors have any loss; at the cold end, where none has, it
            tells nothing of the other points.
    """

    classes: Tensor
    class_pairs: Tensor
    per_sample: Tensor
    by_class: Mapping[int, GroupEntanglement]
    by_group: Mapping[int, GroupEntanglement]
    stderr: float

    def __repr__(self) -> str:
        """One line: what was found of all anchors; the rest by name."""
        return (
            f"Entanglement(score={self.score:.4g}, loss={self.loss:.4g}, temperature={self.temperature:.4g}, "
            f"bound={self.bound:.4g}, at_limit={self.at_limit!r}, n_valid={self.n_valid}, classes={len(self.classes)})"
        )

    def _repr_html_(self) -> str:
        """What notebooks show: the score of each class, and which classes mix."""
        return notebook.html(repr(self), self.classes.tolist(), self.by_class, self.class_pairs.tolist())

    def times(self, factor: float) -> "Entanglement":
        """The same of points whose distances are so many times as large, which changes the temperatures alone."""
        parts = [{name: _times(part, factor) for name, part in each.items()} for each in (self.by_class, self.by_group)]
        return replace(_times(self, factor), by_class=parts[0], by_group=parts[1])


Group = TypeVar("Group", bound=GroupEntanglement)


def _times(found: Group, factor: float) -> Group:
    return replace(found, temperature=found.temperature * factor)


def measure(
    anchors: Anchors, labels: Tensor, groups: Tensor, generator: torch.Generator, coldest: float
) -> tuple[Entanglement, float]:
    """What is to be known of the anchors, and the share of it, in [0, 1], that is rounding.

    Args:
        anchors: who are measured, and what they see.
        labels: those of this process's points (n,).
        groups: likewise; negative for none.
        generator: draws the sample of the search.
        coldest: the lowest temperature that matters.
    """
    classes = anchors.union(labels)
    codes = torch.searchsorted(classes, labels)
    own = anchors.take(codes)  # (a,)
    counts = anchors.sum_points(torch.bincount(codes, minlength=len(classes)))
    partitions = _Partitions.of(anchors, own, anchors.take(labels), anchors.take(groups))
    joint, by_class, by_group = partitions.named(_minima(anchors, partitions, own, counts, generator))
    whole = joint.get(0, NOTHING)
    per_sample = torch.zeros(len(labels), dtype=anchors.dtype, device=labels.device)
    class_pairs, stderr, rounding = per_sample.new_full((len(classes), len(classes)), math.nan), 0.0, 0.0
    if len(classes) == 1:
        class_pairs.fill_(1.0)
    elif whole.n_valid:
        masses = anchors.masses(per_sample.new_full((1, len(own)), 1 / whole.temperature), 1)
        anchors.put(masses.losses()[0], per_sample)
        class_pairs = _class_pairs(anchors, masses, own, len(classes)).to(anchors.dtype)
        stderr = _stderr(anchors, masses.losses()[0], whole, int(counts.sum()))
        rounding = share_lost(anchors, masses, coldest)
    found = Entanglement(
        **vars(whole),
        classes=classes,
        class_pairs=class_pairs,
        per_sample=per_sample,
        by_class=by_class,
        by_group=by_group,
        stderr=stderr,
    )
    return found, rounding


NOTHING = GroupEntanglement(math.nan, math.nan, math.nan, math.nan, "none", 0)


@dataclass(frozen=True)
class _Partitions:
    """Partitions of the valid anchors into named groups, numbered through: all together, by class, by group."""

    names: list[list[int]]
    numbers: Tensor  # (3, a), negative for none

    @classmethod
    def of(cls, anchors: Anchors, codes: Tensor, labels: Tensor, groups: Tensor) -> "_Partitions":
        """From what is known of each anchor (a,); a negative group is none."""
        names, numbers, start = [], [], 0
        for keys in (torch.zeros_like(codes), labels, groups):
            counted = anchors.valid & (groups >= 0) if keys is groups else anchors.valid
            known = anchors.union(keys[counted])
            place = torch.searchsorted(known, keys) + start
            numbers.append(place.masked_fill(~counted, -1))
            names.append(known.tolist())
            start += len(known)
        return cls(names, torch.stack(numbers))

    @property
    def count(self) -> int:
        """How many groups there are in all."""
        return sum(map(len, self.names))

    def named(self, found: list[GroupEntanglement]) -> list[dict[int, GroupEntanglement]]:
        """What was found for each number, by partition and name."""
        ordered = iter(found)
        return [{name: next(ordered) for name in names} for names in self.names]


def _minima(
    anchors: Anchors, partitions: _Partitions, codes: Tensor, counts: Tensor, generator: torch.Generator
) -> list[GroupEntanglement]:
    """Every group of every partition, in the order of their numbers; `counts` are the points of each class (c,)."""
    numbers, count = partitions.numbers, partitions.count
    if not count:
        return []
    members = numbers >= 0
    sizes = anchors.total(torch.bincount(numbers[members], minlength=count))
    if len(counts) == 1:  # nothing to be entangled with at any temperature
        return [replace(NOTHING, loss=0.0, bound=0.0, n_valid=size) for size in sizes.tolist()]
    each = ((counts.sum() - 1) / (counts[codes] - 1).double()).log().expand_as(numbers)
    bounds = anchors.total(each.new_zeros(count).index_add_(0, numbers[members], each[members])) / sizes
    kept = [bool(names) for names in partitions.names]
    found = minimize(anchors, numbers[torch.tensor(kept, device=numbers.device)], count, generator=generator)
    columns = (found.loss, found.beta, bounds.tolist(), sizes.tolist(), found.at_limit)
    return [_group(*values) for values in zip(*columns, strict=True)]


def _group(loss: float, beta: float, bound: float, size: int, limit: str) -> GroupEntanglement:
    loss = min(loss, bound)
    return GroupEntanglement(loss, 1 / beta if beta else math.inf, bound, loss / bound, limit, size)


def _class_pairs(anchors: Anchors, masses: Masses, codes: Tensor, classes: int) -> Tensor:
    """Mean softmax mass on each class (c, c) of each class's anchors, whose codes are (a,)."""
    valid = anchors.valid
    within = (1 - masses.foreign[0]).double()
    own = within.new_zeros(classes).index_add_(0, codes[valid], within[valid])
    found = anchors.class_masses(masses, classes)
    found.diagonal().add_(anchors.total(own))
    return found / anchors.total(torch.bincount(codes[valid], minlength=classes))[:, None]


def _stderr(anchors: Anchors, losses: Tensor, whole: GroupEntanglement, n: int) -> float:
    """With the correction for a finite population; the temperature counts as given."""
    if anchors.count >= n:
        return 0.0
    if whole.n_valid < 2:
        return math.nan
    squares = anchors.total((losses.double()[anchors.valid] - whole.loss).square().sum())
    variance = float(squares) / (whole.n_valid - 1)
    return math.sqrt(variance / whole.n_valid * (1 - anchors.count / n))
