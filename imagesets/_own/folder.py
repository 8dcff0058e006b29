"""The image files of a folder, and of the folders in it."""

import os
import time
from array import array
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imagesets._own.listing import (
    BROKEN,
    HIDDEN,
    INSIDE,
    OTHER,
    OUTSIDE,
    SYSTEM,
    SYSTEM_FOLDERS,
    Listing,
    is_image,
    read_file,
)
from lab.pace import looking

SECOND = 10**9
IMAGE, INNER, CIRCLE = "", "a folder", "linked in a circle"
STAMPS = 3
Place = tuple[int, int]
"""Device and number of a folder."""


@dataclass(frozen=True)
class FolderReader:
    """Reads a file by its name relative to the root."""

    root: str

    def read(self, address: Any) -> bytes:
        """The bytes of a file."""
        return read_file(f"{self.root}/{address}")


def list_folder(root: Path, follow_links: bool) -> Listing:
    """The image files; each has its bytes, and the times at which its content and its name or owner were changed. On
    stderr, every few seconds, a line tells how many files were looked at.

    Raises:
        OSError: a folder cannot be read.
    """
    root = root.resolve()
    names, stamps, left_out = [], array("q"), Counter[str]()
    looked = looking(f"Looking for images in {root}")
    waiting: list[tuple[str, frozenset[Place]]] = [("", frozenset([_place(root.stat())]))]
    while waiting:
        prefix, within = waiting.pop()
        with os.scandir(root / prefix) as entries:
            for entry in entries:
                looked()
                what = _what(entry, root, follow_links)
                if what == IMAGE:
                    status = entry.stat()
                    names.append(prefix + entry.name)
                    stamps.extend((status.st_size, status.st_mtime_ns, status.st_ctime_ns))
                elif what != INNER:
                    left_out[what] += 1
                elif not follow_links:
                    waiting.append((f"{prefix}{entry.name}/", within))
                elif (place := _place(Path(entry.path).stat())) in within:
                    left_out[CIRCLE] += 1
                else:
                    waiting.append((f"{prefix}{entry.name}/", within | {place}))
    order = sorted(range(len(names)), key=names.__getitem__)
    table = np.frombuffer(stamps, np.int64).reshape(-1, STAMPS)[order]
    table = without_young(table, time.time_ns())
    return Listing([names[row] for row in order], table, left_out, FolderReader(str(root)))


def without_young(stamps: np.ndarray, now: int) -> np.ndarray:
    """The stamps, int64 (n, 3), with the time `now` in those that would be the same if the file were changed at once.

    Some disks, as of cameras and of other machines, tell times by the second or two, so that a file that was written
    just now may be written again and have the same ones; with `now`, it is looked at again the next time.
    """
    times = stamps[:, 1:]
    young = (times % SECOND == 0).all(1) & (times.max(1, initial=0) > now - 2 * SECOND)
    return np.where(young[:, None] & (np.arange(STAMPS) == STAMPS - 1), now, stamps)


def _what(entry: "os.DirEntry[str]", root: Path, follow_links: bool) -> str:
    """IMAGE, INNER, or why an entry of a folder is left out."""
    if entry.name.startswith("."):
        return HIDDEN
    if entry.is_symlink():
        target = Path(os.path.realpath(entry.path))
        if not target.exists():
            return BROKEN
        if not follow_links and not target.is_relative_to(root):
            return OUTSIDE
        if not follow_links and target.is_dir():
            return INSIDE  # what is in it is taken where it is
    if entry.is_dir():
        return SYSTEM if entry.name.lower() in SYSTEM_FOLDERS else INNER
    return IMAGE if is_image(entry.name) and entry.is_file() else OTHER


def _place(status: os.stat_result) -> Place:
    return status.st_dev, status.st_ino
