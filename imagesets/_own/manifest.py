"""What is known of a folder's files from the last time, so that unchanged ones are not read again."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imagesets._own.listing import BLOCK, Listing, packed_names
from imagesets._own.pixels import NO_DIGEST
from lab.files import check_plain, replacing


@dataclass(frozen=True)
class Facts:
    """What a folder's files were and became.

    Attributes:
        listing: the fingerprint of their names and stamps.
        source: the key of their names and content, and of what was asked for.
        images: how many there were to decode.
        skipped: how many of them could not be.
        outside: how many files lay beside the folders `train` and `test`.
        key: of the set that they became.
    """

    listing: str
    source: str
    images: int
    skipped: int
    outside: int
    key: str


class Manifest:
    """One file: a line of facts about all files, `Facts`, then lines with some files each."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def facts(self) -> Facts | None:
        """What the first line says; None where there is none."""
        try:
            return Facts(**next(self._lines(), {}))
        except TypeError:
            return None

    def digests(self, listing: Listing) -> np.ndarray:
        """The digests, uint8 (n, 32), of the files that have not changed since; zeros for the others."""
        found = np.zeros((len(listing.names), len(NO_DIGEST)), np.uint8)
        files = self._files()
        with suppress(TypeError, ValueError, LookupError):  # damaged: of what follows nothing is known
            known = next(files, None)
            for row, name in enumerate(listing.names):  # both are in order of the names
                while known and known[0] < name:
                    known = next(files, None)
                if known and known[0] == name and known[1] == listing.stamps[row].tolist():
                    found[row] = np.frombuffer(known[2], np.uint8)
        return found

    def write(self, facts: Facts, listing: Listing, digests: np.ndarray) -> None:
        """Remember the facts, the files, and their digests (n, 32)."""
        with replacing(self.path) as aside, aside.open("w", encoding="ascii") as file:
            file.write(json.dumps(asdict(facts)) + "\n")
            for start in range(0, len(listing.names), BLOCK):
                block = slice(start, start + BLOCK)
                line = [listing.names[block], listing.stamps[block].tolist(), digests[block].tobytes().hex()]
                file.write(json.dumps(line) + "\n")

    def _files(self) -> Iterator[tuple[str, list[int], bytes]]:
        lines = self._lines()
        next(lines, None)
        for names, stamps, digests in lines:
            each = len(NO_DIGEST)
            for i, name in enumerate(names):
                yield name, stamps[i], bytes.fromhex(digests[2 * each * i : 2 * each * (i + 1)])

    def _lines(self) -> Iterator[Any]:
        try:
            check_plain(self.path)
            with self.path.open(encoding="ascii") as file:
                for line in file:
                    yield json.loads(line)
        except (OSError, ValueError, RecursionError):  # none there, or damaged: then nothing is known
            return


def content_key(settings: Iterable[object], names: Sequence[str], digests: np.ndarray) -> str:
    """A key (12 hexadecimal digits) of settings and of files, their names and their digests (n, 32), in order."""
    found = hashlib.sha256(json.dumps([*settings, len(names)]).encode())
    for packed in packed_names(names):
        found.update(packed)
    found.update(digests.tobytes())
    return found.hexdigest()[:12]
