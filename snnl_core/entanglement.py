"""Measuring entanglement: the loss at its best temperature (equation 2), its bound, and which classes mix."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from snnl_core.anchors import Anchors, anchors_by_class
from snnl_core.distances import Distance, check_finite, check_points, prepare
from snnl_core.temperature import Minimum, minimize, scan


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
        generator: draws the anchors and the sample of the search; default a fixed seed.

    Raises:
        TypeError: x is not floating, or labels or groups are not integers.
        ValueError: shapes do not match, n < 2, anchors < 1, or a row is not finite.
    """
    points, labels = check_points(x, labels)
    check_finite(points)
    generator = generator or torch.Generator().manual_seed(0)
    chosen = _choose(len(points), anchors, generator).to(points.device)
    parts = anchors_by_class(prepare(points, distance), labels, chosen)
    search = _Search(parts, labels, chosen, generator)
    joint = search.groups(torch.zeros_like(labels)).get(0, NOTHING)
    beta = 1 / joint.temperature if parts else math.nan
    per_sample = _per_sample(parts, len(points), beta, points)
    classes = labels.unique()
    return Entanglement(
        **vars(joint),
        classes=classes,
        class_pairs=_class_pairs(parts, labels, classes, beta, points),
        per_sample=per_sample,
        by_class=search.groups(labels),
        by_group={} if groups is None else search.groups(_check_groups(groups, labels), lowest=0),
        stderr=_stderr(per_sample, parts, len(points), anchors),
    )


NOTHING = GroupEntanglement(math.nan, math.nan, math.nan, math.nan, "none", 0)


class _Search:
    """The anchors of one set of points, ready to be minimised by any partition."""

    def __init__(self, parts: list[Anchors], labels: Tensor, chosen: Tensor, generator: torch.Generator) -> None:
        self.parts = parts
        self.scanned = scan(parts, generator) if parts else None
        _, inverse, counts = labels.unique(return_inverse=True, return_counts=True)
        others = counts[inverse] - 1  # (n,)
        self.index = (chosen & (others > 0)).nonzero().flatten()
        self.bounds = ((len(labels) - 1) / others.double()).log()  # (n,)

    def groups(self, numbers: Tensor, lowest: int | None = None) -> dict[int, GroupEntanglement]:
        """Each group of valid anchors (n,) by its number; numbers below `lowest` are in no group."""
        names = numbers[self.index].unique()
        names = names if lowest is None else names[names >= lowest]
        if not len(names):
            return {}
        if self.scanned is None:  # one class: nothing to be entangled with at any temperature
            return {int(name): self._alone(numbers == name) for name in names}
        dense = torch.searchsorted(names, numbers).clamp_max(len(names) - 1)
        dense[names[dense] != numbers] = -1
        found = minimize(self.parts, self.scanned, dense, len(names))
        return {int(name): self._group(found, place, dense) for place, name in enumerate(names)}

    def _alone(self, members: Tensor) -> GroupEntanglement:
        return replace(NOTHING, loss=0.0, bound=0.0, n_valid=int(members[self.index].sum()))

    def _group(self, found: Minimum, place: int, dense: Tensor) -> GroupEntanglement:
        members = self.index[dense[self.index] == place]
        bound = float(self.bounds[members].mean())
        loss, beta = min(float(found.loss[place]), bound), float(found.beta[place])
        temperature = 1 / beta if beta else math.inf
        return GroupEntanglement(loss, temperature, bound, loss / bound, found.at_limit[place], len(members))


def _per_sample(parts: list[Anchors], n: int, beta: float, points: Tensor) -> Tensor:
    losses = points.new_zeros(n)
    for part in parts:
        losses[part.index] = part.losses(points.new_full((len(part.index),), beta))
    return losses


def _class_pairs(parts: list[Anchors], labels: Tensor, classes: Tensor, beta: float, points: Tensor) -> Tensor:
    if len(classes) == 1:
        return points.new_ones(1, 1)
    place = torch.searchsorted(classes, labels)  # (n,)
    sums, counts = points.new_zeros(len(classes), len(classes)), points.new_zeros(len(classes), 1)
    for part in parts:
        betas = points.new_full((len(part.index),), beta)
        foreign = (part.others.log_mass(betas) - part.own.log_mass(betas)).sigmoid()  # (a,)
        weights = part.others.weights(betas)
        weights *= (foreign / weights.sum(1))[:, None]
        own = place[part.index[0]]
        sums[own].index_add_(0, place[part.columns], weights.sum(0))
        sums[own, own] += (1 - foreign).sum()
        counts[own] += len(part.index)
    return sums / counts


def _stderr(per_sample: Tensor, parts: list[Anchors], n: int, anchors: int | None) -> float:
    """With the correction for a finite population; the temperature counts as given."""
    if anchors is None or anchors >= n or not parts:
        return 0.0
    values = per_sample[torch.cat([part.index for part in parts])].double()
    return float(values.std() / len(values) ** 0.5 * (1 - anchors / n) ** 0.5)


def _choose(n: int, anchors: int | None, generator: torch.Generator) -> Tensor:
    if anchors is not None and anchors < 1:
        raise ValueError(f"anchors = {anchors}: at least one is needed, or None for all.")
    chosen = torch.zeros(n, dtype=torch.bool)
    chosen[torch.randperm(n, generator=generator)[: n if anchors is None else anchors]] = True
    return chosen


def _check_groups(groups: Tensor, labels: Tensor) -> Tensor:
    if groups.is_floating_point() or groups.is_complex() or groups.dtype == torch.bool:
        raise TypeError(f"groups must be integers, not {groups.dtype}; convert them, e.g. groups.long().")
    if groups.shape != labels.shape:
        raise ValueError(f"groups must be (n,) like labels, {tuple(labels.shape)}, not {tuple(groups.shape)}.")
    return groups.to(labels.device)
