"""Decoding a whole set: to a folder aside, which is given its name, the key of its content, when it is whole."""

import contextlib
import statistics
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from pathlib import Path

import numpy as np

from imagesets._own import parallel, pixels, png, store
from imagesets._own.layout import Layout, check_size
from imagesets._own.listing import Listing
from imagesets._own.manifest import Facts, Manifest, content_key
from imagesets._spec import SIZES, Spec
from lab.errors import Say, WorkbenchError
from lab.pace import paced

SAMPLED = 32
"""Files that are looked at before the decoding: their sides decide the size where none is asked for."""
SHOWN = 10
"""Bad files that are named, at most."""


@dataclass(frozen=True)
class Wanted:
    """How a user's own images are asked for.

    Attributes:
        size: side of the square images; None for the nearest that networks are built for.
        channels: 1 or 3; None for 1 where all files are grey.
        skip_bad: whether to go on without files that cannot be decoded.
        follow_links: whether to take what links of a folder lead to, wherever it is.
        stretch: spread values of 16 bits over 0 to 255: those that are seen, or a range of them.
    """

    size: int | None = None
    channels: int | None = None
    skip_bad: bool = False
    follow_links: bool = False
    stretch: bool | png.Range = False


@dataclass(frozen=True)
class Work:
    """What is to be decoded and how.

    Attributes:
        path: the folder or archive.
        listing: its image files.
        layout: which image is of which file.
        root: the folder of the data.
        wanted: how it is asked for.
        say: is told, in lines, what is done.
    """

    path: Path
    listing: Listing
    layout: Layout
    root: Path
    wanted: Wanted
    say: Say

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
        wanted = self.wanted
        return content_key([pixels.DECODING, wanted.size, wanted.channels, wanted.stretch], names, digests)


@dataclass
class _Decoded:
    """What came of all images: SHA-256 of each file (n, 32), the bad ones' reasons by row, and what `Part` tells."""

    digests: np.ndarray
    bad: dict[int, str] = field(default_factory=dict)
    enlarged: int = 0
    seen: png.Range | None = None
    level: bool = False
    plain: int = 0

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
    alike = [facts for facts in others if facts and facts.images == n and (work.wanted.skip_bad or not facts.skipped)]
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
    same = next((facts for facts in alike if facts.source == source and store.is_set(work.root, facts.key)), None)
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
    size = work.wanted.size or usual
    work.say(f"Decoding {len(work.layout.order):,} images of {work.path} to {size} x {size} pixels.")
    stretch = _range(work)
    with store.aside(work.root, name) as aside:
        guesses = [work.wanted.channels] if work.wanted.channels else [1, 3] if grey else [3]
        attempts = ((channels, _decode_all(work, aside, size, channels, stretch)) for channels in guesses)
        channels, done = next((channels, done) for channels, done in attempts if done is not None)
        _report_bad(work, done.bad)
        kept = work.layout.keep(done.good)
        check_size(kept, work.path)
        names = [work.listing.names[row] for row in kept.order.tolist()]
        digests = done.digests[done.good]
        n = {"train": kept.n_train, "test": len(kept.order) - kept.n_train}
        spec = Spec(channels, size, kept.classes, ("train", "test"), n, stretch if done.seen else None)
        extra = [*([pixels.LEVEL] if done.level else []), *([["stretch", *spec.stretch]] if spec.stretch else [])]
        settings = [pixels.DECODING, size, channels, kept.n_train, *kept.classes, *extra]
        key = content_key(settings, names, digests)
        files = content_key([kept.n_train, *kept.classes], names, digests)
        told = {"splits": kept.splits, "counts": kept.counts(), "copies": _copies(digests, kept.n_train)}
        also = {"enlarged": done.enlarged, "plain": done.plain, "seen": done.seen, "files": files}
        store.write(aside, done.good, kept.labels, names, {"spec": spec.plain(), **told, **also})
        store.give_name(aside, work.root, key)
    digests = np.zeros((len(work.listing.names), done.digests.shape[1]), np.uint8)
    digests[work.layout.order] = done.digests
    source, n_bad = work.source(done.digests), len(done.bad)
    return Facts(work.listing.fingerprint, source, len(done.digests), n_bad, kept.outside, key), digests


