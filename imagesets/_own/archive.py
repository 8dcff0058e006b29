"""The image files of a zip archive, read in it: nothing is unpacked to disk."""

import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from imagesets._own.listing import HIDDEN, LARGEST, OTHER, SYSTEM, SYSTEM_FOLDERS, Listing, at_once, is_image
from lab.config import LARGEST_WHOLE
from lab.errors import WorkbenchError, first_line

UNSAFE, LINK = "with unsafe names", "linked"
ENCRYPTED, UTF8 = 0x1, 0x800
"""Bits of a member's flags."""


@dataclass(frozen=True)
class ArchiveReader:
    """Reads a member without the archive's directory, which would be in memory once a process."""

    path: str

    def read(self, address: Any) -> bytes:
        """The bytes of a member, by where it begins, its packed bytes, its packing, its bytes and their CRC."""
        begin, packed, method, size, crc = address
        if max(size, packed) > LARGEST:
            raise ValueError(f"larger than {LARGEST >> 20} MiB")
        with open(self.path, "rb", opener=at_once) as file:
            file.seek(begin)
            header = file.read(30)
            file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
            data = file.read(packed)
        if method == zipfile.ZIP_DEFLATED:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
        if header[:4] != b"PK\3\4" or len(data) != size or zlib.crc32(data) != crc:
            raise ValueError("damaged in the archive")
        return data


def list_archive(path: Path) -> Listing:
    """The image files of an archive; each has its bytes, and their CRC.

    Raises:
        zipfile.BadZipFile: it is no zip archive.
        WorkbenchError: a member is encrypted, or packed in another way than stored or deflated.
    """
    left_out, kept = Counter[str](), {}
    for name, info in _members(path):
        reason = _reason(name, info)
        if reason:
            left_out[reason] += 1
        else:
            _check_packing(info, path)
            kept[PurePosixPath(name).as_posix()] = info
    names = sorted(kept)
    found = [kept[name] for name in names]
    stamps = np.array([(info.file_size, info.CRC) for info in found], np.int64).reshape(-1, 2)
    places = [(info.header_offset, info.compress_size, info.compress_type) for info in found]
    reader = ArchiveReader(str(path.resolve()))
    return Listing(names, stamps, left_out, reader, np.array(places, np.int64).reshape(-1, 3))


def _members(path: Path) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """Each file of an archive, the last of a name, by its name with `/` between folders, as Windows may not write it.

    Names that are UTF-8 without saying so, as macOS writes them, are read as that.

    Raises:
        zipfile.BadZipFile: it is no zip archive, or a damaged one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = list(archive.NameToInfo.values())
    except (OSError, MemoryError):
        raise
    except Exception as error:  # damaged archives raise errors of every kind
        raise zipfile.BadZipFile(first_line(error)) from error
    for info in members:
        name = info.filename
        if max(info.file_size, info.compress_size, info.header_offset) > LARGEST_WHOLE:
            raise zipfile.BadZipFile(f"{name!r} would be of more bytes than any disk has")
        if not info.flag_bits & UTF8:
            with suppress(UnicodeError):
                name = name.encode("cp437").decode("utf-8")
        name = name.replace("\\", "/")
        if not name.endswith("/"):
            yield name, info


def _reason(name: str, info: zipfile.ZipInfo) -> str | None:
    """Why a member is no image file to take; None for one that is."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or ":" in name.partition("/")[0]:
        return UNSAFE
    if any(part.startswith(".") for part in parts):
        return HIDDEN
    if any(part.lower() in SYSTEM_FOLDERS for part in parts[:-1]):
        return SYSTEM
    if stat.S_ISLNK(info.external_attr >> 16):
        return LINK
    return None if is_image(name) else OTHER


def _check_packing(info: zipfile.ZipInfo, path: Path) -> None:
    if info.flag_bits & ENCRYPTED:
        raise WorkbenchError(f"{path} is encrypted ({info.filename!r}): unpack it and name the folder, folder:PATH.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise WorkbenchError(
            f"{path} packs {info.filename!r} by method {info.compress_type}; only stored and deflated files are read: "
            "unpack it and name the folder, folder:PATH."
        )
