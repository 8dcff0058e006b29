"""Which training images support what a trained classifier says of other images: Deep k-nearest neighbours at work.

Neighbours are searched in the hidden layers, among the images that the network was trained on; images that were held
out from its training calibrate. P-values hold for images like those.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from torch import Tensor

import imagesets
from classifiers._credibility import Observer, Seen
from classifiers._trained import Trained
from lab.errors import Say, UsageError, telling
from lab.reporting.pictures import png
from lab.reporting.report import Gallery, GalleryRow, Picture, Report, Section
from lab.training.draws import subset
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
        trained: the classifier and its images.
        names: of the n images.
        images: as the network sees them, uint8 (n, c, h, w).
        seen: what network and neighbours say; labels are numbers of classes.
        bank: which images of the train split were searched (b,).
    """

    trained: Trained
    names: Sequence[str]
    images: Tensor
    seen: Seen
    bank: Tensor

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each image: what the neighbours predict, what the network itself, credibility and confidence."""
        classes = self.trained.spec.classes
        found, own = self.seen.found, self.seen.logits.argmax(1).tolist()
        columns = {
            "image": self.names,
            "prediction": [classes[label] for label in found.labels.tolist()],
            "network": [classes[label] for label in own],
            "credibility": found.credibility.tolist(),
            "confidence": found.confidence.tolist(),
        }
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def neighbors(self, row: int) -> dict[str, list[dict[str, Any]]]:
        """An image's nearest training images by layer, nearest first: index in the train split, label and distance."""
        classes, layers = self.trained.spec.classes, {}
        for layer, places in self.seen.found.neighbors.items():
            indices = self.bank[places[row]]
            labels = [classes[label] for label in self.trained.train.classes(indices).tolist()]
            columns = zip(indices.tolist(), labels, self.seen.found.distances[layer][row].tolist(), strict=True)
            layers[layer] = [{"index": i, "label": label, "distance": distance} for i, label, distance in columns]
        return layers

    def plain(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {"images": [{**row, "neighbors": self.neighbors(i)} for i, row in enumerate(self.rows)]}

    def report(self) -> Report:
        """Each image beside its nearest training images in every layer."""
        question = (
            f"Which training images support what {self.trained.name} says of these? Credibility is a p-value: the "
            f"share of {self.trained.held} images that are at least as strange. It is not the probability of being "
            "right."
        )
        return Report("Nearest training images", question, [self._section(i) for i in range(len(self.names))])

    def _section(self, i: int) -> Section:
        row = self.rows[i]
        rows = [GalleryRow("as the network sees it", [Picture("the image", png(self.images[i].numpy()))])]
        for layer, near in self.neighbors(i).items():
            pictures = [
                Picture(f"{one['label']}, number {one['index']}", png(self.trained.train.images[one["index"]].numpy()))
                for one in near[:SHOWN]
            ]
            rows.append(GalleryRow(f"nearest in {layer}", pictures))
        said = f"{row['prediction']} with credibility {row['credibility']:.3f} and confidence {row['confidence']:.3f}"
        caption = f"The neighbours say {said}; the network itself says {row['network']}."
        return Section(row["image"], "", [Gallery(caption, rows)])


def exemplars(
    trained: Trained,
    files: Sequence[Path],
    *,
    n_bank: int | None = None,
    k: int | None = None,
    say: Say = lambda text: None,
) -> Exemplars:
    """What a network and the images that it was trained on say of image files; float32 arithmetic.

    Args:
        trained: the network and its images.
        files: images, decoded to the size and channels of those.
        n_bank, k, say: as for `observer_of`.

    Raises:
        UsageError: there are fewer images than `n_bank`.
        WorkbenchError: a file cannot be read, or the images that are searched are too few.
    """
    images = imagesets.decode(files, trained.spec)
    observer, bank = observer_of(trained, n_bank=n_bank, k=k, say=say)
    with telling(f"{trained.place} (see --n-bank and --k)", say):
        seen = observer.see(images)
    return Exemplars(trained, [_name(path) for path in files], images, seen, bank)


def observer_of(
    trained: Trained, *, n_bank: int | None = None, k: int | None = None, say: Say = lambda text: None
) -> tuple[Observer, Tensor]:
    """A network with its neighbours, fitted and calibrated, and which images of the train split are searched (b,).

    Args:
        trained: the network and its images.
        n_bank: how many of the images that it was trained on are searched, drawn by seed; None for 10,000, or all.
        k: neighbours in each layer; None for 75, or as many as there are.
        say: is told, in a line, what is searched.

    Raises:
        UsageError: there are fewer images than `n_bank`.
        WorkbenchError: the images that are searched are too few.
    """
    train, held_out, n = trained.train, trained.held_out, len(trained.fitted)
    if n_bank and n_bank > n:
        raise UsageError(f"--n-bank {n_bank} is more than the {n} images that {trained.place} was trained on.")
    bank = trained.fitted[subset(n, n_bank or min(n, MAX_BANK), trained.seed, "bank")]
    held = subset(len(held_out), min(len(held_out), MAX_CALIBRATION), trained.seed, "calibration")
    say(
        f"{len(bank)} of {n} training images are searched, {len(held)} of {len(held_out)} {trained.held} images "
        "calibrate."
    )
    if k is None and len(bank) < NEIGHBORS:
        say(f"k: {len(bank)}, since there are no more images to search.")
    knn, scratch = DeepKNN(k or min(len(bank), NEIGHBORS)), Path(gettempdir())
    observer = Observer(trained.network, knn, MAX_FEATURES, scratch)
    with telling(f"{trained.place} (see --n-bank and --k)", say):
        observer.fit(train.pixels(bank), train.classes(bank)).calibrate(held_out.pixels(held), held_out.classes(held))
    return observer, bank


def _name(path: Path) -> str:
    """A path with a question mark for what is no character."""
    return str(path).encode("utf-8", "replace").decode("utf-8")