def look(listing: Listing, rows: np.ndarray) -> tuple[list[int], bool]:
    """The shorter sides of some of the files in these rows, evenly spread, and whether all of these are grey."""
    some, found = np.linspace(0, len(rows) - 1, min(len(rows), SAMPLED), dtype=int), []
    for address in listing.addresses(np.sort(rows)[some]):
        with contextlib.suppress(Exception):  # a bad file is named when it is decoded
            found.append(pixels.look(listing.reader.read(address)))
    return [side for side, _ in found] or [SIZES[0]], all(grey for _, grey in found)


def _range(work: Work) -> png.Range | None:
    """The values of 16 bits that are spread over 0 to 255, where they are to be."""
    if not isinstance(work.wanted.stretch, bool):
        return work.wanted.stretch
    if not work.wanted.stretch:
        return None
    parts = parallel.parts(work.bytes_each)
    jobs = ((work.listing.addresses(work.layout.order[part]),) for part in parts)
    seen = parallel.run(partial(pixels.range_part, work.listing.reader), jobs, len(parts))
    return reduce(png.union, paced(seen, len(parts), "parts looked through for their values"), None)


def _copies(digests: np.ndarray, n_train: int) -> int:
    """How many held-out files are, byte for byte, files to train on, too; of digests (n, 32)."""
    each = np.ascontiguousarray(digests).view(f"V{digests.shape[1]}")[:, 0]
    return int(np.isin(each[n_train:], each[:n_train]).sum())


def _decode_all(work: Work, aside: Path, size: int, channels: int, stretch: png.Range | None) -> _Decoded | None:
    """Decode every image to `images.npy`; None where colour was met and grey alone was hoped for."""
    n, path = len(work.layout.order), aside / "images.npy"
    offset = np.lib.format.open_memmap(path, "w+", np.uint8, (n, channels, size, size)).offset
    target = pixels.Target(str(path), offset, channels, size, channels == 1 and work.wanted.channels is None, stretch)
    parts = parallel.parts(work.bytes_each)
    jobs = ((work.listing.addresses(work.layout.order[part]), part.start, target) for part in parts)
    results = parallel.run(partial(pixels.decode_part, work.listing.reader), jobs, len(parts))
    done, pace = _Decoded(np.zeros((n, len(pixels.NO_DIGEST)), np.uint8)), paced(range(n), n, "images decoded")
    with contextlib.closing(results):
        for part, found in zip(parts, results, strict=True):
            if found.colour:
                return None
            done.bad |= {part.start + i: reason for i, reason in found.bad.items()}
            if done.bad and not work.wanted.skip_bad:
                raise WorkbenchError(
                    f"{_bad(work, *next(iter(done.bad.items())))} --skip-bad goes on without such files."
                )
            done.enlarged += found.enlarged
            done.seen, done.level = png.union(done.seen, found.seen), done.level or found.level
            done.plain += found.plain
            done.digests[part] = np.frombuffer(b"".join(found.digests), np.uint8).reshape(-1, len(pixels.NO_DIGEST))
            for _ in found.digests:
                next(pace)
    return done


def _bad(work: Work, row: int, reason: str) -> str:
    return f"{str(work.path / work.listing.top / work.name(row))!r} cannot be decoded: {reason}."


def _report_bad(work: Work, bad: dict[int, str]) -> None:
    for row, reason in list(bad.items())[:SHOWN]:
        work.say(f"Left out: {_bad(work, row, reason)}")
    if len(bad) > SHOWN:
        work.say(f"Left out: {len(bad) - SHOWN:,} more that cannot be decoded.")
