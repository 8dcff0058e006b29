"""Images of the user's own, from a folder or a zip archive: decoded once into a memory map below the data's folder.

<data>/.decoded/
    1a2b3c4d5e6f/          one set, named by the content of its files and the settings
        images.npy         uint8 (n, c, h, w): those to train on, then those held out
        labels.npy         int64 (n,), where there are classes
        names              the file of each image, a zero byte after each
        set.json           what it holds, and hashes of those; the folder appears, whole, by a rename
    1a2b3c4d5e6f.title     what people call it: the name of the folder or the archive, or a given one
    manifests/             what is known of a folder's files from the last time
"""

import statistics
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imagesets._own import chunks, store
from imagesets._own.decode import Wanted, Work, decode, find_by_content, look
from imagesets._own.layout import arrange
from imagesets._own.listing import Listing
from imagesets._own.manifest import Facts, Manifest
from imagesets._own.pixels import DECODING
from imagesets._own.source import list_images, place_of
from imagesets._own.summary import summary
from imagesets._spec import OWN, ImageSet, Spec
from lab import locks
from lab.errors import Say, WorkbenchError
from lab.files import atomic_write, check_plain, read_object, unchanged
from lab.hashing import content_hash

if TYPE_CHECKING:
    import torch

WAITING = "Waiting for another process that decodes these images."


def prepare(name: str, root: Path, wanted: Wanted, title: str | None, say: Say) -> str:
    """Decode `folder:PATH` or `zip:PATH` to below `root`, unless that has been done: `images:KEY`.

    The set is called by the title, or by the name of its folder or archive, from now on.

    Raises:
        UsageError: the path is no folder, or no archive.
        WorkbenchError: a file or folder cannot be read or decoded, the archive changes meanwhile, there are too few
            images, or which of them are held out is not plain.
    """
    kind, path = place_of(name)
    listing, facts = _decoded(kind, path, root, wanted, say)
    own = OwnImages(f"{OWN}{facts.key}", root)
    _call(own.name, root, title or (path.resolve().name if kind == "folder" else path.resolve().stem))
    for line in summary(path / listing.top, own.name, own.SPEC, own.record, listing.left_out, facts):
        say(line)
    return own.name


def _decoded(kind: str, path: Path, root: Path, wanted: Wanted, say: Say) -> tuple[Listing, Facts]:
    """The files of a folder or an archive, and what they became."""
    with ExitStack() as reading:
        if kind == "zip":  # of a folder each file stands for itself
            reading.enter_context(unchanged(path))
        listing = list_images(kind, path, wanted.follow_links)
        identity = content_hash([kind, str(path.resolve()), asdict(wanted), DECODING])
        manifest = Manifest(root / store.FOLDER / "manifests" / f"{identity}.jsonl")
        facts = _known(manifest, listing, root)
        if facts is None:
            manifest.path.parent.mkdir(parents=True, exist_ok=True)
            with locks.held(manifest.path.with_suffix(".lock"), 0, partial(say, WAITING)):
                facts = _known(manifest, listing, root)
                if facts is None:
                    layout = arrange(listing.names, path / listing.top)
                    work = Work(path, listing, layout, root, wanted, say)
                    facts, digests = find_by_content(work, manifest) or decode(work, identity)
                    reading.close()  # what an archive that has changed became is not that of these files
                    manifest.write(facts, listing, digests)
    return listing, facts


def title_of(name: str, root: Path) -> str:
    """What people call the set `images:KEY` below `root`; its name where nobody said."""
    try:
        return _titled(name, root).read_text(encoding="utf-8").strip() or name
    except (OSError, ValueError):
        return name


def _call(name: str, root: Path, title: str) -> None:
    """Note what people call a set, unless that is known: its folder may be another's, who lets it be read.

    Where it cannot be noted anew, it stays as it was. Bytes that are no UTF-8 are written as `\\xe9`.
    """
    title = title.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if title_of(name, root) != title.strip():
        try:
            atomic_write(_titled(name, root), title)
        except OSError:
            if not _titled(name, root).exists():
                raise


