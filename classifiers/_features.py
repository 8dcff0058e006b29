"""What a network's layers make of images: one extraction for all that is measured of them."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

import imagesets
from classifiers._rows import InFile, InMemory
from snnl_core.pooling import pool_maps

BATCH = 250
LARGE = 1 << 29
"""Bytes of all layers' features, above which they may go to files."""
LOGITS = "logits"
"""What the logits are called beside the hidden layers."""


@torch.no_grad()
def features_of(
    network: nn.Module, images: Tensor, max_features: int, scratch: Path | None = None
) -> dict[str, Tensor]:
    """The hidden layers' features, in order, and the logits of images (n, c, h, w): float32 (n, d), on the CPU.

    Images are uint8, or floating in [0, 1], as attacked ones are. Maps of more than `max_features` numbers an image are
    averaged (`snnl_core.pooling`). The network stays in its mode and where it is. What is too large for memory lies in
    files in the folder `scratch`, if one is given, which nobody sees and which are gone with the features.
    """
    found: Mapping[str, InMemory | InFile] = {}
    for batch in images.split(BATCH):
        own = batch.to(device_of(network))
        x = 2 * own - 1 if own.is_floating_point() else imagesets.to_float(own)
        logits, features = network(x.to(memory_format=torch.channels_last))
        named = {**features, LOGITS: logits}
        parts = {name: pool_maps(feature, max_features).float().cpu() for name, feature in named.items()}
        found = found or _rows(len(images), parts, scratch)
        for name, part in parts.items():
            found[name].put(part)
    return {name: rows.whole() for name, rows in found.items()}


def _rows(n: int, parts: Mapping[str, Tensor], scratch: Path | None) -> Mapping[str, InMemory | InFile]:
    """Where n rows like those of the parts (b, d) are put, by layer."""
    sizes = {name: part.shape[1] for name, part in parts.items()}
    if scratch is None or 4 * n * sum(sizes.values()) <= LARGE:
        return {name: InMemory(n, d) for name, d in sizes.items()}
    return {name: InFile(n, d, scratch) for name, d in sizes.items()}


def device_of(network: nn.Module) -> torch.device:
    """Where a network computes; the CPU where it has no parameters."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
