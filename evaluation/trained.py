"""Feature spaces of the workbench's own networks, classifiers and discriminators, by the folders of their training."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor, nn

import imagesets
from classifiers._config import TrainingConfig as ClassifierTraining
from classifiers._snapshots import load_classifier
from evaluation.spaces import Seen, Space, of_network, points
from gans._config import TrainingConfig as GanTraining
from lab import registry
from lab.cells.folder import CellFolder
from lab.cells.layout import CHECKPOINTS
from lab.errors import UsageError, WorkbenchError
from lab.training import checkpoint
from lab.training.frame import evaluation_device
from lab.training.snapshots import snapshots
from lab.training.tensors import fill


def classifier_space(folder: CellFolder) -> Space:
    """The last hidden layer of a classifier's last weights, and its predictions.

    Raises:
        WorkbenchError: the folder keeps no weights, or they are damaged.
    """
    run = folder.settings(ClassifierTraining)
    network = load_last(folder).to(evaluation_device(folder))
    classes = len(run.spec_of_images.classes)
    layer = _last_layer(network, run.spec_of_images)
    read, takes = _reader(network, layer, predicts=True), run.spec_of_images.shape
    code = str(registry.version(f"classifiers/{run.classifier}"))
    return of_network(run.classifier, network, read, layer=layer, classes=classes, takes=takes, code=code)


def open_classifier(path: Path | str) -> nn.Module:
    """The classifier of a training's folder, as `load_last` gives it.

    Raises:
        WorkbenchError: it is no such folder, keeps no weights, or they are damaged.
    """
    folder = CellFolder(Path(path))
    if folder.task != "train-classifier":
        raise WorkbenchError(f"{path} is not the folder of a classifier's training.")
    return load_last(folder)


def load_last(folder: CellFolder) -> nn.Module:
    """The classifier of a training's last snapshot, in evaluation mode, on the CPU.

    Raises:
        WorkbenchError: the folder keeps no weights, or they are damaged.
    """
    return load_classifier(snapshots(folder.path, "classifier")[-1], folder.settings(ClassifierTraining))


def discriminator_space(folder: CellFolder) -> Space:
    """The last features of a GAN's discriminator, as its training's last checkpoint has it.

    Raises:
        UsageError: the GAN has no discriminator.
        WorkbenchError: the folder keeps no checkpoint, or it is damaged.
    """
    run = folder.settings(GanTraining)
    build = registry.load("gans", run.gan).Discriminator
    if build is None:
        raise UsageError(f"{folder.path}: {run.gan} has no discriminator whose features could be taken; name another.")
    kept = checkpoint.newest_first(folder.path / CHECKPOINTS)
    if not kept:
        raise WorkbenchError(f"{folder.path} keeps no checkpoint, and so no discriminator: train it again.")
    weights = checkpoint.read(kept[0], folder.key).files["discriminator.safetensors"]
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = build(run.settings, run.spec_of_images)
    fill(network, load(weights))
    network = network.to(evaluation_device(folder)).to(memory_format=torch.channels_last)
    layer = _last_layer(network, run.spec_of_images)
    read, takes = _reader(network, layer, predicts=False), run.spec_of_images.shape
    code = str(registry.version(f"gans/{run.gan}"))
    return of_network(f"{run.gan}-discriminator", network, read, layer=layer, takes=takes, code=code)


def _last_layer(network: nn.Module, spec: imagesets.Spec) -> str:
    device = next(network.parameters()).device
    with torch.no_grad():
        _, features = network.eval()(torch.zeros(2, *spec.shape, device=device))
    return list(features)[-1]


def _reader(network: nn.Module, layer: str, *, predicts: bool) -> Callable[[Tensor], Seen]:
    def read(images: Tensor) -> Seen:
        output, features = network(imagesets.to_float(images).to(memory_format=torch.channels_last))
        return Seen(points(features[layer]), output.argmax(1) if predicts else None)

    return read
