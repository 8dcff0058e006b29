"""The image files of a folder or a zip archive: their names, what tells that one has changed, and their bytes."""

import hashlib
import os
import zipfile
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np

from lab.errors import UsageError, WorkbenchError, first_line

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
LARGEST = 1 << 29
"""Bytes of a file, at most: more than any image within Pillow's limit of pixels takes."""
OTHER, HIDDEN, LINK, UNSAFE, INNER = "of another kind", "hidden", "linked from outside", "with unsafe names", "a folder"
ENCRYPTED = 1
BLOCK = 4096


class Reader(Protocol):
    """Reads a file's bytes by its address; it can be sent to another process."""

    def read(self, address: Any) -> bytes:
        """The bytes; raises an exception of any kind where they cannot be had."""


@dataclass(frozen=True)
class Listing:
    """The image files, in order of their names.

    Attributes:
        names: relative, with `/` between folders.
        stamps: int64 (n, 2), bytes and time of change, in an archive the CRC: another stamp means other content.
        left_out: how many files are not among them, by reason.
        reader: reads them.
        places: in an archive, int64 (n, 3): where a member begins, its packed bytes, and how it is packed.
    """

    names: list[str]
    stamps: np.ndarray
    left_out: Counter[str]
    reader: Reader
    places: np.ndarray | None = None

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
            return [self.names[row] for row in rows.tolist()]
        return np.hstack([self.places[rows], self.stamps[rows]]).tolist()


def list_images(kind: str, path: Path) -> Listing:
    """The image files of a `folder` or a `zip`.

    Raises:
        UsageError: the path is no folder, or no zip archive.
        WorkbenchError: it cannot be read, is encrypted, or holds no image file.
    """
    with _readable(kind, path):
        found = _list_folder(path) if kind == "folder" else _list_zip(path)
    if not found.names:
        aside = f" ({counted(found.left_out)} left out)" if found.left_out else ""
        raise WorkbenchError(f"{path} holds no image files{aside}; they end in {', '.join(SUFFIXES)}.")
    return found


def read_file(path: str | Path) -> bytes:
    """The bytes of a file; raises an exception of any kind where they cannot be had, or are too many."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (three times as fast)
        if os.fstat(file.fileno()).st_size > LARGEST:
            raise ValueError(f"larger than {LARGEST >> 20} MiB")
        return file.read()


def packed_names(names: Sequence[str]) -> Iterator[bytes]:
    """The names as bytes, a zero byte after each, some at a time."""
    for start in range(0, len(names), BLOCK):
        yield os.fsencode("\0".join(names[start : start + BLOCK]) + "\0")


def counted(left_out: Counter[str]) -> str:
    """`3 hidden, 1 of another kind`."""
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(left_out.items()))


@contextmanager
def _readable(kind: str, path: Path) -> Iterator[None]:
    there = path.is_dir() if kind == "folder" else path.is_file()
    if not there:
        raise UsageError(f"{path} is no {'folder' if kind == 'folder' else 'file'}; {kind}:PATH names one with images.")
    try:
        yield
    except zipfile.BadZipFile as error:
        raise UsageError(f"{path} is no zip archive, or a damaged one ({first_line(error)}).") from error
    except OSError as error:
        raise WorkbenchError(f"{error.filename or path} cannot be read: {error.strerror or error}.") from error


@dataclass(frozen=True)
class _FolderReader:
    root: str

    def read(self, address: Any) -> bytes:
        return read_file(f"{self.root}/{address}")


@dataclass(frozen=True)
class _ZipReader:
    """Reads a member without the archive's directory, which would be in memory once a process."""

    path: str

    def read(self, address: Any) -> bytes:
        begin, packed, method, size, crc = address
        if max(size, packed) > LARGEST:
            raise ValueError(f"larger than {LARGEST >> 20} MiB")
        with open(self.path, "rb") as file:  # noqa: PTH123
            file.seek(begin)
            header = file.read(30)
            file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
            data = file.read(packed)
        if method == zipfile.ZIP_DEFLATED:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
        if header[:4] != b"PK\3\4" or len(data) != size or zlib.crc32(data) != crc:
            raise ValueError("damaged in the archive")
        return data


def _list_folder(root: Path) -> Listing:
    root = root.resolve()
    names, stamps, left_out, waiting = [], array("q"), Counter[str](), [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(root / prefix) as entries:
            for entry in entries:
                name = entry.name
                reason = _reason(entry, name, root)
                if reason is None:
                    status = entry.stat()
                    names.append(prefix + name)
                    stamps.extend((status.st_size, status.st_mtime_ns))
                elif reason == INNER:
                    waiting.append(f"{prefix}{name}/")
                else:
                    left_out[reason] += 1
    order = sorted(range(len(names)), key=names.__getitem__)
    table = np.frombuffer(stamps, np.int64).reshape(-1, 2)[order]
    return Listing([names[row] for row in order], table, left_out, _FolderReader(str(root)))


def _reason(entry: "os.DirEntry[str]", name: str, root: Path) -> str | None:
    """Why an entry of a folder is no image file to take; None for one that is."""
    if name.startswith("."):
        return HIDDEN
    if entry.is_symlink() and not _stays(entry.path, root):
        return LINK
    if name.lower().endswith(SUFFIXES) and entry.is_file():
        return None
    return INNER if entry.is_dir() else OTHER


def _stays(link: str, root: Path) -> bool:
    """Whether a link leads to a file below the root; a folder could lead around in a circle."""
    target = Path(os.path.realpath(link))
    return target.is_file() and target.is_relative_to(root)


def _list_zip(path: Path) -> Listing:
    left_out = Counter[str]()
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.NameToInfo.values() if not info.is_dir()]
    kept = []
    for info in members:
        reason = _member_reason(info.filename)
        if reason:
            left_out[reason] += 1
        else:
            _check_packing(info, path)
            kept.append(info)
    kept.sort(key=lambda info: info.filename)
    stamps = np.array([(info.file_size, info.CRC) for info in kept], np.int64).reshape(-1, 2)
    places = [(info.header_offset, info.compress_size, info.compress_type) for info in kept]
    names = _below_the_one_folder([info.filename for info in kept])
    return Listing(names, stamps, left_out, _ZipReader(str(path.resolve())), np.array(places, np.int64).reshape(-1, 3))


def _member_reason(name: str) -> str | None:
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\\" in name or ":" in name.partition("/")[0]:
        return UNSAFE
    if any(part.startswith(".") for part in parts):
        return HIDDEN
    return None if name.lower().endswith(SUFFIXES) else OTHER


def _check_packing(info: zipfile.ZipInfo, path: Path) -> None:
    if info.flag_bits & ENCRYPTED:
        raise WorkbenchError(f"{path} is encrypted ({info.filename!r}): unpack it and name the folder, folder:PATH.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise WorkbenchError(
            f"{path} packs {info.filename!r} by method {info.compress_type}; only stored and deflated files are read: "
            "unpack it and name the folder, folder:PATH."
        )


def _below_the_one_folder(names: list[str]) -> list[str]:
    """The names without the one folder that holds everything, as most archives of a folder have it."""
    top = {name.partition("/")[0] if "/" in name else "" for name in names}
    if len(top) != 1 or "" in top:
        return names
    return [name.partition("/")[2] for name in names]
