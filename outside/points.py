"""Measuring features that were not made here: the entanglement of points and labels in a file."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lab.errors import Say, WorkbenchError, telling
from lab.files import without_nan
from lab.pace import passes
from lab.processes import part
from outside.files import read_points
from outside.same import check_same
from snnl_core import Entanglement, GroupEntanglement, entanglement
from snnl_core.distances import Distance


@dataclass(frozen=True)
class PointsEntanglement:
    """The entanglement of n points of a file."""

    file: str
    n: int
    features: int
    distance: str
    whole: Entanglement

    @property
    def classes(self) -> list[int]:
        """The labels, ascending."""
        labels: list[int] = self.whole.classes.tolist()
        return labels

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All anchors together, then those of each class at their own best temperature."""
        parts = {"all": self.whole, **{f"class {label}": part for label, part in self.whole.by_class.items()}}
        return [{"anchors": name, **_group(part)} for name, part in parts.items()]

    @property
    def pairs(self) -> list[dict[str, Any]]:
        """A row for each class: the mean softmax mass of its anchors on every class."""
        named = zip(self.classes, self.whole.class_pairs.tolist(), strict=True)
        return [
            {"anchors": f"class {label}", **dict(zip(map(str, self.classes), masses, strict=True))}
            for label, masses in named
        ]

    def plain(self) -> dict[str, Any]:
        """As JSON-ready values, null for what is no finite number."""
        about = {name: getattr(self, name) for name in ("file", "n", "features", "distance", "classes")}
        by_class = {str(label): _group(part) for label, part in self.whole.by_class.items()}
        found = {"stderr": self.whole.stderr, "by_class": by_class, "class_pairs": self.whole.class_pairs.tolist()}
        plain: dict[str, Any] = without_nan({**about, **_group(self.whole), **found})
        return plain


def measure_file(
    path: Path,
    *,
    distance: Distance = "sqeuclidean",
    anchors: int | None = None,
    sharded: bool = False,
    say: Say = lambda text: None,
) -> PointsEntanglement:
    """The entanglement of the arrays `x` (n, ...) and `labels` (n,) of an .npz or .safetensors file.

    Integers are measured as float64. Where it is `sharded`, each of several processes that call this at the same time
    keeps its part of the points. `say` is told, in a line, what is about to be measured, and what to beware of.

    Raises:
        UsageError: the file's name ends otherwise.
        WorkbenchError: the file cannot be read, or its arrays do not fit, are not finite, or have no two classes.
    """
    x, labels = read_points(path)
    if sharded:
        check_same(str(path), x, labels)
    check_classes(labels, str(path))
    n, features = len(x), x[0:1].numel()
    some = anchors if anchors is not None and anchors < n else "all"
    say(f"{path}: {n} points of {features} features, {some} anchors, {distance} distance.")
    if sharded:
        x, labels = x[part(n)].clone(), labels[part(n)]  # what the others have is let go
    with telling(path, say):
        found = entanglement(x, labels, distance=distance, anchors=anchors, sharded=sharded, progress=passes())
    if found.per_sample.dtype != x.dtype and found.per_sample.dtype == torch.float64:
        say(f"{path}: float32 cannot hold these distances, so they were measured in float64.")
    return PointsEntanglement(str(path), n, features, distance, found)


def check_classes(labels: Tensor, whose: str) -> None:
    """Raise WorkbenchError, in the name of `whose`, unless labels (n,) are of two classes, one of them there twice.

    Fewer than two points are left to the engine's own check.
    """
    n, classes = len(labels), len(labels.unique())
    if n > 1 and classes == 1:
        raise WorkbenchError(f"{whose}: all {n} are of one class; entanglement needs at least two.")
    if n > 1 and classes == n:
        raise WorkbenchError(f"{whose}: no two of {n} are of one class, so there is nothing to measure.")


def _group(found: GroupEntanglement) -> dict[str, Any]:
    return {field.name: getattr(found, field.name) for field in fields(GroupEntanglement)}
