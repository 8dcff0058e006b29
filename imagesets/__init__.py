"""Image sets, one file each; what they are and how to come by them stands here. Free of torch until images are loaded.

`load` gives a split as uint8; `spec` tells what a set holds, and `fingerprint` identifies its bytes, without loading;
`settle` decodes a user's own images, and `decode` some files alone.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from imagesets._spec import OWN
from imagesets._spec import SIZES as SIZES
from imagesets._spec import ImageSet as ImageSet
from imagesets._spec import Spec as Spec
from imagesets._spec import in_words as in_words
from imagesets._spec import to_float as to_float
from imagesets._spec import to_uint8 as to_uint8
from lab import registry
from lab.errors import Say, UsageError, WorkbenchError, check_known, first_line
from lab.files import astray, expanded

if TYPE_CHECKING:
    from torch import Tensor

SOURCES = ("folder:", "zip:")
DIGITS = 6
"""Of a key, enough to tell image sets of one name apart."""


def data_root(given: Path | None) -> Path:
    """The folder of the data: the given one, else that of the variable SNNL_DATA, else `data`.

    Raises:
        UsageError: it is a file, or a link on the way to it leads nowhere.
    """
    root = given or expanded(os.environ.get("SNNL_DATA") or "data")
    if why := f"{str(root)!r} is a file." if root.is_file() else astray(root):
        raise UsageError(f"{why} Name the folder of the data with --data or SNNL_DATA.")
    return root


def check(name: str) -> str:
    """The name, if it is an image set's or looks like a user's own.

    Raises:
        UsageError: it is neither; the message tells the nearest known name, or how to name a folder or an archive.
    """
    if not name:
        raise UsageError("No image set is named: list imagesets tells which there are.")
    if name in SOURCES:
        raise UsageError(f"{name} names no place; write {name}PATH for the images in PATH.")
    if name.startswith((*SOURCES, OWN)):
        return name
    try:
        return registry.check("imagesets", name)
    except UsageError as unknown:
        source = _kind_of(expanded(name))
        if source is None:
            raise
        raise UsageError(f"{name} is no image set's name; write {source}:{name} for the images in it.") from unknown


def _kind_of(path: Path) -> str | None:
    """Whether a path is a `folder`, or one of a `zip` archive; None for what is neither, or cannot be looked at."""
    if os.path.isdir(path):  # noqa: PTH112 (that of Path raises an error for what is too long, or closed)
        return "folder"
    return "zip" if os.path.isfile(path) and path.suffix.lower() == ".zip" else None  # noqa: PTH113


Name = Annotated[str, AfterValidator(check)]
"""An image set's name, in settings."""


def settle(
    name: str,
    root: Path,
    *,
    size: int | None = None,
    channels: int | None = None,
    skip_bad: bool = False,
    follow_links: bool = False,
    stretch: bool | tuple[int, int] = False,
    title: str | None = None,
    say: Say = lambda text: None,
) -> str:
    """The name by which cells know an image set: `folder:PATH` and `zip:PATH` are decoded and become `images:KEY`.

    The key is that of the files' content and of the settings, not of their place.

    Args:
        name: of an image set.
        root: the folder of the data; decoded images are kept below it.
        size: side in pixels of the decoded images; None for the nearest that networks are built for.
        channels: 1 or 3; None for 1 where all files are grey.
        skip_bad: go on without files that cannot be decoded.
        follow_links: take what links of a folder lead to, wherever it is.
        stretch: spread values of 16 bits over 0 to 255: those that are seen, or those from a lowest to a highest one.
        title: what reports call it; None for the name of the folder or the archive.
        say: is told, in lines, what is decoded.

    Raises:
        UsageError: an unknown name, or another size or number of channels than a fixed image set has.
        WorkbenchError: a file cannot be read or decoded, there are too few images, or it is not plain which are held
            out.
    """
    check(name)
    if follow_links and not name.startswith("folder:"):
        raise UsageError(f"--follow-links is for folder:PATH, not for {name}.")
    if name.startswith(SOURCES):
        from imagesets._own.decode import Wanted
        from imagesets._own.sets import prepare

        return prepare(name, root, Wanted(size, channels, skip_bad, follow_links, stretch), title, say)
    own = spec(name, root)
    for option, asked, has in (("size", size, own.size), ("channels", channels, own.channels)):
        if asked not in (None, has):
            raise UsageError(f"{name} has {option} {has}; --{option} {asked} is for folder:PATH and zip:PATH.")
    for flag, given in (("skip-bad", skip_bad), ("stretch", stretch), ("name", title)):
        if given:
            raise UsageError(f"--{flag} is for folder:PATH and zip:PATH, not for {name}.")
    return name


def spec(name: str, root: Path) -> Spec:
    """What the image set `name` holds, without loading it; a user's own one is looked for below `root`.

    Raises:
        UsageError: the name is unknown.
        WorkbenchError: a user's own set is not below `root`.
    """
    found: Spec = _source(name, root).SPEC
    return found


