"""What the names of image files say: their classes, and which of them are held out."""

import hashlib
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from imagesets._own import splits
from imagesets._own.classes import one_spelling
from lab.errors import WorkbenchError

HELD_OUT = 6
"""Where no `test` folder is, one in so many images of each class is held out."""
FEWEST = 2
Folders = tuple[str, ...]
"""A folder's path, folder by folder."""


@dataclass(frozen=True)
class Layout:
    """The images in order: those to train on, then those held out.

    Attributes:
        order: which file each image is, int64 (n,).
        n_train: how many of them are to train on.
        classes: the folders' names, sorted, bytes that are no UTF-8 as `\\xe9`; empty where there are none.
        labels: the class of each, int64 (n,); None where there are none.
        splits: the folders that made the splits, what to train on first; None where there are none.
        outside: files beside those two folders, which are left out.
    """

    order: np.ndarray
    n_train: int
    classes: tuple[str, ...]
    labels: np.ndarray | None
    splits: tuple[str, str] | None
    outside: int

    def keep(self, good: np.ndarray) -> "Layout":
        """The layout of the good images alone; `good` is bool (n,)."""
        labels = None if self.labels is None else self.labels[good]
        return replace(self, order=self.order[good], n_train=int(good[: self.n_train].sum()), labels=labels)

    def counts(self) -> dict[str, list[int]]:
        """How many images of each class a split has."""
        if self.labels is None:
            return {"train": [], "test": []}
        parts = {"train": self.labels[: self.n_train], "test": self.labels[self.n_train :]}
        return {split: np.bincount(part, minlength=len(self.classes)).tolist() for split, part in parts.items()}


def arrange(names: Sequence[str], path: Path) -> Layout:
    """Read classes and splits off relative names: `[split/][class/]...`.

    Raises:
        WorkbenchError: images lie both in class folders and beside them, or what is a split is not plain.
    """
    folders = [sys.intern(name.rpartition("/")[0]) for name in names]
    parts = {folder: tuple(folder.split("/")) if folder else () for folder in set(folders)}
    given = splits.find({part[0] for part in parts.values() if part}, path)
    if given:
        parts = {folder: part for folder, part in parts.items() if part and part[0] in given}
        below, held = _below(parts, given), {folder for folder, part in parts.items() if part[0] == given[1]}
    else:
        _check_classes(parts.values(), path)
        below, held = parts, set()
    tops = {folder: part[0] if part else "" for folder, part in below.items()}
    _check_beside(tops, folders, names, path)
    order = np.array([i for i, folder in enumerate(folders) if folder in parts], np.int64)
    own = [folders[i] for i in order]
    classes, numbers = _numbered(tops, held, path)
    labels = np.fromiter((numbers[folder] for folder in own), np.int64, len(own))
    out = np.array([folder in held for folder in own]) if given else _drawn([names[i] for i in order], labels)
    rows = np.concatenate([np.flatnonzero(~out), np.flatnonzero(out)])
    shown = tuple(os.fsencode(name).decode("utf-8", "backslashreplace") for name in classes)
    kept = labels[rows] if classes else None
    return Layout(order[rows], int((~out).sum()), shown, kept, given, len(names) - len(own))


def check_size(layout: Layout, path: Path) -> None:
    """Raise WorkbenchError unless there are images enough in both splits."""
    n_test = len(layout.order) - layout.n_train
    if min(layout.n_train, n_test) < FEWEST:
        raise WorkbenchError(
            f"{path} is too small: {layout.n_train} images to train on and {n_test} held out; each needs {FEWEST}."
        )


def _below(parts: Mapping[str, Folders], given: tuple[str, str]) -> dict[str, Folders]:
    """The folders below the two splits', without those that hold a whole split and are no class.

    That is one called like the split, as in `seg_train/seg_train/cat`, and one that both have, as in
    `train/images/cat`.
    """
    below = {folder: part[1:] for folder, part in parts.items()}
    sides = [[folder for folder, part in parts.items() if part[0] == split] for split in given]
    for split, side in zip(given, sides, strict=True):
        (first, *others) = {below[folder][:1] for folder in side}
        if first and not others and splits.split_name(first[0]) == splits.split_name(split):
            below |= {folder: below[folder][1:] for folder in side}
    if len({part[:1] for part in below.values()}) == 1:
        inner = [{below[folder][1:2] for folder in side} for side in sides]
        if inner[0] == inner[1] and () not in inner[0]:
            return {folder: part[1:] for folder, part in below.items()}
    return below


def _check_classes(parts: Iterable[Folders], path: Path) -> None:
    """Raise WorkbenchError where class folders hold splits, as `cat/train` and `cat/test`."""
    inner: dict[str, set[str]] = {}
    for top, *rest in filter(None, parts):
        inner.setdefault(top, set()).update(folder for folder in rest[:1] if splits.is_plain(folder))
    for top, folders in sorted(inner.items()):
        if len({splits.split_name(folder) for folder in folders}) > 1:
            told = " and ".join(f"{top}/{folder}" for folder in sorted(folders))
            raise WorkbenchError(f"{path} holds splits within class folders ({told}): put train/ and test/ above them.")


def _check_beside(tops: Mapping[str, str], folders: Sequence[str], names: Sequence[str], path: Path) -> None:
    """Raise WorkbenchError where some images lie in class folders and others do not; "" is the top folder of these."""
    if len({bool(top) for top in tops.values()}) > 1:
        beside = next(name for folder, name in zip(folders, names, strict=True) if tops.get(folder) == "")
        raise WorkbenchError(f"{path} holds images both in class folders and beside them, as {beside!r}: move those.")


def _numbered(tops: Mapping[str, str], held: Collection[str], path: Path) -> tuple[list[str], dict[str, int]]:
    """The classes, sorted, and the number of each folder's by its top folder; 0 where there are no classes."""
    train, test = ({top for folder, top in tops.items() if (folder in held) == side} - {""} for side in (False, True))
    spelled = one_spelling(train, test, path)
    classes = sorted(set(spelled.values()))
    number = {name: place for place, name in enumerate(classes)}
    return classes, {folder: number[spelled[top]] if top else 0 for folder, top in tops.items()}


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
