"""Measure every layer of a classifier at the snapshots of its training."""

from typing import TYPE_CHECKING

from pydantic import Field

import imagesets
from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.config import Config as Settings
from tasks import train_classifier
from tasks._schedule import quadratic

if TYPE_CHECKING:
    import numpy as np

    from snnl_core import Entanglement

VERSION = 1


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
    from classifiers._snapshots import kept_classifiers, load_classifier
    from lab.files import replacing
    from lab.training.draws import subset
    from lab.training.frame import evaluation_device
    from metrics.layers import entanglements

    folder.keep_rows([])
    (training,) = folder.needs
    config, run = Config.parse(folder.config), train_classifier.Config.parse(training.config)
    held_out = imagesets.load(run.imageset, "test", root=folder.data_root, download=folder.download)
    picked = subset(len(held_out), config.n, 0, "measured", "test")
    images, labels = held_out.pixels(picked), held_out.classes(picked)
    about = {"model": run.classifier, "imageset": run.imageset, "seed": run.seed, "setting": run.setting}
    kept, device = kept_classifiers(training.path), evaluation_device(training)
    classes = len(run.spec_of_images.classes)
    pixels = imagesets.to_float(images)
    names: list[str] = []
    pairs = []
    for done, snapshot in enumerate(kept):
        folder.event("progress", done=done, total=len(kept), text=f"{done} of {len(kept)} snapshots")
        layers = features_of(load_classifier(snapshot, run).to(device), images, config.max_features)
        names, matrices = list(layers), []
        for name, found in entanglements({"pixels": pixels, **layers} if not done else layers, labels):
            where = {"kind": "reference", "space": "pixels"} if name == "pixels" else {"kind": "layers", "layer": name}
            when = {"kimg": snapshot.kimg, "step": snapshot.step, "split": "test", "n": config.n}
            for metric, value in values_of(found).items():
                folder.row(**where, metric=metric, value=value, **about, **when)
            if name != "pixels":
                matrices.append(class_pairs_of(found, classes))
        pairs.append(np.stack(matrices))
    with replacing(folder.path / "class_pairs.npz") as aside, aside.open("wb") as file:
        np.savez_compressed(file, class_pairs=np.stack(pairs), layers=names, epochs=[one.epoch for one in kept])


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
