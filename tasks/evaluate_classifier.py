"""Evaluate the last weights of a classifier: accuracy, likelihood and calibration error, on splits of an image set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

import imagesets
from classifiers._images import check_shown, check_validation
from imagesets import Name, Spec
from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.config import HIDDEN
from lab.config import Config as Settings
from lab.errors import UsageError
from lab.training.snapshots import snapshots
from tasks import train_classifier

VERSION = 1


class Config(Settings):
    """What is evaluated on."""

    splits: tuple[Literal["test", "train", "validation"], ...] = Field(
        ("test",), min_length=1, description="test; train, without what was kept apart to validate on; validation"
    )
    imageset: Name | None = Field(
        None, description="another image set than that of the training; folder:PATH or zip:PATH for your own"
    )
    spec: Spec | None = Field(
        None, description="what the other image set holds, where it is a user's own", json_schema_extra=HIDDEN
    )


def cell(
    training: Cell[train_classifier.Config], data: Path, splits: Sequence[str] = ("test",), images: str | None = None
) -> Cell[Config]:
    """Evaluate a training cell on splits of its image set.

    Of another image set, `images`, which must be of as many classes, in the same order, only the test split is taken.

    Raises:
        UsageError: there is no such split, nothing in it, or the network does not take such images.
    """
    run = training.config
    other = images if images != run.imageset else None
    config = Config.parse({"splits": tuple(splits), "imageset": other})
    shown = imagesets.spec(other, data) if other else run.spec_of_images
    if "test" in splits and "test" not in shown.splits:
        raise UsageError(f"{images or run.imageset} has no test split: there is nothing to evaluate on.")
    if "validation" in splits:
        check_validation(round(run.spec_of_images.n["train"] * run.validation))
    if other:
        _check_other(run.spec_of_images, shown, other, splits)
        config = config.replaced(spec=imagesets.recorded_spec(other, data))
    return Cell(
        "evaluate-classifier",
        f"evaluate-{training.label}",
        config,
        registry.versions("tasks/evaluate-classifier"),
        imagesets.fingerprint(other, data) if other else "",
        (training,),
        cost=2 + 5e-4 * sum(shown.n.values()),
    )


def run(folder: CellFolder) -> None:
    """Rows of `metrics.calibration`; float32 arithmetic."""
    import torch

    from classifiers._snapshots import load_classifier, logits_of
    from lab.training.draws import carve
    from lab.training.frame import evaluation_device
    from metrics.calibration import measure

    (training,) = folder.needs
    config, run = folder.settings(Config), training.settings(train_classifier.Config)
    snapshot, device = snapshots(training.path, "classifier")[-1], evaluation_device(training)
    network = load_classifier(snapshot, run).to(device)
    shown = config.imageset or run.imageset
    about = {"kind": "classifier", **run.about, "imageset": shown, **snapshot.when}
    for done, split in enumerate(config.splits):
        folder.event("progress", done=done, total=len(config.splits), text=f"on {split}")
        source = "test" if split == "test" else "train"
        images = imagesets.load(shown, source, **folder.data)
        picked = torch.arange(len(images), device="cpu")
        if source == "train":
            picked = carve(len(images), run.validation, run.seed)[split == "validation"]
        logits = logits_of(network, images.pixels(picked), device)
        for row in measure(logits, images.classes(picked)):
            folder.row(**about, split=split, **row)


def _check_other(built: Spec, shown: Spec, images: str, splits: Sequence[str]) -> None:
    """Raise UsageError unless a network takes the images of another set, whose classes of the same names have the same
    numbers, and of which only the test split is asked for.
    """
    check_shown(built, shown, images)
    if len(built.classes) != len(shown.classes):
        raise UsageError(f"The network tells {len(built.classes)} classes apart; {images} has {len(shown.classes)}.")
    for theirs, name in enumerate(shown.classes):
        if name in built.classes and (own := built.classes.index(name)) != theirs:
            numbers = f"its number {theirs}, and the network's number {own}"
            raise UsageError(f"The class {name!r} of {images} is {numbers}: bring them in one order.")
    if set(splits) != {"test"}:
        raise UsageError(f"Of {images}, which it was not trained on, only the test split can be evaluated.")
