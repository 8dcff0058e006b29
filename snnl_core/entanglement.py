"""Measuring entanglement: the loss at its best temperature (equation 2), its bound, and which classes mix."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from snnl_core.distances import Distance, check_finite, check_points, full_precision, prepare
from snnl_core.masses import Masses
from snnl_core.pairs import Pairs, Progress, all_pairs
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
        stderr: standard error of `loss` from the sampling of anchors; 0 when all are used.
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
        progress: told now and then the number of the pass over all pairs, from 1, and the share of it that is done; a
            measurement takes five to ten passes.
        generator: draws the anchors and the sample of the search; default a fixed seed.

    Raises:
        TypeError: x is not floating, or labels or groups are not integers.
        ValueError: shapes do not match, n < 2, anchors < 1, or a row is not finite.
    """
    points, labels = check_points(x, labels)
    check_finite(points)
    groups = torch.full_like(labels, -1) if groups is None else _check_groups(groups, labels)
    generator = generator or torch.Generator().manual_seed(0)
    with full_precision(points.device):
        codes = labels.unique(return_inverse=True)[1]
        pairs: Pairs = all_pairs(prepare(points, distance), codes, progress)
        if anchors is not None:
            pairs = _some(pairs, anchors, generator)
        return _measure(pairs, labels, groups, generator)


def _measure(pairs: Pairs, labels: Tensor, groups: Tensor, generator: torch.Generator) -> Entanglement:
    """What is to be known of the anchors; labels and groups are those of all points (n,)."""
    own, valid = pairs.positions, pairs.valid
    classes, codes, counts = labels.unique(return_inverse=True, return_counts=True)
    partitions = _Partitions.of(
        [(torch.zeros_like(own), valid), (labels[own], valid), (groups[own], valid & (groups[own] >= 0))]
    )
    bounds = ((len(labels) - 1) / (counts[codes[own]] - 1).double()).log()  # (a,)
    joint, by_class, by_group = partitions.named(_groups(pairs, partitions, bounds, len(classes), generator))
    whole = joint.get(0, NOTHING)
    per_sample = own.new_zeros(len(labels), dtype=pairs.dtype)
    class_pairs = per_sample.new_full((len(classes), len(classes)), 1.0 if len(classes) == 1 else math.nan)
    if not math.isnan(whole.temperature):
        masses = pairs.masses(per_sample.new_full((1, len(own)), 1 / whole.temperature), 1)
        per_sample[own] = masses.losses()[0]
        class_pairs = _class_pairs(pairs, masses, codes[own], len(classes)).to(pairs.dtype)
    stderr = _stderr(per_sample[own[valid]], len(own), len(labels))
    return Entanglement(
        **vars(whole), classes=classes, class_pairs=class_pairs, per_sample=per_sample, by_class=by_class,
        by_group=by_group, stderr=stderr,
    )  # fmt: skip


NOTHING = GroupEntanglement(math.nan, math.nan, math.nan, math.nan, "none", 0)


@dataclass(frozen=True)
class _Partitions:
    """Several partitions of the anchors into named groups, numbered through."""

    names: list[list[int]]
    numbers: Tensor  # (p, a), the number of each anchor's group; negative for none

    @classmethod
    def of(cls, keyed: list[tuple[Tensor, Tensor]]) -> "_Partitions":
        """From the name of each anchor's group (a,), and whether the anchor counts (a,), in each partition."""
        names, numbers, start = [], [], 0
        for keys, counted in keyed:
            known = keys[counted].unique()
            place = torch.searchsorted(known, keys).clamp_max(max(0, len(known) - 1))
            numbers.append((place + start).masked_fill(~counted, -1))
            names.append(known.tolist())
            start += len(known)
        return cls(names, torch.stack(numbers))

    def named(self, found: list[GroupEntanglement]) -> list[dict[int, GroupEntanglement]]:
        """What was found for each number, by partition and name."""
        ordered = iter(found)
        return [{name: next(ordered) for name in names} for names in self.names]


def _groups(
    pairs: Pairs, partitions: _Partitions, bounds: Tensor, classes: int, generator: torch.Generator
) -> list[GroupEntanglement]:
    """Every group of every partition, in the order of their numbers."""
    numbers = partitions.numbers
    count = sum(map(len, partitions.names))
    members = numbers[numbers >= 0]
    sizes = torch.bincount(members, minlength=count)
    if classes == 1:  # nothing to be entangled with at any temperature
        return [replace(NOTHING, loss=0.0, bound=0.0, n_valid=size) for size in sizes.tolist()]
    if not count:
        return []
    totals = torch.zeros(count, dtype=torch.float64, device=numbers.device)
    totals.index_add_(0, members, bounds.expand_as(numbers)[numbers >= 0])
    found = minimize(pairs, numbers[(numbers >= 0).any(1)], generator)
    columns = (found.loss.tolist(), found.beta.tolist(), (totals / sizes).tolist(), sizes.tolist(), found.at_limit)
    return [_group(*values) for values in zip(*columns, strict=True)]


def _group(loss: float, beta: float, bound: float, size: int, limit: str) -> GroupEntanglement:
    loss = min(loss, bound)
    return GroupEntanglement(loss, 1 / beta if beta else math.inf, bound, loss / bound, limit, size)


def _class_pairs(pairs: Pairs, masses: Masses, codes: Tensor, classes: int) -> Tensor:
    """Mean softmax mass on each class (c, c) of each class's anchors, whose codes are (a,)."""
    valid = masses.valid
    own = 1 - masses.log_ratio()[0].sigmoid()
    found = pairs.class_masses(masses, classes)
    found.diagonal().index_add_(0, codes[valid], own[valid].double())
    return found / torch.bincount(codes[valid], minlength=classes)[:, None]


def _stderr(losses: Tensor, anchors: int, n: int) -> float:
    """With the correction for a finite population; the temperature counts as given."""
    if anchors >= n or not len(losses):
        return 0.0
    return float(losses.double().std() / len(losses) ** 0.5 * (1 - anchors / n) ** 0.5)


def _some(pairs: Pairs, anchors: int, generator: torch.Generator) -> Pairs:
    if anchors < 1:
        raise ValueError(f"anchors = {anchors}: at least one is needed, or None for all.")
    n = len(pairs.positions)
    if anchors >= n:
        return pairs
    picked = torch.randperm(n, generator=generator)[:anchors].sort().values
    return pairs.some(picked.to(pairs.positions.device))


def _check_groups(groups: Tensor, labels: Tensor) -> Tensor:
    if groups.is_floating_point() or groups.is_complex() or groups.dtype == torch.bool:
        raise TypeError(f"groups must be integers, not {groups.dtype}; convert them, e.g. groups.long().")
    if groups.shape != labels.shape:
        raise ValueError(f"groups must be (n,) like labels, {tuple(labels.shape)}, not {tuple(groups.shape)}.")
    return groups.to(labels)
