"""Image sets: what they are, and their images as uint8 in memory. Free of torch until images are loaded."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab import registry
from lab.errors import WorkbenchError, first_line, unknown_name

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Spec:
    """What an image set holds.

    Attributes:
        channels: 1 for grey, 3 for colour.
        size: side of the square images in pixels.
        classes: the classes' names, by label.
        splits: the splits that the data set has; held-out always means `test`.
        n: images of each split.
    """

    channels: int
    size: int
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    n: dict[str, int]


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
        return to_float(self.images.index_select(0, indices))  # many times faster than images[indices]


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


def spec(name: str) -> Spec:
    """What the image set `name` holds, without loading it.

    Raises:
        UsageError: the name is unknown.
    """
    found: Spec = registry.load("imagesets", name).SPEC
    return found


def fingerprint(name: str, root: Path) -> str:
    """A text that identifies the bytes of the images: part of the identity of every cell that reads them.

    Raises:
        UsageError: the name is unknown.
        WorkbenchError: a set of the user's own files is not below `root`.
    """
    return str(registry.load("imagesets", name).fingerprint(root))


def load(name: str, split: str, *, root: Path, download: bool = True) -> ImageSet:
    """One split of an image set, from `root` or downloaded to it, with its bytes checked where they are known.

    Raises:
        UsageError: the name or the split is unknown.
        WorkbenchError: the data are not there and cannot be downloaded, or are damaged.
    """
    module = registry.load("imagesets", name)
    if split not in module.SPEC.splits:
        raise unknown_name(f"split of {name}", split, module.SPEC.splits)
    try:
        found: ImageSet = module.load(root, split, download)
    except (WorkbenchError, ImportError):
        raise
    except Exception as error:  # damaged files and broken connections raise errors of every kind
        raise WorkbenchError(_advice(name, root, download, error)) from error
    return found


def _advice(name: str, root: Path, download: bool, error: Exception) -> str:
    what = f"{name} is not complete below {root}, or damaged,"
    if download:
        failure = f"and could not be downloaded ({first_line(error)})"
        return f"{what} {failure}. Name the folder that holds it with --data or SNNL_DATA."
    return f"{what} and --no-download forbids fetching it. Allow it, or name another folder with --data or SNNL_DATA."
