"""Measure how well a classifier's deep k-nearest neighbours, and its softmax, tell what they know from foreign images.

Neighbours are searched among the images that the network was trained on. Of the images kept apart to validate on, a
part calibrates the p-values and another the temperatures; no image is in two of these. Every score follows from one
extraction of features, and a larger one always means more foreign.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

import imagesets
from classifiers._images import check_shown
from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.config import Config as Settings
from lab.errors import UsageError
from lab.training.snapshots import snapshots
from tasks import _credibility as measured
from tasks import _foreign, train_classifier
from tasks import _pictures as pictures
from tasks._images import draw

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
FEWEST_VALIDATION = 4
"""Of so many images at least, two calibrate and two scale."""


class Measuring(Settings):
    """How much is measured, and against how much."""

    n: int = Field(ge=2, description="test images, and foreign images of each set")
    k: int = Field(75, ge=1, description="neighbours in each hidden layer")
    calibration: int = Field(
        1000, ge=1, description="validation images to calibrate p-values, and temperatures; half of them each at most"
    )
    bank: int | None = Field(
        None, ge=1, description="training images to search, drawn by seed; not given: all that were trained on"
    )
    detectors: bool = Field(False, description="Mahalanobis scores and ViM as well, by the extra ood")


class Config(Measuring):
    """What neighbours are searched, and which images are shown."""

    foreign: tuple[_foreign.Foreign, ...] = Field(min_length=1, description="foreign images, by name")
    distance: Literal["cosine", "sqeuclidean"] = Field(
        "cosine", description="distance of features: 1 - cos, or squared Euclidean"
    )
    max_features: int = Field(4096, ge=1, description="larger maps are averaged to at most so many numbers an image")
    pictures: bool = Field(False, description="keep a t-SNE map, and exemplars with their neighbours")


@dataclass(frozen=True)
class Parts:
    """Positions in the train split, no two parts with one in common: each int64 (size,)."""

    bank: "Tensor"
    calibration: "Tensor"
    scaling: "Tensor"

    def __post_init__(self) -> None:
        import torch

        together = torch.cat([self.bank, self.calibration, self.scaling])
        assert len(together.unique()) == len(together), "an image must not be in two parts"


def cell(training: Cell[train_classifier.Config], config: Config, data: Path) -> Cell[Config]:
    """Measure a training cell's network.

    Raises:
        UsageError: too few images, foreign ones of another shape, or none kept apart from training.
        WorkbenchError: foreign images are not below `data`.
    """
    run = training.config
    spec, others = run.spec_of_images, [name for name in config.foreign if name not in _foreign.MADE]
    for name in (run.imageset, *others):
        imagesets.check_n(name, config.n, ("test",), data)
        check_shown(spec, imagesets.spec(name, data), name)
    held = round(run.validation * spec.n["train"])
    if held < FEWEST_VALIDATION:
        raise UsageError(
            f"Of {held} images kept apart to validate on, none are left to calibrate with: train with a larger "
            "--validation."
        )
    bank = min(config.bank or spec.n["train"], spec.n["train"] - held)
    if bank < config.k:
        raise UsageError(f"k = {config.k} neighbours of {bank} images: give a smaller --k.")
    searched = (len(config.foreign) + 1) * config.n + 2 * min(config.calibration, held // 2)
    return Cell(
        "measure-credibility",
        f"credibility-{training.label}",
        config,
        registry.versions("tasks/measure-credibility", "snnl_core"),
        ";".join(imagesets.fingerprint(name, data) for name in others),
        (training,),
        cost=4 + (15 if config.pictures else 0) + 2.5e-10 * searched * bank * spec.size**2 * spec.channels,
    )


def split(n: int, config: Config, validation: float, seed: int) -> Parts:
    """The parts of n training images: those to search, those to calibrate with, those to fit temperatures on."""
    from lab.training.draws import carve, subset

    trained, apart = carve(n, validation, seed)
    size = min(config.calibration, len(apart) // 2)
    held = apart[subset(len(apart), 2 * size, seed, "calibration")]
    bank = trained
    if config.bank is not None and config.bank < len(trained):
        bank = trained[subset(len(trained), config.bank, seed, "bank").sort().values]
    return Parts(bank, held[:size], held[size:])


def run(folder: CellFolder) -> None:
    """Rows of predictions, validity, credibility and detection; `curves.npz`, and pictures where they are asked for."""
    from classifiers._credibility import Observer
    from classifiers._snapshots import load_classifier
    from lab.training.draws import random_generator
    from lab.training.frame import evaluation_device
    from snnl_core import DeepKNN

    (training,) = folder.needs
    config, run = Config.parse(folder.config), train_classifier.Config.parse(training.config)
    source = imagesets.load(run.imageset, "train", **folder.data)
    images, labels = draw(folder, run.imageset, "test", config.n, 0)
    assert labels is not None, "a classifier was trained on them"
    parts = split(len(source), config, run.validation, run.seed)
    snapshot = snapshots(training.path, "classifier")[-1]
    network = load_classifier(snapshot, run).to(evaluation_device(training))

    _tell(folder, config, 0, "training images")
    observer = Observer(network, DeepKNN(config.k, config.distance), config.max_features, folder.path)
    observer.fit(source.pixels(parts.bank), source.classes(parts.bank))
    observer.calibrate(source.pixels(parts.calibration), source.classes(parts.calibration))
    scaling = observer.see(source.pixels(parts.scaling)), source.classes(parts.scaling)
    _tell(folder, config, 1, "test images")
    shown, seen = {"": images}, {"": observer.see(images)}
    for done, name in enumerate(config.foreign, 2):
        _tell(folder, config, done, name)
        shown[name] = _foreign.load(name, images, folder, run.seed)
        seen[name] = observer.see(shown[name])

    about = {**run.about, **snapshot.when, "split": "test"}
    views = measured.views(seen[""], *scaling)
    scores = {name: observer.scores(one, detectors=config.detectors) for name, one in seen.items()}
    for row in (
        *measured.prediction_rows(views, seen[""], labels),
        *measured.validity_rows(observer.knn, seen[""], labels, random_generator(run.seed, "smoothed")),
        *measured.credibility_rows(seen),
        *measured.foreign_rows(scores),
    ):
        folder.row(**about, **row)
    pictures.keep_curves(folder.path, views, seen, scores, labels)
    if config.pictures:
        pictures.keep_map(folder.path, seen, run.seed)
        pictures.keep_exemplars(folder.path, shown, seen, labels, source, parts.bank)


def _tell(folder: CellFolder, config: Config, done: int, text: str) -> None:
    folder.event("progress", done=done, total=len(config.foreign) + 2, text=text)