def _titled(name: str, root: Path) -> Path:
    return root / store.FOLDER / f"{name.removeprefix(OWN)}.title"


def usual_side(name: str, follow_links: bool) -> int:
    """The median shorter side of some files of `folder:PATH` or `zip:PATH`; errors are those of `prepare`."""
    listing = list_images(*place_of(name), follow_links)
    return statistics.median_low(look(listing, np.arange(len(listing.names)))[0])


class OwnImages:
    """A decoded set, as a module of a registered one looks: `SPEC`, `fingerprint` and `load`."""

    def __init__(self, name: str, root: Path) -> None:
        """Open the set `images:KEY` below `root`.

        Raises:
            WorkbenchError: it is not there, or damaged.
        """
        key = name.removeprefix(OWN)
        self.name, self.folder = name, root / store.FOLDER / key
        try:
            if not key.isalnum():
                raise ValueError("no key")
            self.record: dict[str, Any] = read_object(self.folder / store.RECORD)
            self.SPEC = Spec.parse(self.record["spec"])
            self.hashes: dict[str, list[str]] = self.record["hashes"]
        except Exception as error:  # damaged records raise errors of every kind
            if key.isalnum() and store.is_set(root, key):
                raise WorkbenchError(
                    f"{self.folder / store.RECORD} is damaged: remove {self.folder} to decode anew."
                ) from error
            there = key.isalnum() and self.folder.is_dir()
            what = f"were decoded to {root} by an earlier version" if there else f"are not below {root}"
            raise WorkbenchError(
                f"The decoded images {name} {what}: run the command that names their folder or archive "
                "(folder:PATH or zip:PATH), or name another folder with --data or SNNL_DATA."
            ) from error

    @property
    def given_splits(self) -> bool:
        """Whether the splits are the user's own, and not drawn by a hash of the names."""
        return self.record["splits"] is not None

    def has_files_of(self, other: "OwnImages") -> bool:
        """Whether both are decoded from the same files, of which the same are held out.

        By names alone where an earlier version decoded one of them, which did not tell of the files' content.
        """
        told = [one.record.get("files") for one in (self, other)]
        if None in told:
            told = [[one.hashes[store.NAMES], one.SPEC.n, one.SPEC.classes] for one in (self, other)]
        return bool(told[0] == told[1])

    def fingerprint(self, root: Path) -> str:
        """The name: it holds the key of the content."""
        return self.name

    def load(self, root: Path, split: str, download: bool) -> ImageSet:
        """One split, mapped into memory.

        Raises:
            WorkbenchError: the files are damaged.
        """
        counts, spec = self.SPEC.n, self.SPEC
        n = sum(counts.values())
        part = slice(0, counts["train"]) if split == "train" else slice(counts["train"], n)
        images = self._mapped(store.IMAGES, (n, *spec.shape), part)
        return ImageSet(images, self._mapped(store.LABELS, (n,), part) if spec.classes else None)

    def _mapped(self, file: str, shape: tuple[int, ...], part: slice) -> "torch.Tensor":
        """Rows of an array of that shape, once their bytes are found to be those that were decoded."""
        import torch

        try:
            check_plain(self.folder / file)
            found = np.load(self.folder / file, mmap_mode="c")
            if found.shape != shape:
                raise ValueError(f"shape {found.shape}")
            begin, end = (found.offset + row * found[:1].nbytes for row in (part.start, part.stop))
            chunks.check(self.folder / file, self.hashes[file], begin, end)
        except Exception as error:  # damaged files raise errors of every kind
            raise WorkbenchError(f"{self.folder / file} is damaged: remove {self.folder} to decode anew.") from error
        return torch.from_numpy(found[part])


def _known(manifest: Manifest, listing: Listing, root: Path) -> Facts | None:
    """What these files became, if none has changed since."""
    facts = manifest.facts()
    same = facts is not None and facts.listing == listing.fingerprint and store.is_set(root, facts.key)
    return facts if same else None
