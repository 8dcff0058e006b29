"""Image sets: what they are, and their images as uint8 in memory. Free of torch until images are loaded."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lab import registry
from lab.errors import UsageError, WorkbenchError, first_line, unknown_name

if TYPE_CHECKING:
    from torch import Tensor

SIZES = (16, 20, 24, 28, 32, 40, 48, 56, 64)
"""Sides in pixels that the GANs' networks are built for."""
SOURCES = ("folder:", "zip:")
OWN = "images:"
"""Before the key of a set of the user's own images, decoded from a folder or an archive."""


@dataclass(frozen=True)
class Spec:
    """What an image set holds.

    Attributes:
        channels: 1 for grey, 3 for colour.
        size: side of the square images in pixels.
        classes: the classes' names, by label; empty where there are no labels.
        splits: the splits that the data set has; held-out always means `test`.
        n: images of each split.
    """

    channels: int
    size: int
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    n: dict[str, int]

    def plain(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {**asdict(self), "classes": list(self.classes), "splits": list(self.splits)}

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """From plain values."""
        return cls(**{**values, "classes": tuple(values["classes"]), "splits": tuple(values["splits"])})


@dataclass(frozen=True)
class ImageSet:
    """One split in memory.

    Attributes:
        images: uint8 (n, c, h, w).
        labels: int64 (n,), or None where there are none.

    Raises:
        ValueError: shapes or types are others.
    """

    images: "Tensor"
    labels: "Tensor | None" = None

    def __post_init__(self) -> None:
        import torch

        if self.images.ndim != 4 or self.images.dtype != torch.uint8:
            raise ValueError(f"images must be uint8 (n, c, h, w), not {self.images.dtype} {tuple(self.images.shape)}.")
        if self.labels is not None and (self.labels.shape != self.images.shape[:1] or self.labels.dtype != torch.int64):
            raise ValueError(f"labels must be int64 (n,), not {self.labels.dtype} {tuple(self.labels.shape)}.")

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: "Tensor") -> "Tensor":
        """The images of `indices` (b,), float32 (b, c, h, w) in [-1, 1]."""
        return to_float(self.pixels(indices))

    def pixels(self, indices: "Tensor") -> "Tensor":
        """The images of `indices` (b,), uint8 (b, c, h, w)."""
        return self.images.index_select(0, indices)  # many times faster than images[indices]

    def classes(self, indices: "Tensor") -> "Tensor":
        """The labels of `indices` (b,), int64 (b,).

        Raises:
            ValueError: there are no labels.
        """
        if self.labels is None:
            raise ValueError("these images have no labels.")
        return self.labels[indices]


def to_float(images: "Tensor") -> "Tensor":
    """uint8 images as float32 in [-1, 1]: 0 becomes -1 and 255 becomes 1, exactly."""
    return images.float().div_(127.5).sub_(1)


def to_uint8(images: "Tensor") -> "Tensor":
    """Images in [-1, 1] as uint8, rounded to the nearest; what lies outside is clamped."""
    import torch

    return images.float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def data_root(given: Path | None) -> Path:
    """The folder of the data: the given one, else that of the variable SNNL_DATA, else `data`."""
    return given or Path(os.environ.get("SNNL_DATA") or "data")


def check(name: str) -> None:
    """Raise UsageError, with the nearest known name, unless `name` is an image set's or looks like a user's own."""
    if not name.startswith((*SOURCES, OWN)):
        registry.check("imagesets", name)


def settle(
    name: str,
    root: Path,
    *,
    size: int | None = None,
    channels: int | None = None,
    skip_bad: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> str:
    """The name by which cells know an image set: `folder:PATH` and `zip:PATH` are decoded and become `images:KEY`.

    The key is that of the files' content and of the settings, not of their place.

    Args:
        name: of an image set.
        root: the folder of the data; decoded images are kept below it.
        size: side in pixels of the decoded images; None for the nearest that networks are built for.
        channels: 1 or 3; None for 1 where all files are grey.
        skip_bad: go on without files that cannot be decoded.
        say: is told, in lines, what is decoded.

    Raises:
        UsageError: an unknown name, or another size or number of channels than a fixed image set has.
        WorkbenchError: a file cannot be read or decoded, or there are too few images.
    """
    check(name)
    if name.startswith(SOURCES):
        prepare = registry.resolve("imagesets._own:prepare")
        return str(prepare(name, root, size=size, channels=channels, skip_bad=skip_bad, say=say))
    own = spec(name, root)
    for option, asked, has in (("size", size, own.size), ("channels", channels, own.channels)):
        if asked not in (None, has):
            raise UsageError(f"{name} has {option} {has}; --{option} {asked} is for folder:PATH and zip:PATH.")
    if skip_bad:
        raise UsageError(f"--skip-bad is for folder:PATH and zip:PATH, not for {name}.")
    return name


def spec(name: str, root: Path | None = None) -> Spec:
    """What the image set `name` holds, without loading it; a user's own one is looked for below `root`.

    Raises:
        UsageError: the name is unknown.
        WorkbenchError: a user's own set is not below `root`.
    """
    found: Spec = _source(name, data_root(root)).SPEC
    return found


def recorded(name: str) -> dict[str, Any]:
    """What a cell's config says of an image set beside its name, for `spec_of`: nothing of a registered one."""
    return {"spec": spec(name).plain()} if name.startswith(OWN) else {}


def spec_of(config: Mapping[str, Any]) -> Spec:
    """What the image set of a cell's config holds, without its data at hand."""
    return Spec.parse(config["spec"]) if config.get("spec") else spec(config["imageset"])


def label(name: str) -> str:
    """The name as a part of folders' names."""
    return name.replace(":", "-")


def fingerprint(name: str, root: Path | None = None) -> str:
    """A text that identifies the bytes of the images: part of the identity of every cell that reads them.

    Raises:
        UsageError: the name is unknown.
        WorkbenchError: a set of the user's own files is not below `root`.
    """
    root = data_root(root)
    return str(_source(name, root).fingerprint(root))


def load(name: str, split: str, *, root: Path, download: bool = True) -> ImageSet:
    """One split of an image set, from `root` or downloaded to it, with its bytes checked where they are known.

    Raises:
        UsageError: the name or the split is unknown.
        WorkbenchError: the data are not there and cannot be downloaded, or are damaged.
    """
    source = _source(name, root)
    if split not in source.SPEC.splits:
        raise unknown_name(f"split of {name}", split, source.SPEC.splits)
    try:
        found: ImageSet = source.load(root, split, download)
    except (WorkbenchError, ImportError):
        raise
    except Exception as error:  # damaged files and broken connections raise errors of every kind
        raise WorkbenchError(_advice(name, root, download, error)) from error
    return found


def _source(name: str, root: Path) -> Any:
    """What has `SPEC`, `fingerprint` and `load`: an entry of the folder `imagesets`, or a user's own images."""
    if name.startswith(OWN):
        return registry.resolve("imagesets._own:OwnImages")(name, root)
    return registry.load("imagesets", name)


def _advice(name: str, root: Path, download: bool, error: Exception) -> str:
    what = f"{name} is not complete below {root}, or damaged,"
    if download:
        failure = f"and could not be downloaded ({first_line(error)})"
        return f"{what} {failure}. Name the folder that holds it with --data or SNNL_DATA."
    return f"{what} and --no-download forbids fetching it. Allow it, or name another folder with --data or SNNL_DATA."
