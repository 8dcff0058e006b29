"""What a network's layers make of images: one extraction for all that is measured of them."""

import torch
from torch import Tensor, nn

import imagesets
from snnl_core.pooling import pool_maps

BATCH = 250
LOGITS = "logits"
"""What the logits are called beside the hidden layers."""


@torch.no_grad()
def features_of(network: nn.Module, images: Tensor, max_features: int) -> dict[str, Tensor]:
    """The hidden layers' features, in order, and the logits of uint8 images (n, c, h, w): float32 (n, d), on the CPU.

    Maps of more than `max_features` numbers an image are averaged (`snnl_core.pooling`). The network stays in its mode
    and where it is.
    """
    device = device_of(network)
    found: dict[str, Tensor] = {}
    for start in range(0, len(images), BATCH):
        x = imagesets.to_float(images[start : start + BATCH].to(device))
        logits, features = network(x.to(memory_format=torch.channels_last))
        for name, feature in {**features, LOGITS: logits}.items():
            part = pool_maps(feature, max_features).float().cpu()
            whole = found.setdefault(name, part.new_empty(len(images), part.shape[1]))
            whole[start : start + BATCH] = part
    return found


def device_of(network: nn.Module) -> torch.device:
    """Where a network computes; the CPU where it has no parameters."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
