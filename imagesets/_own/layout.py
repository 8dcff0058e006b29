"""What the names of image files say: their classes, and which of them are held out."""

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lab.errors import WorkbenchError

HELD_OUT = 6
"""Where no `test` folder is, one in so many images of each class is held out."""
FEWEST = 2
SPLITS = {"train", "test"}
LIKE_SPLITS = {*SPLITS, "val", "valid", "validation", "dev"}


@dataclass(frozen=True)
class Layout:
    """The images in order: those to train on, then those held out.

    Attributes:
        order: which file each image is, int64 (n,).
        n_train: how many of them are to train on.
        classes: the folders' names, sorted, bytes that are no UTF-8 as `\\xe9`; empty where there are none.
        labels: the class of each, int64 (n,); None where there are none.
        given: whether the folders `train` and `test` made the splits.
        outside: files beside those two folders, which are left out.
    """

    order: np.ndarray
    n_train: int
    classes: tuple[str, ...]
    labels: np.ndarray | None
    given: bool
    outside: int

    def keep(self, good: np.ndarray) -> "Layout":
        """The layout of the good images alone; `good` is bool (n,)."""
        labels = None if self.labels is None else self.labels[good]
        n_train = int(good[: self.n_train].sum())
        return Layout(self.order[good], n_train, self.classes, labels, self.given, self.outside)


def arrange(names: Sequence[str], path: Path) -> Layout:
    """Read classes and splits off relative names: `[train/ or test/][class/]...`.

    Raises:
        WorkbenchError: images lie both in class folders and beside them, or there is `train` without `test`.
    """
    tops = {name.partition("/")[0] for name in names if "/" in name}
    given = tops >= SPLITS
    if not given and tops & SPLITS and tops <= LIKE_SPLITS:
        have, lack = sorted(SPLITS & tops)[0], sorted(SPLITS - tops)[0]
        raise WorkbenchError(f"{path} holds images in {have}/ and none in {lack}/: add some, or name {path / have}.")
    order = np.array([i for i, name in enumerate(names) if not given or name.partition("/")[0] in SPLITS], np.int64)
    folders = [sys.intern(_class_of(names[i], given)) for i in order]
    classes = sorted(set(folders) - {""})
    if classes and "" in folders:
        beside = names[order[folders.index("")]]
        raise WorkbenchError(f"{path} holds images both in class folders and beside them, as {beside!r}: move those.")
    place = {name: label for label, name in enumerate(classes or ("",))}
    labels = np.fromiter((place[folder] for folder in folders), np.int64, len(order))
    own = [names[i] for i in order]
    test = np.array([name.startswith("test/") for name in own]) if given else _drawn(own, labels)
    rows = np.concatenate([np.flatnonzero(~test), np.flatnonzero(test)])
    outside = len(names) - len(order)
    shown = tuple(os.fsencode(name).decode("utf-8", "backslashreplace") for name in classes)
    return Layout(order[rows], int((~test).sum()), shown, labels[rows] if classes else None, given, outside)


def check_size(layout: Layout, path: Path) -> None:
    """Raise WorkbenchError unless there are images enough in both splits."""
    n_test = len(layout.order) - layout.n_train
    if min(layout.n_train, n_test) < FEWEST:
        raise WorkbenchError(
            f"{path} is too small: {layout.n_train} images to train on and {n_test} held out; each needs {FEWEST}."
        )


def _class_of(name: str, given: bool) -> str:
    rest = name.partition("/")[2] if given else name
    return rest.partition("/")[0] if "/" in rest else ""


def _drawn(names: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """Which images are held out: of each class a sixth, at least one of two, those whose names' hashes are lowest."""
    first_bytes = (hashlib.sha256(os.fsencode(name)).digest()[:8] for name in names)
    hashes = np.frombuffer(b"".join(first_bytes), ">u8")
    counts = np.bincount(labels)
    quota = np.maximum(counts // HELD_OUT, counts > 1)
    ranked = np.lexsort((hashes, labels))
    rank = np.empty(len(names), np.int64)
    rank[ranked] = np.arange(len(names)) - (np.cumsum(counts) - counts)[labels[ranked]]
    return rank < quota[labels]
