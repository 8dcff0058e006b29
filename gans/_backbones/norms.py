"""How a network is normalised, and the sides of images that networks are built for."""

from typing import Literal

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from imagesets import SIZES
from lab.errors import UsageError

Norm = Literal["batch", "none", "spectral"]
"""BatchNorm (Ioffe and Szegedy 2015), nothing, or the division of each layer's weights by their largest singular value
(Miyato et al. 2018), followed by one power iteration in every pass of a training."""
WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """What normalises the maps (b, channels, h, w) of a layer."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


def normalise_weights(network: nn.Module, norm: Norm) -> None:
    """Keep the weights of all layers at a spectral norm of 1, if that is the normalisation."""
    if norm == "spectral":
        for module in [module for module in network.modules() if isinstance(module, WEIGHTED)]:
            spectral_norm(module)


def doublings(size: int) -> int:
    """How many times a side is halved until it is 4 to 7 pixels.

    Raises:
        UsageError: the size is none of `SIZES`.
    """
    if size not in SIZES:
        raise UsageError(f"Images of {size} x {size} cannot be built; the sides are {', '.join(map(str, SIZES))}.")
    return next(k for k in (2, 3, 4) if size >> k <= 7)
