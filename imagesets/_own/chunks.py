"""Hashes of the chunks of a file, so that a part of it can be checked alone, and by several threads at once."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from lab.machine import cores

CHUNK = 1 << 22
"""Bytes of a chunk."""
DIGITS = 32


def hash_chunks(path: Path, numbers: Iterable[int] | None = None) -> list[str]:
    """Hashes of the chunks of a file by number, from 0; of all where none are named. Beyond its end they are empty.

    Raises:
        OSError: it cannot be read.
    """
    if numbers is None:
        numbers = range(-(-path.stat().st_size // CHUNK))

    def hashed(number: int) -> str:
        with path.open("rb") as file:
            file.seek(number * CHUNK)
            return hashlib.sha256(file.read(CHUNK)).hexdigest()[:DIGITS]

    with ThreadPoolExecutor(cores()) as threads:
        return list(threads.map(hashed, numbers))


def check(path: Path, hashes: Iterable[str], begin: int, end: int) -> None:
    """Raise ValueError unless the bytes of a file from `begin` on, to `end`, and those at its head are as they were.

    What was found is remembered in this process for as long as the file is not touched.

    Raises:
        OSError: it cannot be read.
    """
    status = path.stat()
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if not _is_sound(path, tuple(hashes), frozenset({0, *range(begin // CHUNK, -(-end // CHUNK))}), stamp):
        raise ValueError("other bytes than were decoded")


@cache
def _is_sound(path: Path, hashes: tuple[str, ...], numbers: frozenset[int], stamp: tuple[int, ...]) -> bool:
    size = stamp[0]
    if len(hashes) != -(-size // CHUNK):
        return False
    order = sorted(numbers)
    return hash_chunks(path, order) == [hashes[number] for number in order]
