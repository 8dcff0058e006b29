"""A trained network beside the images that it was trained on and those that it has not seen: what neighbours need."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import imagesets
from classifiers._config import TrainingConfig
from classifiers._images import check_validation
from classifiers._snapshots import load_classifier
from imagesets import ImageSet, Spec
from lab.cells.folder import CellFolder
from lab.errors import Say, WorkbenchError
from lab.machine import check_device, resolve_device
from lab.training.draws import carve
from lab.training.frame import evaluation_device
from lab.training.precision import set_gpu_arithmetic
from lab.training.snapshots import snapshots
from outside import own
from outside.layered import Layered, Normalize, extractor, usual


@dataclass(frozen=True)
class Trained:
    """A network and its images.

    Attributes:
        name: what the network is called.
        place: where it is from, for whoever has to mend it.
        network: images (b, c, h, w) in [-1, 1] -> (logits (b, classes), {hidden layer: features}), where it computes.
        spec: what its images are.
        train: the train split.
        fitted: which of it the network was trained on (f,).
        held_out: images with labels that took no part in training.
        held: what these are.
        seed: of the draws from either.
    """

    name: str
    place: str
    network: nn.Module
    spec: Spec
    train: ImageSet
    fitted: Tensor
    held_out: ImageSet
    held: str
    seed: int


def trained_here(cell: Path, *, data: Path, download: bool = True) -> Trained:
    """A training cell's last network; what was kept apart to validate is held out.

    Raises:
        UsageError: nothing was kept apart.
        WorkbenchError: weights or images cannot be read.
    """
    folder = CellFolder(cell)
    run = folder.settings(TrainingConfig)
    snapshot = snapshots(cell, "classifier")[-1]
    train = imagesets.load(run.imageset, "train", root=data, download=download)
    fitted, kept = carve(len(train), run.validation, run.seed)
    check_validation(len(kept))
    network = load_classifier(snapshot, run).to(evaluation_device(folder))
    held_out = ImageSet(train.pixels(kept), train.classes(kept))
    return Trained(
        run.classifier, str(cell), network, run.spec_of_images, train, fitted, held_out, "validation", run.seed
    )


def trained_elsewhere(
    model: str,
    imageset: str,
    *,
    data: Path,
    weights: Path | None = None,
    layers: Sequence[str] | None = None,
    size: int | None = None,
    normalize: Normalize | None = None,
    download: bool = True,
    say: Say = lambda text: None,
) -> Trained:
    """A network made elsewhere, in float32, trained on the train split of an image set, whose test split is held out.

    Args:
        model: `torchvision:NAME`, or `FILE.py:NAME`: the file is run, and NAME is a network or builds one.
        imageset: its classes are the network's, in their order.
        data: folder of the data sets.
        weights: a file, .safetensors or a state dict of torch; None for what the network is built with.
        layers: names of hidden layers; None for its stages, else its modules (`outside.layered.extractor`).
        size: side in pixels that images are resized to, bilinearly; None for the image set's own.
        normalize: `imagenet`, or `none` for values in [0, 1]; None for `imagenet` with networks of torchvision alone.
        download: fetch data that are not there.
        say: is told, in lines, which weights there are, and how layers are had.

    Raises:
        UsageError: a name is unknown, or the network takes no such images.
        WorkbenchError: files or data cannot be read or do not fit, or there are no labels.
    """
    device = resolve_device("auto")
    check_device(device)
    set_gpu_arithmetic()
    network = own.build(model, weights, 0).to(device)
    say(own.describe(model, weights, 0))
    spec = imagesets.spec(imageset, data)
    train, held_out = (imagesets.load(imageset, split, root=data, download=download) for split in ("train", "test"))
    if train.labels is None or held_out.labels is None:
        raise WorkbenchError(f"{imageset} has no labels, so there are no classes for {model} to tell apart.")
    shown, two = usual(model, size or spec.size, normalize), train.batch(torch.arange(2, device="cpu"))
    seen = Layered(extractor(model, network, layers, shown(two).to(device), say, hidden=True), shown)
    told_apart = seen(two.to(device))[0].shape[1]
    if told_apart != len(spec.classes):
        raise WorkbenchError(
            f"{model} tells {told_apart} classes apart, and {imageset} has {len(spec.classes)}: a logit for each of "
            "these, in their order, is needed."
        )
    return Trained(model, model, seen, spec, train, torch.arange(len(train), device="cpu"), held_out, "test", 0)
