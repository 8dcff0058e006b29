"""Images by reference: a folder, a zip archive, an .npz, an image set, or a GAN, by folder or weights."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import imagesets
from gans._snapshots import generate
from gans._trained import Trained, open_gan
from imagesets import SOURCES, in_words
from imagesets._spec import OWN
from lab import registry
from lab.cells import layout
from lab.cells.folder import CellFolder
from lab.errors import Say, UsageError, WorkbenchError
from lab.files import expanded
from outside.files import LABELS, archive_of_arrays, array_of

KINDS = "a folder or .zip of images, an .npz, an image set, or the folder or a .safetensors of a GAN's training"
WEIGHTS = ".safetensors"
ARRAYS = ("images", "arr_0", "x")
"""What the images of an .npz may be called."""
LARGEST = 256
"""Side that larger images are decoded to unless told otherwise."""
MOST_CLASSES = 1 << 16
"""More than so many numbers, as of persons or of places, are not told by name."""
LUMINANCE = (0.299, 0.587, 0.114)
"""Of red, green and blue (ITU-R BT.601), as Pillow makes grey."""


@dataclass(frozen=True)
class Images:
    """Images of one origin.

    Attributes:
        name: as it was given.
        images: uint8 (n, c, h, w).
        labels: int64 (n,), or None.
        classes: the classes' names, by label; none where labels are numbers of many things.
        labelled: the image set of several classes that these images, or those that a GAN learned, are of; else None.
        imageset: the image set that they are of, or that the GAN learned which made them; None where there is none.
        held_out: how many of them, the first ones, are held out from training, where those to train on follow; else
            None.
        trained: what they, or the GAN that made them, are held out from, uint8 (t, c, h, w), where that is known.
    """

    name: str
    images: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    labelled: str | None = None
    imageset: str | None = None
    held_out: int | None = None
    trained: Tensor | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, height, width)."""
        return tuple(self.images.shape[1:])

    @property
    def held_out_alone(self) -> "Images":
        """Those that are held out from training, without those to train on."""
        if self.held_out is None:
            return self
        return self._parted(slice(self.held_out), slice(self.held_out, None))

    def without(self, known: Collection[bytes]) -> "Images":
        """Those whose digests are none of the known ones, without the others, which they are held out from."""
        new = torch.tensor([digest not in known for digest in digests(self.images)])
        return self._parted(new, ~new)

    def _parted(self, kept: "Tensor | slice", others: "Tensor | slice") -> "Images":
        labels = None if self.labels is None else self.labels[kept]
        return replace(self, images=self.images[kept], labels=labels, held_out=None, trained=self.images[others])

    def brought_to(self, wanted: tuple[int, ...], whose: str, say: Say) -> "Images":
        """The images in the channels and the size of `whose` images; `say` is told what was changed."""
        if self.shape == wanted:
            return self
        say(f"{self.name}: {in_words(self.shape)} brought to {in_words(wanted)}, those of {whose}.")
        trained = None if self.trained is None else conformed(self.trained, wanted)
        return replace(self, images=conformed(self.images, wanted), trained=trained)


def open_images(
    reference: str,
    *,
    data: Path,
    download: bool = True,
    count: int | None = None,
    size: int | None = None,
    seed: int = 0,
    say: Say = lambda text: None,
    **decoding: Any,
) -> Images:
    """Images by reference.

    Args:
        reference: a path, `folder:PATH` or `zip:PATH`, or the name of an image set, whose held-out images are meant.
        data: folder of the data sets; decoded images are kept below it.
        download: fetch data that are not there.
        count: how many images a GAN draws; None for as many as its image set holds out.
        size: side that folders and archives are decoded to; None for theirs, up to 256.
        seed: of the GAN's latent noise.
        say: is told, in lines, what is decoded.
        decoding: of folders and archives, as `imagesets.settle` takes it.

    Raises:
        UsageError: the reference is nothing of these.
        WorkbenchError: files cannot be read or decoded, there are too few, or a GAN kept no generator.
    """
    if not reference:  # which would be the folder where the command is
        raise UsageError(f"No place is named: name {KINDS}.")
    path = expanded(reference)
    ending = path.suffix.lower() if path.is_file() else ""
    if (path.is_dir() and layout.is_cell(path)) or ending == WEIGHTS:
        return generated(_opened(path), count, seed=seed, data=data, download=download)
    if ending == ".npz":
        return _of_arrays(reference, path)
    known = [entry.name for entry in registry.entries("imagesets")]
    if reference not in known and (path.is_dir() or ending == ".zip"):
        reference = f"{'folder' if path.is_dir() else 'zip'}:{path}"
    elif reference not in known and not reference.startswith((*SOURCES, OWN)):
        raise UsageError(f"{reference} is no images: name {KINDS}. Image sets: {', '.join(known)}.")
    settings: dict[str, Any] = {}
    if reference.startswith(SOURCES):
        side = size or min(LARGEST, imagesets.usual_side(reference, decoding.get("follow_links", False)))
        settings = {"size": side, **decoding}
    name = imagesets.settle(reference, data, **settings, say=say)
    return _of_imageset(reference, name, data, download)