def titles(names: Sequence[str], root: Path) -> dict[str, str]:
    """What reports call a user's own image sets among these: by their folders' names, or by those they were given.

    Several of one name, or one that is called as another image set, have some digits of the key behind it.
    """
    from imagesets._own.sets import title_of

    called = {name: title_of(name, root) for name in names if name.startswith(OWN)}
    taken = Counter([*called.values(), *(entry.name for entry in registry.entries("imagesets"))])
    return {
        name: title if taken[title] == 1 else f"{title} ({name.removeprefix(OWN)[:DIGITS]})"
        for name, title in called.items()
    }


def has_given_splits(name: str, root: Path) -> bool:
    """Whether the splits of an image set came with it, and were not drawn here."""
    return bool(getattr(_source(name, root), "given_splits", True))


def same_files(one: str, other: str, root: Path) -> bool:
    """Whether two image sets are of the same files, of which the same are held out, in whatever size they are decoded.

    Raises:
        UsageError: a name is unknown.
        WorkbenchError: a user's own set is not below `root`.
    """
    if one == other or not (one.startswith(OWN) and other.startswith(OWN)):
        return one == other
    return bool(_source(one, root).has_files_of(_source(other, root)))


def usual_side(name: str, follow_links: bool = False) -> int:
    """The median shorter side, in pixels, of some files of `folder:PATH` or `zip:PATH`; links lead where `settle` says.

    Raises:
        UsageError: the path is no folder, or no archive.
        WorkbenchError: it cannot be read, or holds no image files.
    """
    from imagesets._own.sets import usual_side

    return usual_side(check(name), follow_links)


def recorded_spec(name: str, root: Path) -> Spec | None:
    """What a cell's settings say of an image set beside its name: nothing of one of this folder."""
    return spec(name, root) if name.startswith(OWN) else None


def fingerprint(name: str, root: Path) -> str:
    """A text that identifies the bytes of the images: part of the identity of every cell that reads them.

    Raises:
        UsageError: the name is unknown.
        WorkbenchError: a user's own set is not below `root`.
    """
    return str(_source(name, root).fingerprint(root))


def counts(name: str, split: str, root: Path) -> list[int]:
    """How many images of each class a user's own set has in a split; of others nothing is known without their data.

    Raises:
        UsageError: the name is unknown.
        WorkbenchError: a user's own set is not below `root`.
    """
    found: list[int] = _source(name, root).record["counts"][split] if name.startswith(OWN) else []
    return found


def check_n(name: str, n: int, splits: Sequence[str], root: Path) -> None:
    """Raise UsageError unless each of the splits holds n images."""
    held = {split: spec(name, root).n.get(split, 0) for split in splits}
    split = min(splits, key=lambda one: held[one])
    if n > held[split]:
        which = "smaller" if len(splits) > 1 else split
        raise UsageError(f"{name} has {held[split]} images in its {which} split; --n {n} is more than that.")


def load(name: str, split: str, *, root: Path, download: bool = True) -> ImageSet:
    """One split of an image set, from `root` or downloaded to it, with its bytes checked where they are known.

    Raises:
        UsageError: the name or the split is unknown.
        WorkbenchError: the data are not there and cannot be downloaded, or are damaged.
    """
    source = _source(name, root)
    check_known(f"split of {name}", [split], source.SPEC.splits)
    try:
        found: ImageSet = source.load(root, split, download)
    except (WorkbenchError, ImportError):
        raise
    except Exception as error:  # damaged files and broken connections raise errors of every kind
        raise WorkbenchError(_advice(name, root, download, error)) from error
    return found


def decode(paths: Sequence[Path], like: Spec) -> "Tensor":
    """Image files as uint8 (n, c, h, w), as the images of a set were decoded: channels, size, stretched values.

    Raises:
        WorkbenchError: one cannot be read, or is no image; the message names it.
    """
    import torch

    from imagesets._own.pixels import decode_files

    return torch.from_numpy(decode_files(paths, like.size, like.channels, like.stretch))


def label(name: str) -> str:
    """The name as a part of folders' names."""
    return name.replace(":", "-")


def _source(name: str, root: Path) -> Any:
    """What has `SPEC`, `fingerprint` and `load`: an entry of this folder, or a user's own images."""
    if name.startswith(OWN):
        from imagesets._own.sets import OwnImages

        return OwnImages(name, root)
    return registry.load("imagesets", name)


def _advice(name: str, root: Path, download: bool, error: Exception) -> str:
    what = f"{name} is not complete below {root}, or damaged,"
    if download:
        failure = f"and could not be downloaded ({first_line(error)})"
        return f"{what} {failure}. Name the folder that holds it with --data or SNNL_DATA."
    return f"{what} and --no-download forbids fetching it. Allow it, or name another folder with --data or SNNL_DATA."
