"""Measure every layer of a classifier at the snapshots of its training."""

from typing import TYPE_CHECKING

from pydantic import Field

import imagesets
from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.config import Config as Settings
from lab.files import write_arrays
from lab.training.snapshots import snapshots
from tasks import train_classifier
from tasks._images import draw
from tasks._schedule import quadratic

if TYPE_CHECKING:
    import numpy as np

    from snnl_core import Entanglement

VERSION = 1
CLASS_PAIRS = "class_pairs.npz"
"""What is kept: `run`."""
PIXELS = "pixels"
"""What is measured beside the layers, once."""


class Config(Settings):
    """How much is measured."""

    n: int = Field(ge=2, description="held-out images")
    max_features: int = Field(
        4096, ge=1, description="larger maps are averaged to at most so many numbers an image, as measure layers does"
    )


def schedule(epochs: int, points: int) -> tuple[int, ...]:
    """The epochs that are measured, at most `points`: 0, and from 1 to `epochs`, denser early."""
    return tuple(sorted({0, *(max(1, round(time)) for time in quadratic(epochs, points)[1:])}))


def cell(training: Cell[train_classifier.Config], n: int) -> Cell[Config]:
    """Measure every layer of a training cell's snapshots on n held-out images, the same for all trainings."""
    run = training.config
    pixels = run.spec_of_images.size**2
    return Cell(
        "measure-layers",
        f"layers-{training.label}",
        Config(n=n),
        registry.versions("tasks/measure-layers", "snnl_core"),
        needs=(training,),
        cost=(len(run.snapshots) + 1) * 3.0 * (n / 1000) ** 2 * min(1.0, pixels / 256) + 2,
    )


def run(folder: CellFolder) -> None:
    """Rows of every layer at every snapshot, and of the pixels; `class_pairs.npz` keeps the class-pair matrices.

    `class_pairs` (times, layers, classes, classes): the mean softmax mass of a class's images on each class, at the
    layer's best temperature, NaN for classes of which no image was drawn; `layers` and `epochs` name its first two
    axes. Networks are in evaluation mode, float32.
    """
    import numpy as np

    from classifiers._features import features_of
    from classifiers._snapshots import load_classifier
    from lab.training.frame import evaluation_device
    from metrics.layers import entanglements
    from outside.points import check_classes

    (training,) = folder.needs
    config, run = folder.settings(Config), training.settings(train_classifier.Config)
    images, labels = draw(folder, run.imageset, "test", config.n, 0)
    assert labels is not None, "a classifier was trained on them"
    check_classes(labels, f"{run.imageset} (test)")
    kept, device = snapshots(training.path, "classifier"), evaluation_device(training)
    classes = len(run.spec_of_images.classes)
    pixels = imagesets.to_float(images)
    names: list[str] = []
    pairs = []
    for done, snapshot in enumerate(kept):
        folder.event("progress", done=done, total=len(kept), text=f"{done} of {len(kept)} snapshots")
        layers = features_of(load_classifier(snapshot, run).to(device), images, config.max_features)
        names, matrices = list(layers), []
        for name, found in entanglements({PIXELS: pixels, **layers} if not done else layers, labels):
            about = {**place_of(name), **run.about, **snapshot.when, "split": "test", "n": config.n}
            for metric, value in values_of(found).items():
                folder.row(metric=metric, value=value, **about)
            if name != PIXELS:
                matrices.append(class_pairs_of(found, classes))
        pairs.append(np.stack(matrices))
    arrays = {"class_pairs": np.stack(pairs), "layers": names, "epochs": [one.epoch for one in kept]}
    write_arrays(folder.path / CLASS_PAIRS, arrays)


def place_of(layer: str) -> dict[str, str]:
    """The columns that tell a layer's rows, or those of the pixels."""
    return {"kind": "reference", "space": PIXELS} if layer == PIXELS else {"kind": "layers", "layer": layer}


def values_of(found: "Entanglement") -> dict[str, float]:
    """What rows tell of a layer, by metric."""
    return {
        "entanglement": found.score,
        "entanglement_loss": found.loss,
        "entanglement_bound": found.bound,
        "inverse_temperature": 1 / found.temperature,
    }


def class_pairs_of(found: "Entanglement", classes: int) -> "np.ndarray":
    """The class-pair matrix of a layer, float32 (classes, classes), NaN for classes of which no image was drawn."""
    import numpy as np

    matrix = np.full((classes, classes), np.nan, np.float32)
    drawn = found.classes.numpy()
    matrix[np.ix_(drawn, drawn)] = found.class_pairs.numpy()
    return matrix
