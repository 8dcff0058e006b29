"""Which training images support what a trained classifier says of other images: Deep k-nearest neighbours at work.

Neighbours are searched in the hidden layers, among the images that the network was trained on; those that were kept
apart to validate on calibrate. Both were drawn from the train split, so p-values hold for images like those.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

import imagesets
from classifiers._config import TrainingConfig
from classifiers._credibility import Observer, Seen
from classifiers._images import check_validation
from classifiers._snapshots import load_classifier
from imagesets import ImageSet
from lab.cells.folder import CellFolder
from lab.errors import telling
from lab.reporting.report import Gallery, GalleryRow, Report, Section
from lab.training.draws import carve, subset
from lab.training.frame import evaluation_device
from lab.training.snapshots import snapshots
from snnl_core import DeepKNN
from snnl_core.pooling import MAX_FEATURES

MAX_BANK, MAX_CALIBRATION, NEIGHBORS = 10_000, 1_000, 75
"""Training images that are searched unless told otherwise, validation images that calibrate, and neighbours."""
SHOWN = 8
"""How many neighbours of an image a page shows in each layer."""


@dataclass(frozen=True)
class Exemplars:
    """What a classifier and its training images say of n others.

    Attributes:
        network: the classifier's name.
        names: of the n images.
        images: as the network sees them, uint8 (n, c, h, w).
        seen: what network and neighbours say; labels are numbers of `classes`.
        train: the train split.
        bank: which of its images were searched (b,).
        classes: the classes' names.
    """

    network: str
    names: Sequence[str]
    images: Tensor
    seen: Seen
    train: ImageSet
    bank: Tensor
    classes: tuple[str, ...]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each image: what the neighbours predict, what the network itself, credibility and confidence."""
        found, own = self.seen.found, self.seen.logits.argmax(1).tolist()
        columns = {
            "image": self.names,
            "prediction": [self.classes[label] for label in found.labels.tolist()],
            "network": [self.classes[label] for label in own],
            "credibility": found.credibility.tolist(),
            "confidence": found.confidence.tolist(),
        }
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def neighbors(self, row: int) -> dict[str, list[dict[str, Any]]]:
        """An image's nearest training images by layer, nearest first: index in the train split, label and distance."""
        layers = {}
        for layer, places in self.seen.found.neighbors.items():
            indices = self.bank[places[row]]
            labels = [self.classes[label] for label in self.train.classes(indices).tolist()]
            columns = zip(indices.tolist(), labels, self.seen.found.distances[layer][row].tolist(), strict=True)
            layers[layer] = [{"index": i, "label": label, "distance": distance} for i, label, distance in columns]
        return layers

    def plain(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {"images": [{**row, "neighbors": self.neighbors(i)} for i, row in enumerate(self.rows)]}

    def report(self) -> Report:
        """Each image beside its nearest training images in every layer."""
        question = (
            f"Which training images support what {self.network} says of these? Credibility is a p-value: the share of "
            "validation images that are at least as strange. It is not the probability of being right."
        )
        return Report("Nearest training images", question, [self._section(i) for i in range(len(self.names))])

    def _section(self, i: int) -> Section:
        row, rows = self.rows[i], [GalleryRow("as the network sees it", [("the image", _png(self.images[i]))])]
        for layer, near in self.neighbors(i).items():
            pictures = [
                (f"{one['label']}, number {one['index']}", _png(self.train.images[one["index"]]))
                for one in near[:SHOWN]
            ]
            rows.append(GalleryRow(f"nearest in {layer}", pictures))
        said = f"{row['prediction']} with credibility {row['credibility']:.3f} and confidence {row['confidence']:.3f}"
        caption = f"The neighbours say {said}; the network itself says {row['network']}."
        return Section(row["image"], "", [Gallery(caption, rows)])


def exemplars(
    cell: Path,
    files: Sequence[Path],
    *,
    data: Path,
    download: bool = True,
    n_bank: int | None = None,
    k: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Exemplars:
    """What a training cell's last network and its training images say of image files; float32 arithmetic.

    Args:
        cell: the folder of a classifier's training.
        files: images, decoded to the size and channels that the network takes.
        data: folder of the data sets.
        download: fetch data that are not there.
        n_bank: how many training images are searched, drawn by the training's seed; None for 10,000, or all.
        k: neighbours in each layer; None for 75, or as many as there are.
        say: is told, in a line, what is searched.

    Raises:
        UsageError: no images were kept apart to validate on, or there are fewer training images than `n_bank`.
        WorkbenchError: files or data cannot be read, or the images that are searched are too few.
    """
    folder = CellFolder(cell)
    run = TrainingConfig.parse(folder.config)
    snapshot, spec = snapshots(cell, "classifier")[-1], run.spec_of_images
    images = imagesets.decode(files, spec)
    train = imagesets.load(run.imageset, "train", root=data, download=download)
    fitted, kept = carve(len(train), run.validation, run.seed)
    check_validation(len(kept))
    bank = fitted[subset(len(fitted), n_bank or min(len(fitted), MAX_BANK), run.seed, "bank")]
    held = kept[subset(len(kept), min(len(kept), MAX_CALIBRATION), run.seed, "calibration")]
    say(
        f"{len(bank)} of {len(fitted)} training images are searched, {len(held)} of {len(kept)} validation images "
        "calibrate."
    )
    if k is None and len(bank) < NEIGHBORS:
        say(f"k: {len(bank)}, since there are no more images to search.")
    k = k or min(len(bank), NEIGHBORS)
    network = load_classifier(snapshot, run).to(evaluation_device(folder))
    observer = Observer(network, DeepKNN(k), MAX_FEATURES)
    with telling(f"{cell} (see --n-bank and --k)", say):
        observer.fit(train.pixels(bank), train.classes(bank)).calibrate(train.pixels(held), train.classes(held))
        seen = observer.see(images)
    return Exemplars(run.classifier, [_name(path) for path in files], images, seen, train, bank, spec.classes)


def _name(path: Path) -> str:
    """A path with a question mark for what is no character."""
    return str(path).encode("utf-8", "replace").decode("utf-8")


def _png(image: Tensor) -> bytes:
    """An image, uint8 (c, h, w), as a PNG's bytes."""
    pixels, buffer = image.permute(1, 2, 0).numpy(), io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, format="PNG")
    return buffer.getvalue()