def generated(
    trained: Trained, count: int | None, *, seed: int, data: Path, download: bool, name: str | None = None
) -> Images:
    """Images that a GAN draws, with those that it was trained on; arguments as of `open_images`."""
    run = trained.run
    images = generate(trained.generator, count or run.spec_of_images.n["test"], trained.latent, seed)
    known = imagesets.load(run.imageset, "train", root=data, download=download).images
    labelled = run.imageset if len(run.spec_of_images.classes) > 1 else None
    return Images(name or trained.name, images, labelled=labelled, imageset=run.imageset, trained=known)


def apart(one: Images, other: Images, *, data: Path, say: Say) -> tuple[Images, Images]:
    """Both; where a GAN that learned files of one made the other, of those the ones that it was not trained on.

    They are known by their files where the GAN learned all of them, in whatever size; where files have come or gone
    since then, by their pixels, in the size that it learned. `say` is told of it.
    """
    return _not_learned(one, other, data, say), _not_learned(other, one, data, say)


def digests(images: Tensor) -> list[bytes]:
    """Of each of some images of one shape, what tells it from all others."""
    return [hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest() for image in images]


def _not_learned(images: Images, made: Images, data: Path, say: Say) -> Images:
    """The images; where a GAN made the others that learned some of them, those that it did not."""
    if images.held_out is None or made.held_out is not None or images.imageset is None or made.imageset is None:
        return images
    if imagesets.same_files(images.imageset, made.imageset, data):
        kept, which = images.held_out_alone, f"held out from what {made.name} learned"
    elif made.trained is None or made.trained.shape[1:] != images.shape:
        return images
    else:
        kept, which = images.without({*digests(made.trained)}), f"that {made.name} has not learned"
        if len(kept) == len(images):
            return images
    say(f"{images.name}: {len(kept)} of its {len(images)} images are taken, those {which}.")
    return kept


def conformed(images: Tensor, shape: tuple[int, ...]) -> Tensor:
    """uint8 images (n, c, h, w) in another (channels, height, width): colours averaged by luminance, or grey repeated;
    resized bilinearly, without aliasing.
    """
    channels, *size = shape
    found = []
    for part in images.split(1024):
        x = part.float()
        if channels == 1 and x.shape[1] == 3:
            x = (x * x.new_tensor(LUMINANCE)[:, None, None]).sum(1, keepdim=True)
        if list(x.shape[2:]) != size:
            x = torch.nn.functional.interpolate(x, size=tuple(size), mode="bilinear", antialias=True)
        found.append(x.expand(-1, channels, -1, -1).round().clamp(0, 255).to(torch.uint8))
    return torch.cat(found)


def _of_imageset(given: str, name: str, data: Path, download: bool) -> Images:
    """The held-out images of a set with given splits; of one of the user's own without, all of them."""
    spec = imagesets.spec(name, data)
    splits = {split: imagesets.load(name, split, root=data, download=download) for split in ("test", "train")}
    held, trained = splits["test"], splits["train"]
    labelled = name if len(spec.classes) > 1 else None
    if imagesets.has_given_splits(name, data):
        return Images(given, held.images, held.labels, spec.classes, labelled, name, trained=trained.images)
    labels = None if held.labels is None or trained.labels is None else torch.cat([held.labels, trained.labels])
    images = torch.cat([held.images, trained.images])
    return Images(given, images, labels, spec.classes, labelled, name, held_out=len(held))


def _opened(path: Path) -> Trained:
    if path.is_dir() and (task := CellFolder(path).task) != "train-gan":
        raise UsageError(f"{path} is the folder of {task}, and no GAN's training: name {KINDS}.")
    return open_gan(path)


def _of_arrays(given: str, path: Path) -> Images:
    """The images of an .npz: uint8 (n, h, w), (n, h, w, channels) or (n, channels, h, w), and `labels` if there are."""
    with archive_of_arrays(path) as found:
        name = next((name for name in ARRAYS if name in found.files), None)
        if name is None:
            raise WorkbenchError(
                f"{path} has no array {' or '.join(ARRAYS)}; it has: {', '.join(found.files) or 'none'}."
            )
        images = array_of(found, name)
        labels = array_of(found, LABELS) if LABELS in found.files else None
    pixels = _channels_first(images, f"{path}: {name}")
    if labels is None:
        return Images(given, pixels)
    expected = f"{path}: labels must be whole numbers from 0, one an image"
    if labels.dtype.kind not in "biuf" or labels.shape != (len(pixels),):
        raise WorkbenchError(f"{expected}, not {labels.dtype} {labels.shape}.")
    with np.errstate(invalid="ignore"):
        whole = labels.astype(np.int64)
    bad = labels[(whole != labels) | (whole < 0)]
    if len(bad):
        raise WorkbenchError(f"{expected}, not {bad[0]:g}.")
    classes = int(whole.max()) + 1
    names = map(str, range(classes)) if classes <= MOST_CLASSES else ()
    return Images(given, pixels, torch.from_numpy(whole), tuple(names))


def _channels_first(images: np.ndarray, where: str) -> Tensor:
    expected = "uint8 (n, h, w), (n, h, w, channels) or (n, channels, h, w), with 1 or 3 channels"
    shaped = images[:, None] if images.ndim == 3 else images
    if images.dtype != np.uint8 or shaped.ndim != 4 or not {1, 3} & {*shaped.shape[1::2]} or not shaped.size:
        raise WorkbenchError(f"{where} is {images.dtype} {images.shape}; expected {expected}.")
    if shaped.shape[1] not in (1, 3):
        shaped = shaped.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(shaped))
