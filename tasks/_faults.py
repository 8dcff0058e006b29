"""Faults that are planted in real images: what each does, by how much, and to what. Free of torch until one is.

Blur and noise act on the images, which stay uint8; shrunk and widened on the points of the feature space, about the
mean of all held-out points; dropped and reweighted decide which images are drawn; copies puts training images in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from lab.errors import check_known

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        amount: what its amount means.
        amounts: how much is planted, rising.
    """

    amount: str
    amounts: tuple[float, ...]


FAULTS: Mapping[str, Fault] = {
    "blur": Fault("standard deviation of a Gaussian blur, in pixels", (0.3, 0.5, 0.7, 1.0)),
    "noise": Fault(
        "standard deviation of Gaussian noise, as a share of the range of grey values", (0.02, 0.05, 0.1, 0.2, 0.4)
    ),
    "shrunk": Fault("share of its distance that each point is drawn towards the mean point", (0.05, 0.1, 0.2, 0.4)),
    "widened": Fault("share of its distance that each point is pushed away from the mean point", (0.05, 0.1, 0.2, 0.4)),
    "dropped": Fault("share of the classes that are missing", (0.1, 0.2, 0.3, 0.5)),
    "reweighted": Fault(
        "share by which half of the classes are rarer, and the others more frequent", (0.2, 0.4, 0.6, 0.8)
    ),
    "copies": Fault("share of images that are copies of training images", (0.02, 0.05, 0.1, 0.2)),
}
"""By name."""
OF_CLASSES = ("dropped", "reweighted")
"""Those that need images with labels."""
OF_TRAINING = "copies"
"""The one that needs training images."""
REACH = 4
"""Standard deviations at which a blur ends."""


def check(name: str) -> str:
    """The name, if it is a fault's.

    Raises:
        UsageError: it is not; the message tells the nearest that is.
    """
    check_known("fault", [name], FAULTS)
    return name


Name = Annotated[str, AfterValidator(check)]
"""A fault's name, in settings."""


def blurred(images: "Tensor", deviation: float) -> "Tensor":
    """uint8 images (n, c, h, w) blurred by a Gaussian of that standard deviation in pixels, mirrored at the borders."""
    import torch
    from torch.nn import functional as F

    reach = min(max(1, round(REACH * deviation)), min(images.shape[2:]) - 1)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float64, device="cpu")
    weights = torch.exp(-0.5 * (steps / deviation).square())
    weights = (weights / weights.sum()).float()
    lines = images.flatten(0, 1)[:, None].float()
    for side, kernel in (((0, 0, reach, reach), weights[:, None]), ((reach, reach, 0, 0), weights[None])):
        lines = F.conv2d(F.pad(lines, side, mode="reflect"), kernel[None, None])
    return _to_uint8(lines).view_as(images)


def noisy(images: "Tensor", deviation: float, generator: "Generator") -> "Tensor":
    """uint8 images (n, c, h, w) with Gaussian noise of 255 times that standard deviation, rounded and clipped."""
    import torch

    return _to_uint8(images + 255 * deviation * torch.randn(images.shape, generator=generator, device="cpu"))


def respread(points: "Tensor", center: "Tensor", factor: float) -> "Tensor":
    """Points (n, d) at `factor` times their distance from a centre (d,)."""
    return center + factor * (points - center)


def class_weights(fault: str, amount: float, classes: int, generator: "Generator") -> "Tensor":
    """How often each class is to be drawn (classes,), relative to the others; which are rare is drawn.

    Of dropped classes, at least one is missing and one is left.
    """
    import torch

    order, weights = torch.randperm(classes, generator=generator, device="cpu"), torch.ones(classes, device="cpu")
    if fault == "dropped":
        weights[order[: min(max(1, round(amount * classes)), classes - 1)]] = 0
    else:
        half = classes // 2
        weights[order[:half]], weights[order[half:]] = 1 - amount, 1 + amount
    return weights


def thinned(labels: "Tensor", weights: "Tensor", generator: "Generator") -> "Tensor":
    """Positions, rising, of the labels (m,) that are kept, those of a class with a probability like its weight."""
    import torch

    drawn = torch.rand(len(labels), generator=generator, device="cpu")
    return (drawn < (weights / weights.max())[labels]).nonzero().flatten()


def copies(n: int, share: float) -> int:
    """How many of n images are copies."""
    return round(share * n)


def _to_uint8(values: "Tensor") -> "Tensor":
    import torch

    return values.round().clamp(0, 255).to(torch.uint8)
