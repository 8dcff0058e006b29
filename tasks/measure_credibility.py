"""Measure how well a classifier's deep k-nearest neighbours, and its softmax, tell what they know from foreign images.

Which images neighbours are searched among and calibrated with, `_neighbors.py` tells. Every score follows from one
extraction of features, and a larger one always means more foreign.
"""

from pathlib import Path

from pydantic import Field

import imagesets
from classifiers._images import check_shown
from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.errors import UsageError
from tasks import _credibility as measured
from tasks import _foreign, train_classifier
from tasks import _pictures as pictures
from tasks._neighbors import Examined, Searched, Searching, sizes

VERSION = 1


class Measuring(Searching):
    """How much is measured, and against how much."""

    n: int = Field(ge=2, description="test images, and foreign images of each set")
    detectors: bool = Field(False, description="Mahalanobis scores and ViM as well, by the extra ood")


class Config(Measuring, Searched):
    """What neighbours are searched, and which images are shown."""

    foreign: _foreign.Sets = Field(min_length=1, description="foreign images, by name")
    pictures: bool = Field(False, description="keep a t-SNE map, and exemplars with their neighbours")


def cell(training: Cell[train_classifier.Config], config: Config, data: Path) -> Cell[Config]:
    """Measure a training cell's network.

    Raises:
        UsageError: too few images, foreign ones of another shape, that cannot be made or that are those trained on, or
            none kept apart from training.
        WorkbenchError: foreign images are not below `data`.
    """
    run = training.config
    spec, others = run.spec_of_images, [name for name in config.foreign if name not in _foreign.MADE]
    if run.imageset in others:
        raise UsageError(f"{run.imageset} is what the network is trained on: its images are not foreign. Name others.")
    for name in (run.imageset, *others):
        imagesets.check_n(name, config.n, ("test",), data)
        check_shown(spec, imagesets.spec(name, data), name)
    for name in config.foreign:
        if name in _foreign.MADE and (reason := _foreign.lacking(name, spec, data)):
            raise UsageError(f"{name} {reason}: name other foreign sets.")
    bank, calibrating = sizes(config, run)
    searched = (len(config.foreign) + 1) * config.n + 2 * calibrating
    return Cell(
        "measure-credibility",
        f"credibility-{training.label}",
        config,
        registry.versions("tasks/measure-credibility", "snnl_core"),
        ";".join(imagesets.fingerprint(name, data) for name in others),
        (training,),
        cost=4 + (15 if config.pictures else 0) + 2.5e-10 * searched * bank * spec.size**2 * spec.channels,
    )


def run(folder: CellFolder) -> None:
    """Rows of predictions, validity, credibility and detection; `curves.npz`, and pictures where they are asked for."""
    from lab.training.draws import random_generator

    config = folder.settings(Config)
    examined = Examined.of(folder, config, config.n)
    source, parts, seed, labels = examined.source, examined.parts, examined.run.seed, examined.labels
    _tell(folder, config, 0, "training images")
    observer = examined.observer(config, folder.path)
    scaling = observer.see(source.pixels(parts.scaling)), source.classes(parts.scaling)
    _tell(folder, config, 1, "test images")
    shown, seen = {"": examined.images}, {"": observer.see(examined.images)}
    for done, name in enumerate(config.foreign, 2):
        _tell(folder, config, done, name)
        shown[name] = _foreign.load(name, examined.images, folder, seed)
        seen[name] = observer.see(shown[name])

    views = measured.views(seen[""], *scaling)
    scores = {name: observer.scores(one, detectors=config.detectors) for name, one in seen.items()}
    for row in (
        *measured.prediction_rows(views, seen[""], labels),
        *measured.validity_rows(observer.knn, seen[""], labels, random_generator(seed, "smoothed")),
        *measured.credibility_rows(seen),
        *measured.foreign_rows(scores),
    ):
        folder.row(**examined.about, **row)
    pictures.keep_curves(folder.path, views, seen, scores, labels)
    if config.pictures:
        pictures.keep_map(folder.path, seen, seed)
        pictures.keep_exemplars(folder.path, shown, seen, labels, source, parts.bank)


def _tell(folder: CellFolder, config: Config, done: int, text: str) -> None:
    folder.event("progress", done=done, total=len(config.foreign) + 2, text=text)
