"""What an image set is: its description, and its images as uint8 in memory. Free of torch until images are loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field

if TYPE_CHECKING:
    from torch import Tensor

OWN = "images:"
"""Before the key of a set of the user's own images, in its name."""
SIZES = (16, 20, 24, 28, 32, 40, 48, 56, 64)
"""Sides in pixels that the GANs' networks are built for."""


@dataclass(frozen=True)
class Spec:
    """What an image set holds.

    Attributes:
        channels: 1 for grey, 3 for colour.
        size: side of the square images in pixels.
        classes: the classes' names, by label; empty where there are no labels.
        splits: the splits that the data set has; held-out always means `test`.
        n: images of each split.
        stretch: which values of 16 bits became 0 and 255; None where there are none, or their upper 8 bits were kept.
    """

    channels: Annotated[int, Field(ge=1, le=3)]
    size: Annotated[int, Field(ge=1)]
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    n: dict[str, int]
    stretch: tuple[int, int] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        return self.channels, self.size, self.size

    def plain(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {**asdict(self), "classes": list(self.classes), "splits": list(self.splits)}

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """From plain values."""
        given = {name: values[name] for name in ("classes", "splits", "stretch") if values.get(name) is not None}
        return cls(**{**values, **{name: tuple(value) for name, value in given.items()}})


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        labels = None if self.labels is None else tuple(self.labels.shape)
        return f"ImageSet(images={tuple(self.images.shape)}, labels={labels})"

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


def in_words(shape: Sequence[int]) -> str:
    """What images of (channels, height, width) are called."""
    channels, height, width = shape
    return f"{'grey' if channels == 1 else 'colour'} images of {height} x {width}"


def to_float(images: "Tensor") -> "Tensor":
    """uint8 images as float32 in [-1, 1]: 0 becomes -1 and 255 becomes 1, exactly."""
    return images.float().div_(127.5).sub_(1)


def to_uint8(images: "Tensor") -> "Tensor":
    """Images in [-1, 1] as uint8, rounded to the nearest; what lies outside is clamped."""
    import torch

    return images.float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
