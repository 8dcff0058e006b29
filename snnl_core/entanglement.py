"""Measuring entanglement: the loss at its best temperature (equation 2), its bound, and which classes mix."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from snnl_core.anchors import Anchors
from snnl_core.distances import Distance, check_finite, check_integers, check_points, full_precision, prepare
from snnl_core.distributed import agree
from snnl_core.masses import Masses
from snnl_core.pairs import Progress, all_pairs
from snnl_core.sharded import Sharded
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


@dataclass(frozen=True)
class Entanglement(GroupEntanglement):
    """The entanglement of classes in a set of points: of all anchors together, and of each class and group alone.

    Attributes:
        classes: the labels, ascending (c,).
        class_pairs: mean over the anchors of class a of the softmax mass on class b (c, c), at the joint best
            temperature; rows sum to 1, and are NaN where a class has no valid anchor.
        per_sample: each point's loss at the joint best temperature (n,); 0 where it is no valid anchor.
        by_class: each class's anchors at their own best temperature, by label.
        by_group: the same for the caller's groups, by number.
        stderr: standard error of `loss` from the sampling of anchors; 0 when all are used, NaN with one valid anchor.
    """

    classes: Tensor
    class_pairs: Tensor
    per_sample: Tensor
    by_class: Mapping[int, GroupEntanglement]
    by_group: Mapping[int, GroupEntanglement]
    stderr: float


@torch.no_grad()
def entanglement(
    x: Tensor,
    labels: Tensor,
    *,
    distance: Distance = "sqeuclidean",
    groups: Tensor | None = None,
    anchors: int | None = None,
    sharded: bool = False,
    progress: Progress | None = None,
    generator: torch.Generator | None = None,
) -> Entanglement:
    """The soft nearest neighbor loss of a set of points, minimised over the temperature.

    Args:
        x: points (n, ...), floating and finite; flattened to (n, d).
        labels: class of each point (n,), any integers.
        distance: `sqeuclidean`, or `cosine` for 1 - cos.
        groups: integers (n,) that part the anchors, each group to be minimised at a temperature of its own;
            negative: in no group.
        anchors: use this many random anchors, each against all points, as an estimate; default all.
        sharded: every process holds a part of the points, none of which is another's, and calls this at the same time;
            each gets what one process would get from all of them, with `per_sample` for its own. A part may be empty,
            (0, d). What one process refuses, all refuse, and the message names the process.
        progress: told now and then the number of the pass over all pairs, from 1, and the share of it that is done;
            with the classes each at its own temperature there are about twenty passes.
        generator: of the CPU; draws the anchors and the sample of the search; default a fixed seed.

    Raises:
        TypeError: x is not floating, or labels or groups are not integers.
        ValueError: shapes do not match, n < 2, anchors < 1, a row is not finite, the distance is unknown, squared
            distances overflow, or processes differ in d, dtype, kind of device, distance or anchors.
        RuntimeError: `sharded` without a process group.
    """
    check = partial(_checked, x, labels, groups, fewest=0 if sharded else 2)
    (points, labels, groups), rows = agree(check, distance=distance, anchors=anchors) if sharded else (check(), [])
    generator = generator or torch.Generator().manual_seed(0)
    with full_precision(points.device):
        points = prepare(points, distance)
        found: Anchors
        if sharded:
            found = Sharded.of(points, labels, rows, progress)
        else:
            found = all_pairs(points, labels.unique(return_inverse=True)[1], progress)
        _check_reach(found)
        if anchors is not None:
            found = _some(found, anchors, generator)
        return _measure(found, labels, groups, generator)


def _measure(anchors: Anchors, labels: Tensor, groups: Tensor, generator: torch.Generator) -> Entanglement:
    """What is to be known of the anchors; labels and groups are those of this process's points (n,)."""
    classes = anchors.union(labels)
    codes = torch.searchsorted(classes, labels)
    own = anchors.take(codes)  # (a,)
    counts = anchors.sum_points(torch.bincount(codes, minlength=len(classes)))
    partitions = _Partitions.of(anchors, own, anchors.take(labels), anchors.take(groups))
    joint, by_class, by_group = partitions.named(_minima(anchors, partitions, own, counts, generator))
    whole = joint.get(0, NOTHING)
    per_sample = torch.zeros(len(labels), dtype=anchors.dtype, device=labels.device)
    class_pairs, stderr = per_sample.new_full((len(classes), len(classes)), math.nan), 0.0
    if len(classes) == 1:
        class_pairs.fill_(1.0)
    elif whole.n_valid:
        masses = anchors.masses(per_sample.new_full((1, len(own)), 1 / whole.temperature), 1)
        anchors.put(masses.losses()[0], per_sample)
        class_pairs = _class_pairs(anchors, masses, own, len(classes)).to(anchors.dtype)
        stderr = _stderr(anchors, masses.losses()[0], whole, int(counts.sum()))
    return Entanglement(
        **vars(whole),
        classes=classes,
        class_pairs=class_pairs,
        per_sample=per_sample,
        by_class=by_class,
        by_group=by_group,
        stderr=stderr,
    )


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


def _some(anchors: Anchors, size: int, generator: torch.Generator) -> Anchors:
    if size < 1:
        raise ValueError(f"anchors = {size}: at least one is needed, or None for all.")
    return anchors if size >= anchors.count else anchors.some(anchors.draw(size, generator))


def _checked(x: Tensor, labels: Tensor, groups: Tensor | None, fewest: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points (n, d), at least so many and all finite, their labels and their groups (n,), negative for none."""
    points, labels = check_points(x, labels, fewest)
    check_finite(points)
    return points, labels, torch.full_like(labels, -1) if groups is None else _check_groups(groups, labels)


def _check_reach(anchors: Anchors) -> None:
    """Raise ValueError unless squared distances, and twice as much, can be represented."""
    dtype, reach = anchors.dtype, anchors.scale(1)[1]
    if not reach <= torch.finfo(dtype).max / 2:
        remedy = "scale x down" if dtype == torch.float64 else "scale x down, or use float64"
        raise ValueError(f"squared distances of x are too large for {dtype}: {remedy}.")


def _check_groups(groups: Tensor, labels: Tensor) -> Tensor:
    check_integers("groups", groups)
    if groups.shape != labels.shape:
        raise ValueError(f"groups must be (n,) like labels, {tuple(labels.shape)}, not {tuple(groups.shape)}.")
    return groups.to(labels)
