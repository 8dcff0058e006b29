"""Images that are foreign to a network: other image sets of the same shape, and what is made of its own test images."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

import imagesets
from lab import registry
from lab.cells.folder import CellFolder
from lab.errors import WorkbenchError, check_known

if TYPE_CHECKING:
    from torch import Generator, Tensor

PATCHES = 4
"""An image is cut into so many patches along each side, before they are shuffled."""


def rotated(images: "Tensor", degrees: float) -> "Tensor":
    """uint8 images (n, c, h, w) turned counterclockwise about their centre, by linear interpolation, 0 outside."""
    import torch
    from torch.nn import functional as F

    angle = torch.deg2rad(torch.tensor(float(degrees), dtype=torch.float64, device="cpu"))
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
    grid = F.affine_grid(F.pad(turn, (0, 1))[None], [1, 1, *images.shape[2:]], align_corners=False).float()
    parts = images.split(1000)
    turned = [F.grid_sample(x.float(), grid.expand(len(x), -1, -1, -1), align_corners=False) for x in parts]
    return torch.cat([x.round().clamp(0, 255).to(torch.uint8) for x in turned])


def shuffled(images: "Tensor", generator: "Generator") -> "Tensor":
    """uint8 images (n, c, h, w) whose 4 x 4 patches change places, in each image in another way."""
    import torch

    n, channels, height, width = images.shape
    rows, columns = height // PATCHES, width // PATCHES
    if (rows * PATCHES, columns * PATCHES) != (height, width):
        raise WorkbenchError(f"images of {height} x {width} cannot be cut into {PATCHES} x {PATCHES} equal patches.")
    cut = images.view(n, channels, PATCHES, rows, PATCHES, columns).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    order = torch.rand(n, PATCHES**2, generator=generator, device="cpu").argsort(1)
    moved = cut[torch.arange(n, device="cpu")[:, None], order].unflatten(1, (PATCHES, PATCHES))
    return moved.permute(0, 3, 1, 4, 2, 5).reshape(images.shape)


def noise(images: "Tensor", generator: "Generator") -> "Tensor":
    """Uniform noise on 0 to 255, uint8 of the shape of the images."""
    import torch

    return torch.randint(256, images.shape, dtype=torch.uint8, generator=generator, device="cpu")


MADE: "Mapping[str, Callable[[Tensor, Generator], Tensor]]" = {
    "rotated-45": lambda images, generator: rotated(images, 45),
    "rotated-90": lambda images, generator: rotated(images, 90),
    "shuffled": shuffled,
    "inverted": lambda images, generator: 255 - images,
    "noise": noise,
}
"""What is made of test images, by name: uint8 (n, c, h, w) and a generator -> uint8 (n, c, h, w)."""
OTHERS = {"mnist": ("notmnist", "fashion-mnist"), "fashion-mnist": ("mnist",), "cifar10": ("svhn",)}
"""The other image sets that are taken unless told otherwise."""


def check(name: str) -> str:
    """The name, if it is that of foreign images.

    Raises:
        UsageError: it is not; the message tells the nearest that is.
    """
    known = [entry.name for entry in registry.entries("imagesets")]
    check_known("foreign set", [name], [*MADE, *known])
    return name


Foreign = Annotated[str, AfterValidator(check)]
"""The name of foreign images, in settings."""
Sets = Annotated[tuple[Foreign, ...], registry.DISTINCT]
"""The names of several."""


def usual(imageset: str) -> tuple[str, ...]:
    """The foreign sets that are taken unless told otherwise: other image sets, then what is made."""
    return (*OTHERS.get(imageset, ()), *MADE)


def lacking(name: str, spec: imagesets.Spec, data: Path) -> str:
    """Why foreign images cannot be had beside images of a spec; empty where they are made, or can be loaded."""
    if name == "shuffled" and spec.size % PATCHES:
        return f"cannot be made of {spec.size} x {spec.size} pixels, which {PATCHES} does not divide"
    try:
        there = name in MADE or bool(imagesets.fingerprint(name, data))
    except WorkbenchError:
        there = False
    return "" if there else f"is not below {data}"


def load(name: str, test: "Tensor", folder: CellFolder, seed: int) -> "Tensor":
    """As many foreign images as test images, uint8 (n, c, h, w), by seed: made of these, or of another test split.

    Raises:
        UsageError: the other image set has fewer.
        WorkbenchError: it is not there, or the images cannot be cut into patches.
    """
    from lab.training.draws import random_generator, subset

    if name in MADE:
        return MADE[name](test, random_generator(seed, "foreign", name))
    found = imagesets.load(name, "test", **folder.data)
    return found.pixels(subset(len(found), len(test), seed, "foreign", name))
