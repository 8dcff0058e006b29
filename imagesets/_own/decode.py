"""Decoding a whole set: to a folder aside, which is given its name, the key of its content, when it is whole."""

import contextlib
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from imagesets._own import parallel, pixels
from imagesets._own.layout import Layout, check_size
from imagesets._own.listing import Listing, packed_names
from imagesets._own.manifest import Facts, Manifest, content_key
from imagesets._spec import SIZES, Spec
from lab.errors import WorkbenchError
from lab.files import sync_file, sync_folder, write_json
from lab.pace import paced

FOLDER = ".decoded"
SAMPLED = 32
"""Files that are looked at before the decoding: their sides decide the size where none is asked for."""
SHOWN = 10
"""Bad files that are named, at most."""
BLOCK = 1024


@dataclass(frozen=True)
class Work:
    """What is to be decoded and how.

    Attributes:
        path: the folder or archive.
        listing: its image files.
        layout: which image is of which file.
        root: the folder of the data.
        size: side of the square images; None for the nearest that networks are built for.
        channels: 1 or 3; None for 1 where all files are grey.
        skip_bad: whether to go on without files that cannot be decoded.
        say: is told, in lines, what is done.
    """

    path: Path
    listing: Listing
    layout: Layout
    root: Path
    size: int | None
    channels: int | None
    skip_bad: bool
    say: Callable[[str], None]

    @property
    def bytes_each(self) -> np.ndarray:
        """The size of each image's file, in order."""
        found: np.ndarray = self.listing.stamps[self.layout.order, 0]
        return found

    def name(self, row: int) -> str:
        """The relative name of an image's file."""
        return self.listing.names[self.layout.order[row]]

    def source(self, digests: np.ndarray) -> str:
        """A key of all that was asked for, given the digests (n, 32) of all images' files."""
        names = [self.listing.names[row] for row in self.layout.order.tolist()]
        return content_key([pixels.DECODING, self.size, self.channels], names, digests)


@dataclass
class _Decoded:
    """What came of all images: SHA-256 of each file (n, 32), the bad ones' reasons by row, and how many were small."""

    digests: np.ndarray
    bad: dict[int, str] = field(default_factory=dict)
    enlarged: int = 0

    @property
    def good(self) -> np.ndarray:
        """Which images there are, bool (n,)."""
        good = np.ones(len(self.digests), bool)
        good[list(self.bad)] = False
        return good


def find_by_content(work: Work, manifest: Manifest) -> tuple[Facts, np.ndarray] | None:
    """What is known of the same files elsewhere or at another time, and their digests: they were moved, or touched.

    Files are read for it only where as many images were decoded before, and only those that have changed since.
    """
    n = len(work.layout.order)
    others = [Manifest(path).facts() for path in manifest.path.parent.glob("*.jsonl")]
    alike = [facts for facts in others if facts and facts.images == n and (work.skip_bad or not facts.skipped)]
    if not alike:
        return None
    digests = manifest.digests(work.listing)
    unknown = work.layout.order[~digests[work.layout.order].any(1)]
    parts = parallel.parts(work.listing.stamps[unknown, 0])
    jobs = ((work.listing.addresses(unknown[part]),) for part in parts)
    hashed = parallel.run(partial(pixels.hash_part, work.listing.reader), jobs, len(parts))
    every = paced((digest for part in hashed for digest in part), len(unknown), "files compared")
    for row, digest in zip(unknown, every, strict=True):
        digests[row] = np.frombuffer(digest, np.uint8)
    source = work.source(digests[work.layout.order])
    same = next((facts for facts in alike if facts.source == source and is_set(work.root, facts.key)), None)
    return (replace(same, listing=work.listing.fingerprint, outside=work.layout.outside), digests) if same else None


def decode(work: Work, name: str) -> tuple[Facts, np.ndarray]:
    """Decode all images to a new set: what the files were and became, and their digests.

    `name` is of the folder aside; the caller sees to it that no other process uses it.

    Raises:
        WorkbenchError: there are too few images, or one is bad and bad ones are not to be skipped.
    """
    check_size(work.layout, work.path)
    sides, grey = look(work.listing, work.layout.order)
    usual = max((side for side in SIZES if side <= statistics.median_low(sides)), default=SIZES[0])
    size = work.size or usual
    work.say(f"Decoding {len(work.layout.order):,} images of {work.path} to {size} x {size} pixels.")
    with _aside(work.root / FOLDER, name) as aside:
        guesses = [work.channels] if work.channels else [1, 3] if grey else [3]
        attempts = ((channels, _decode_all(work, aside, size, channels)) for channels in guesses)
        channels, done = next((channels, done) for channels, done in attempts if done is not None)
        _report_bad(work, done.bad)
        kept = work.layout.keep(done.good)
        check_size(kept, work.path)
        names = [work.listing.names[row] for row in kept.order.tolist()]
        settings = [pixels.DECODING, size, channels, kept.n_train, *kept.classes]
        key = content_key(settings, names, done.digests[done.good])
        n = {"train": kept.n_train, "test": len(kept.order) - kept.n_train}
        spec = Spec(channels, size, kept.classes, ("train", "test"), n)
        record = {"spec": spec.plain(), "given_splits": kept.given, "enlarged": done.enlarged}
        _write_set(aside, done.good, kept, names, record)
        _give_name(aside, work.root / FOLDER / key)
    digests = np.zeros((len(work.listing.names), done.digests.shape[1]), np.uint8)
    digests[work.layout.order] = done.digests
    source, n_bad = work.source(done.digests), len(done.bad)
    return Facts(work.listing.fingerprint, source, len(done.digests), n_bad, kept.outside, key), digests


