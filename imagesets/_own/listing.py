"""A list of image files, of a folder or an archive: their names, what tells that one has changed, and their bytes."""

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
LARGEST = 1 << 29
"""Bytes of a file, at most: more than any image within Pillow's limit of pixels takes."""
OTHER, HIDDEN, SYSTEM = "of another kind", "hidden", "of a system (thumbnails, bins)"
OUTSIDE, INSIDE, BROKEN = "linked from outside", "linked to a folder", "linked to nothing"
LINKED = {OUTSIDE, INSIDE}
"""What is left out and is taken where links are followed."""
SYSTEM_FOLDERS = {
    *("@eadir", "@tmp", "#recycle", "#snapshot"),  # Synology
    *("@recycle", "@recently-snapshot"),  # QNAP
    *("__macosx", "$recycle.bin", "system volume information", "lost+found"),
}
"""Folders that systems and NAS devices keep beside a user's own, in lower case."""
BLOCK = 4096


class Reader(Protocol):
    """Reads a file's bytes by its address; it can be sent to another process."""

    def read(self, address: Any) -> bytes:
        """The bytes; raises an exception of any kind where they cannot be had."""


@dataclass(frozen=True)
class Listing:
    """The image files, in order of their names.

    Attributes:
        names: relative to `top`, with `/` between folders.
        stamps: int64 (n, c): bytes and times of change, in an archive the CRC: another stamp means other content.
        left_out: how many files are not among them, by reason.
        reader: reads them.
        places: in an archive, int64 (n, 3): where a member begins, its packed bytes, and how it is packed.
        top: the folder below the given one that holds everything, with its slash, or nothing.
    """

    names: list[str]
    stamps: np.ndarray
    left_out: Counter[str]
    reader: Reader
    places: np.ndarray | None = None
    top: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all names and stamps."""
        found = hashlib.sha256(self.stamps.tobytes())
        for packed in packed_names(self.names):
            found.update(packed)
        return found.hexdigest()

    def addresses(self, rows: np.ndarray) -> list[Any]:
        """What the reader takes, of some of the files."""
        if self.places is None:
            return [self.top + self.names[row] for row in rows.tolist()]
        return np.hstack([self.places[rows], self.stamps[rows]]).tolist()


def read_file(path: str | Path) -> bytes:
    """The bytes of a file; raises an exception of any kind where they cannot be had, or are too many."""
    with open(path, "rb", buffering=0, opener=at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("no regular file")
        if status.st_size > LARGEST:
            raise ValueError(f"larger than {LARGEST >> 20} MiB")
        return file.read()


def is_image(name: str) -> bool:
    """Whether a file is taken for an image by its ending."""
    return name.lower().endswith(SUFFIXES)


def packed_names(names: Sequence[str]) -> Iterator[bytes]:
    """The names as bytes, a zero byte after each, some at a time."""
    for start in range(0, len(names), BLOCK):
        yield os.fsencode("\0".join(names[start : start + BLOCK]) + "\0")


def counted(left_out: Counter[str]) -> str:
    """`3 hidden, 1 of another kind`."""
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(left_out.items()))


def at_once(path: str, flags: int) -> int:
    """Open a file without waiting for one who writes, as a pipe would."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
