"""Images of the user's own, from a folder or a zip archive: decoded once into a memory map below the data's folder.

<data>/.decoded/
    1a2b3c4d5e6f/          one set, named by the content of its files and the settings
        images.npy         uint8 (n, c, h, w): those to train on, then those held out
        labels.npy         int64 (n,), where there are classes
        names              the file of each image, a zero byte after each
        set.json           what it holds; the folder appears, whole, by a rename
    manifests/             what is known of a folder's files from the last time
"""

import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imagesets._own.decode import FOLDER, Work, decode, find_by_content, is_set, look
from imagesets._own.layout import arrange
from imagesets._own.listing import Listing, counted, list_images
from imagesets._own.manifest import Facts, Manifest
from imagesets._own.pixels import DECODING
from imagesets._spec import OWN, ImageSet, Spec
from lab import locks
from lab.errors import WorkbenchError
from lab.hashing import content_hash

if TYPE_CHECKING:
    import torch

WAITING = "Waiting for another process that decodes these images."


def prepare(
    name: str, root: Path, *, size: int | None, channels: int | None, skip_bad: bool, say: Callable[[str], None]
) -> str:
    """Decode `folder:PATH` or `zip:PATH` to below `root`, unless that has been done: `images:KEY`.

    Raises:
        UsageError: the path is no folder, or no archive.
        WorkbenchError: a file or folder cannot be read or decoded, or there are too few images.
    """
    kind, _, given = name.partition(":")
    path = Path(given).expanduser()
    listing = list_images(kind, path)
    identity = content_hash([kind, str(path.resolve()), size, channels, skip_bad, DECODING])
    manifest = Manifest(root / FOLDER / "manifests" / f"{identity}.jsonl")
    facts = _known(manifest, listing, root)
    if facts is None:
        manifest.path.parent.mkdir(parents=True, exist_ok=True)
        with locks.held(manifest.path.with_suffix(".lock"), 0, partial(say, WAITING)):
            facts = _known(manifest, listing, root)
            if facts is None:
                layout = arrange(listing.names, path)
                work = Work(path, listing, layout, root, size, channels, skip_bad, say)
                facts, digests = find_by_content(work, manifest) or decode(work, identity)
                manifest.write(facts, listing, digests)
    own = OwnImages(f"{OWN}{facts.key}", root)
    say(f"{path} is {_summary(own, listing, facts)}")
    return own.name


def usual_side(name: str) -> int:
    """The median shorter side of some files of `folder:PATH` or `zip:PATH`; errors are those of `prepare`."""
    kind, _, given = name.partition(":")
    listing = list_images(kind, Path(given).expanduser())
    return statistics.median_low(look(listing, np.arange(len(listing.names)))[0])


class OwnImages:
    """A decoded set, as a module of a registered one looks: `SPEC`, `fingerprint` and `load`."""

    def __init__(self, name: str, root: Path) -> None:
        """Open the set `images:KEY` below `root`.

        Raises:
            WorkbenchError: it is not there, or damaged.
        """
        self.name, self.folder = name, root / FOLDER / name.removeprefix(OWN)
        try:
            if not name.removeprefix(OWN).isalnum():
                raise ValueError("no key")
            self.record: dict[str, Any] = json.loads((self.folder / "set.json").read_text(encoding="utf-8"))
            self.SPEC = Spec.parse(self.record["spec"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            if self.folder.parent == root / FOLDER and is_set(root, self.folder.name):
                raise WorkbenchError(
                    f"{self.folder / 'set.json'} is damaged: remove {self.folder} to decode anew."
                ) from error
            raise WorkbenchError(
                f"The decoded images {name} are not below {root}: run the command that names their folder or archive "
                "(folder:PATH or zip:PATH), or name another folder with --data or SNNL_DATA."
            ) from error

    @property
    def given_splits(self) -> bool:
        """Whether the splits are the user's own, and not drawn by a hash of the names."""
        return bool(self.record["given_splits"])

    def fingerprint(self, root: Path) -> str:
        """The name: it holds the key of the content."""
        return self.name

    def load(self, root: Path, split: str, download: bool) -> ImageSet:
        """One split, mapped into memory.

        Raises:
            WorkbenchError: the files are damaged.
        """
        counts = self.SPEC.n
        part = slice(0, counts["train"]) if split == "train" else slice(counts["train"], None)
        shape = (sum(counts.values()), self.SPEC.channels, self.SPEC.size, self.SPEC.size)
        images = self._mapped("images.npy", shape)[part]
        return ImageSet(images, self._mapped("labels.npy", shape[:1])[part] if self.SPEC.classes else None)

    def _mapped(self, file: str, shape: tuple[int, ...]) -> "torch.Tensor":
        import torch

        try:
            found = np.load(self.folder / file, mmap_mode="c")
            if found.shape != shape:
                raise ValueError(f"shape {found.shape}")
        except (OSError, ValueError) as error:
            raise WorkbenchError(f"{self.folder / file} is damaged: remove {self.folder} to decode anew.") from error
        return torch.from_numpy(found)


def _known(manifest: Manifest, listing: Listing, root: Path) -> Facts | None:
    """What these files became, if none has changed since."""
    facts = manifest.facts()
    unchanged = facts is not None and facts.listing == listing.fingerprint and is_set(root, facts.key)
    return facts if unchanged else None


def _summary(own: OwnImages, listing: Listing, facts: Facts) -> str:
    spec, record = own.SPEC, own.record
    how = "as train/ and test/ say" if record["given_splits"] else "one in six, by a hash of the name"
    enlarged = f" ({record['enlarged']:,} enlarged)" if record["enlarged"] else ""
    parts = [
        f"{spec.n['train']:,} to train on and {spec.n['test']:,} held out ({how})",
        f"{len(spec.classes):,} classes" if spec.classes else "no classes",
        f"{spec.size} x {spec.size} pixels{enlarged}",
        "grey" if spec.channels == 1 else "colour",
    ]
    left_out = listing.left_out.copy()
    left_out.update({"beside train/ and test/": facts.outside, "not to be decoded": facts.skipped})
    without = f" Left out: {counted(+left_out)}." if +left_out else ""
    return f"{own.name}: {', '.join(parts)}.{without}"