def is_set(root: Path, key: str) -> bool:
    """Whether a set is there."""
    return (root / FOLDER / key / "set.json").is_file()


def look(listing: Listing, rows: np.ndarray) -> tuple[list[int], bool]:
    """The shorter sides of some of the files in these rows, evenly spread, and whether all of these are grey."""
    order = np.sort(rows)
    found = []
    for address in listing.addresses(order[:: max(1, len(order) // SAMPLED)][:SAMPLED]):
        with contextlib.suppress(Exception):  # a bad file is named when it is decoded
            found.append(pixels.look(listing.reader.read(address)))
    return [side for side, _ in found] or [SIZES[0]], all(grey for _, grey in found)


def _decode_all(work: Work, aside: Path, size: int, channels: int) -> _Decoded | None:
    """Decode every image to `images.npy`; None where colour was met and grey alone was hoped for."""
    n, path = len(work.layout.order), aside / "images.npy"
    offset = np.lib.format.open_memmap(path, "w+", np.uint8, (n, channels, size, size)).offset
    target = pixels.Target(str(path), offset, channels, size, channels == 1 and work.channels is None)
    parts = parallel.parts(work.bytes_each)
    jobs = ((work.listing.addresses(work.layout.order[part]), part.start, target) for part in parts)
    results = parallel.run(partial(pixels.decode_part, work.listing.reader), jobs, len(parts))
    done, pace = _Decoded(np.zeros((n, len(pixels.NO_DIGEST)), np.uint8)), paced(range(n), n, "images decoded")
    with contextlib.closing(results):
        for part, found in zip(parts, results, strict=True):
            if found.colour:
                return None
            done.bad |= {part.start + i: reason for i, reason in found.bad.items()}
            if done.bad and not work.skip_bad:
                raise WorkbenchError(
                    f"{_bad(work, *next(iter(done.bad.items())))} --skip-bad goes on without such files."
                )
            done.enlarged += found.enlarged
            done.digests[part] = np.frombuffer(b"".join(found.digests), np.uint8).reshape(-1, len(pixels.NO_DIGEST))
            for _ in found.digests:
                next(pace)
    return done


def _bad(work: Work, row: int, reason: str) -> str:
    return f"{str(work.path / work.name(row))!r} cannot be decoded: {reason}."


def _report_bad(work: Work, bad: dict[int, str]) -> None:
    for row, reason in list(bad.items())[:SHOWN]:
        work.say(f"Left out: {_bad(work, row, reason)}")
    if len(bad) > SHOWN:
        work.say(f"Left out: {len(bad) - SHOWN:,} more that cannot be decoded.")


def _write_set(aside: Path, good: np.ndarray, kept: Layout, names: list[str], record: dict[str, Any]) -> None:
    if not good.all():
        _close_gaps(aside / "images.npy", np.flatnonzero(good))
    if kept.labels is not None:
        np.save(aside / "labels.npy", kept.labels)
    with (aside / "names").open("wb") as file:
        file.writelines(packed_names(names))
    write_json(aside / "set.json", record)
    for path in aside.iterdir():
        sync_file(path)


def _close_gaps(path: Path, rows: np.ndarray) -> None:
    """Keep the images of the given rows alone."""
    old, shorter = np.load(path, mmap_mode="r"), path.with_suffix(".shorter")
    new = np.lib.format.open_memmap(shorter, "w+", np.uint8, (len(rows), *old.shape[1:]))
    for start in range(0, len(rows), BLOCK):
        new[start : start + BLOCK] = old[rows[start : start + BLOCK]]
    new.flush()
    shorter.replace(path)


@contextlib.contextmanager
def _aside(folder: Path, name: str) -> Iterator[Path]:
    """A folder to work in, gone afterwards; what a process that was killed left of it goes first."""
    for left in folder.glob(f".{name}.*"):
        shutil.rmtree(left, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=folder))
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _give_name(aside: Path, folder: Path) -> None:
    """Give a whole set its name; where another process was first, its set is the same."""
    umask = os.umask(0)
    os.umask(umask)
    aside.chmod(0o777 & ~umask)  # temporary folders are closed to others
    try:
        aside.rename(folder)
        sync_folder(folder.parent)
    except OSError:
        if not (folder / "set.json").is_file():
            raise
