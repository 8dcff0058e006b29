"""Classifiers of a training: loaded again, and what they say of images."""

import torch
from torch import Tensor, nn

import imagesets
from classifiers._config import TrainingConfig
from lab import registry
from lab.training.modes import evaluating
from lab.training.snapshots import Snapshot
from lab.training.tensors import load_weights

BATCH = 256


def load_classifier(snapshot: Snapshot, config: TrainingConfig) -> nn.Module:
    """The classifier of a snapshot, in evaluation mode, on the CPU; `config` is that of its training.

    Raises:
        WorkbenchError: the file is damaged, or does not fit.
    """
    module = registry.load("classifiers", config.classifier)
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = module.build(config.settings, config.spec_of_images).eval()
    load_weights(network, snapshot.path, snapshot.hash)
    return network.to(memory_format=torch.channels_last)


@torch.no_grad()
def logits_of(network: nn.Module, images: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """A network's logits, float32 (n, classes) on the CPU, of uint8 images (n, c, h, w); it is left in its mode."""
    with evaluating(network):
        parts = (imagesets.to_float(part.to(device)) for part in images.split(BATCH))
        return torch.cat([network(part.to(memory_format=torch.channels_last))[0].cpu() for part in parts])
