"""Snapshots of a classifier in training: its weights after the asked-for epochs; and what it says of images."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from classifiers._config import ClassifierConfig
from lab import imageset, registry
from lab.errors import WorkbenchError
from lab.tensors import load_weights

FOLDER = "snapshots"
NAME = re.compile(r"epoch-(\d+)-kimg-(\d+\.\d+)-step-(\d+)\.safetensors")


@dataclass(frozen=True)
class Snapshot:
    """One saved classifier: where it lies, the epochs and the kimg that it had seen, and its updates."""

    path: Path
    epoch: int
    kimg: float
    step: int


def kept_file(epoch: int, kimg: float, step: int) -> Path:
    """Where the weights are kept, below a training cell's folder."""
    return Path(FOLDER, f"epoch-{epoch:05d}-kimg-{kimg:011.3f}-step-{step:08d}.safetensors")


def snapshots(cell: Path) -> list[Snapshot]:
    """The snapshots of a training cell, in order of training.

    Raises:
        WorkbenchError: there is none.
    """
    found = []
    for path in sorted((cell / FOLDER).glob("epoch-*.safetensors")):
        if name := NAME.fullmatch(path.name):
            found.append(Snapshot(path, int(name[1]), float(name[2]), int(name[3])))
    if not found:
        raise WorkbenchError(f"{cell} holds no classifier: train it first, or take a folder that kept its weights.")
    return found


def load_classifier(snapshot: Snapshot, config: Mapping[str, Any]) -> nn.Module:
    """The classifier of a snapshot, in evaluation mode, on the CPU; `config` is that of its training.

    Raises:
        WorkbenchError: the file is damaged, or does not fit.
    """
    module = registry.load("classifiers", config["classifier"])
    settings: ClassifierConfig = module.Config.parse(config["settings"])
    network: nn.Module = module.build(settings, imageset.spec_of(config)).eval()
    load_weights(network, snapshot.path)
    return network.to(memory_format=torch.channels_last)


@torch.no_grad()
def logits_of(network: nn.Module, images: Tensor, device: torch.device | str = "cpu", batch: int = 256) -> Tensor:
    """A network's logits, float32 (n, classes) on the CPU, of uint8 images (n, c, h, w); it is left in its mode."""
    training = network.training
    network.eval()
    found = [
        network(imageset.to_float(part.to(device)).to(memory_format=torch.channels_last))[0].cpu()
        for part in images.split(batch)
    ]
    network.train(training)
    return torch.cat(found)
