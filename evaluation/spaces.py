"""Feature spaces: from uint8 images (n, c, h, w) to points (n, d), and to a classifier's choices where there is one.

A space is named after its network and a digest of the weights, and of the file where the network is a user's own, so
that no two spaces share a name. Looking at images leaves torch's random state and the network's modes as they were:
however often one measures, training does not change.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor, nn

import imagesets
import snnl_core
from lab.cells import layout
from lab.files import atomic_write
from lab.hashing import content_hash
from lab.processes import part, world_size
from lab.training.modes import evaluating
from metrics.comparison import Predictions
from outside.files import read_safetensors
from snnl_core.distributed import gather
from snnl_core.pooling import pool_maps

VERSION = 2
"""Raised when features of the same weights change, for whatever reason that is not in the engine or in the network."""
BATCH = 250
MAX_FEATURES = 512
"""Larger maps are averaged: most measures want more images than features."""
PIXELS = "pixels"
FEATURES = "features"
"""The folder, below that of the runs, in which features of real images are kept."""
DIGITS = 8
"""Of a digest of weights, in hexadecimal."""


@dataclass(frozen=True)
class Seen:
    """What a space makes of n images: features, float32 (n, d), and the predicted classes (n,) where it has any."""

    features: Tensor
    predicted: Tensor | None = None

    def part(self, rows: slice) -> "Seen":
        """The same of some of the images."""
        return Seen(self.features[rows], None if self.predicted is None else self.predicted[rows])

    def gathered(self) -> "Seen":
        """What all processes see, in their order."""
        return Seen(gather(self.features), None if self.predicted is None else gather(self.predicted))


@dataclass(frozen=True)
class Space:
    """A feature space.

    Attributes:
        name: of the network and its weights, or `pixels`.
        layer: which of the network's features; empty where there is no choice.
        classes: how many classes it tells apart; 0 where it predicts none.
        takes: the images that it takes, (channels, height, width); None for any.
        look: what it makes of a batch of images, uint8 (b, c, h, w).
        code: the version of the network's code, which decides with the weights what it makes of images; None where that
            cannot be told, as of a user's own, and where looking costs no more than finding: then nothing is kept.
        sharded: whether several processes, which have the same images and ask at the same time, look at a part each.
    """

    name: str
    layer: str
    classes: int
    takes: tuple[int, int, int] | None
    look: Callable[[Tensor], Seen]
    code: str | None = ""
    sharded: bool = False

    @property
    def title(self) -> str:
        """Its name, and its layer where there is a choice."""
        return f"{self.name} {self.layer}".rstrip()

    def see(self, images: Tensor) -> Seen:
        """What it makes of images, uint8 (n, c, h, w), n > 0; on the CPU."""
        if self.sharded and len(images) >= world_size():
            return replace(self, sharded=False).see(images[part(len(images))]).gathered()
        devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            parts = [self.look(part) for part in images.split(BATCH)]
        predicted = [part.predicted.cpu() for part in parts if part.predicted is not None]
        return Seen(torch.cat([part.features.cpu() for part in parts]), torch.cat(predicted) if predicted else None)

    def see_once(self, images: Tensor, runs: Path) -> Seen:
        """As `see`, but found again below the folder of the runs if the same code made the same of the same images."""
        if self.code is None:
            return self.see(images)
        content = hashlib.sha256(images.contiguous().numpy().tobytes()).hexdigest()
        decided = [VERSION, snnl_core.VERSION, self.code, self.name, self.layer]
        path = layout.own(runs / FEATURES) / f"{content_hash([*decided, list(images.shape), content])}.safetensors"
        kept = _kept(path)
        everywhere = not self.sharded or bool(gather(torch.tensor([kept is not None])).all())
        if kept and everywhere:
            return kept
        seen = self.see(images)
        tensors = {"features": seen.features} | ({} if seen.predicted is None else {"predicted": seen.predicted})
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, save(tensors))
        return seen

    def predictions(self, real: Seen, generated: Seen) -> Predictions | None:
        """What was predicted of both; None where it predicts nothing."""
        if real.predicted is None or generated.predicted is None:
            return None
        return Predictions(real.predicted, generated.predicted, self.classes)


def _kept(path: Path) -> Seen | None:
    """What was kept in a file; None where it is not there, or damaged, or is a link or a pipe."""
    if path.is_symlink() or not path.is_file():
        return None
    try:
        kept = read_safetensors(path)
        return Seen(kept["features"], kept.get("predicted"))
    except (OSError, SafetensorError, KeyError):
        return None


def pixels() -> Space:
    """The pixels themselves, from -1 for 0 to 1 for 255."""
    return Space(PIXELS, "", 0, None, lambda images: Seen(imagesets.to_float(images).flatten(1)), code=None)


def of_network(
    kind: str,
    network: nn.Module,
    read: Callable[[Tensor], Seen],
    *,
    layer: str = "",
    classes: int = 0,
    takes: tuple[int, int, int] | None = None,
    how: str = "",
    file: bytes = b"",
    code: str | None = "",
) -> Space:
    """The space of a network: `KIND-DIGEST`, and how it is shown images, where that can differ.

    Args:
        kind: what the network is called.
        network: it is put into evaluation mode for each batch, and back into its modes.
        read: features (b, d) and predictions of a batch, uint8 (b, c, h, w), on the network's device.
        layer: which of its features.
        classes: how many it predicts.
        takes: the images that it takes; None for any.
        how: part of the name.
        file: what a user's own network is made from: part of the digest.
        code: as `Space` has it.
    """
    device = next((tensor.device for tensor in network.state_dict().values()), torch.device("cpu"))

    def look(images: Tensor) -> Seen:
        with evaluating(network):
            return read(images.to(device))

    return Space(f"{kind}-{digest(network, file)}{how}", layer, classes, takes, look, code)


def points(features: Tensor) -> Tensor:
    """A layer's output (b, ...) as points, float32 (b, d); maps averaged to at most 512 numbers, or their channels."""
    return pool_maps(features, MAX_FEATURES).float()


def digest(network: nn.Module, file: bytes = b"") -> str:
    """Some digits of a hash of a network's weights and buffers, and of the file that it is made from."""
    found = hashlib.sha256(file)
    for name, tensor in sorted(network.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:DIGITS]
