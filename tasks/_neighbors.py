"""The neighbours of a trained classifier: which images they are searched among, and which calibrate them.

They are searched among the images that the network was trained on. Of the images kept apart to validate on, a part
calibrates the p-values and another the temperatures; no image is in two of these.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

import imagesets
from classifiers._config import TrainingConfig
from lab.cells.folder import CellFolder
from lab.config import Config as Settings
from lab.errors import UsageError
from lab.training.snapshots import snapshots
from tasks import train_classifier
from tasks._images import draw

if TYPE_CHECKING:
    from torch import Tensor, nn

    from classifiers._credibility import Observer
    from imagesets import ImageSet

FEWEST_VALIDATION = 4
"""Of so many images at least, two calibrate and two scale."""


class Searching(Settings):
    """How many neighbours are searched, and against how many images they are calibrated."""

    k: int = Field(75, ge=1, description="neighbours in each hidden layer")
    calibration: int = Field(
        1000, ge=1, description="validation images to calibrate p-values, and temperatures; half of them each at most"
    )
    bank: int | None = Field(
        None, ge=1, description="training images to search, drawn by seed; not given: all that were trained on"
    )


class Searched(Searching):
    """By which features neighbours are near."""

    distance: Literal["cosine", "sqeuclidean"] = Field(
        "cosine", description="distance of features: 1 - cos, or squared Euclidean"
    )
    max_features: int = Field(4096, ge=1, description="larger maps are averaged to at most so many numbers an image")


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


def sizes(config: Searching, run: TrainingConfig) -> tuple[int, int]:
    """How many images are searched for a training, and how many calibrate.

    Raises:
        UsageError: too few images are kept apart from training, or are left to search.
    """
    n = run.spec_of_images.n["train"]
    held = round(run.validation * n)
    if held < FEWEST_VALIDATION:
        raise UsageError(
            f"Of {held} images kept apart to validate on, none are left to calibrate with: train with a larger "
            "--validation."
        )
    bank = min(config.bank or n, n - held)
    if bank < config.k:
        raise UsageError(f"k = {config.k} neighbours of {bank} images: give a smaller --k.")
    return bank, min(config.calibration, held // 2)


def split(n: int, config: Searching, validation: float, seed: int) -> Parts:
    """The parts of n training images: those to search, those to calibrate with, those to fit temperatures on."""
    from lab.training.draws import carve, subset

    trained, apart = carve(n, validation, seed)
    size = min(config.calibration, len(apart) // 2)
    held = apart[subset(len(apart), 2 * size, seed, "calibration")]
    bank = trained
    if config.bank is not None and config.bank < len(trained):
        bank = trained[subset(len(trained), config.bank, seed, "bank").sort().values]
    return Parts(bank, held[:size], held[size:])


@dataclass(frozen=True)
class Examined:
    """What a cell on a trained classifier looks at: the network as it was at the end, and test images.

    Attributes:
        run: how it was trained.
        network: on the device where it is evaluated, in evaluation mode.
        source: the train split.
        parts: of it.
        images, labels: test images, uint8 (n, c, h, w), drawn alike for every network, and their classes (n,).
        about: what rows tell of network and images.
    """

    run: TrainingConfig
    network: "nn.Module"
    source: "ImageSet"
    parts: Parts
    images: "Tensor"
    labels: "Tensor"
    about: dict[str, Any]

    @classmethod
    def of(cls, folder: CellFolder, config: Searched, n: int) -> "Examined":
        """The training that a cell needs, and n test images."""
        from classifiers._snapshots import load_classifier
        from lab.training.frame import evaluation_device

        (training,) = folder.needs
        run = training.settings(train_classifier.Config)
        source = imagesets.load(run.imageset, "train", **folder.data)
        images, labels = draw(folder, run.imageset, "test", n, 0)
        assert labels is not None, "a classifier was trained on them"
        parts = split(len(source), config, run.validation, run.seed)
        snapshot = snapshots(training.path, "classifier")[-1]
        network = load_classifier(snapshot, run).to(evaluation_device(training))
        return cls(run, network, source, parts, images, labels, {**run.about, **snapshot.when, "split": "test"})

    def observer(self, config: Searched, scratch: Path) -> "Observer":
        """The network with its neighbours, whose files go to `scratch`."""
        from classifiers._credibility import Observer
        from snnl_core import DeepKNN

        observer = Observer(self.network, DeepKNN(config.k, config.distance), config.max_features, scratch)
        bank, calibration = self.parts.bank, self.parts.calibration
        observer.fit(self.source.pixels(bank), self.source.classes(bank))
        return observer.calibrate(self.source.pixels(calibration), self.source.classes(calibration))
