"""Image sets: what they are, and their images as uint8 in memory."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab import registry

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Spec:
    """What an image set holds."""

    channels: int
    size: int
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    n: dict[str, int]


@dataclass(frozen=True)
class ImageSet:
    """Images uint8 (n, c, h, w) and labels int64 (n,), or None where there are none."""

    images: "Tensor"
    labels: "Tensor | None"

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: "Tensor") -> "Tensor":
        """The images of `indices`, float32 (b, c, h, w) in [-1, 1]."""
        return to_float(self.images[indices])


def to_float(images: "Tensor") -> "Tensor":
    """uint8 images as float32 in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)


def to_uint8(images: "Tensor") -> "Tensor":
    """Images in [-1, 1] as uint8, rounded."""
    import torch

    return images.float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def spec(name: str) -> Spec:
    found: Spec = registry.load("imagesets", name).SPEC
    return found


def fingerprint(name: str, root: Path) -> str:
    return str(registry.load("imagesets", name).fingerprint(root))


def data_root(given: Path | None) -> Path:
    return given or Path(os.environ.get("SNNL_DATA") or "data")


def load(name: str, split: str, *, root: Path, download: bool = True) -> ImageSet:
    found: ImageSet = registry.load("imagesets", name).load(root, split, download)
    return found
