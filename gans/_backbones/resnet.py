"""The residual pair of Gulrajani et al. (2017) and Miyato et al. (2018): a block for each halving of the side.

Generator: blocks that double the side by nearest neighbours; discriminator: blocks that halve it by averages, then ReLU
and the sum over all places. Weights start by Glorot's rule, times the square root of 2 where kernels are 3 x 3 (as in
SNGAN before ReLU, and here before the generator's tanh, too); where nothing normalises them, the last layer of every
block starts at 0 (Zhang et al. 2019, Fixup), so that each block starts as its shortcut. At the same width it costs
several times what the plain pair costs.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gans._backbones.classes import ClassLatent, projection, with_labels
from gans._backbones.norms import Norm, doublings, normalisation, normalise_weights
from imagesets import Spec


class Generator(nn.Module):
    """Latent (b, z) -> images (b, channels, size, size) in [-1, 1]."""

    def __init__(self, spec: Spec, latent: int, width: int, norm: Norm, classes: int = 0) -> None:
        super().__init__()
        self.classes = ClassLatent(classes, latent) if classes else None
        k = doublings(spec.size)
        self.base = spec.size >> k
        self.widest = width << (k - 1)
        channels = [self.widest, *(width << i for i in range(k - 1, -1, -1))]
        self.project = nn.Linear(2 * latent if classes else latent, self.widest * self.base**2)
        self.up = nn.ModuleList(Up(channels[i], channels[i + 1], norm) for i in range(k))
        self.norm = normalisation(norm, width)
        self.to_image = nn.Conv2d(width, spec.channels, 3, padding=1)
        start(self, norm)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        z = z if self.classes is None else self.classes(z, labels)
        x = self.project(z).view(-1, self.widest, self.base, self.base).contiguous(memory_format=torch.channels_last)
        for block in self.up:
            x = block(x)
        return torch.tanh(self.to_image(torch.relu(self.norm(x))).float())


class Discriminator(nn.Module):
    """Images (b, channels, size, size) -> scores (b,), features {"block1": ..., "block2": ...} after each block."""

    def __init__(self, spec: Spec, width: int, norm: Norm, classes: int = 0) -> None:
        super().__init__()
        channels = [spec.channels, *(width << i for i in range(doublings(spec.size)))]
        sides = range(len(channels) - 1)
        self.blocks = nn.ModuleList(Down(channels[i], channels[i + 1], norm, first=i == 0) for i in sides)
        self.head = nn.Linear(channels[-1], 1)
        self.projection = projection(classes, channels[-1]) if classes else None
        start(self, norm)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        features = {}
        for i, block in enumerate(self.blocks, start=1):
            x = features[f"block{i}"] = block(x)
        x = torch.relu(x).sum((2, 3))
        return with_labels(self.head(x).float().squeeze(1), self.projection, x, labels), features


class Up(nn.Module):
    """Maps (b, channels, h, w) -> (b, out, 2 h, 2 w)."""

    def __init__(self, channels: int, out: int, norm: Norm) -> None:
        super().__init__()
        self.before = nn.Sequential(normalisation(norm, channels), nn.ReLU())
        self.first = _conv(channels, out, norm)
        self.between = nn.Sequential(normalisation(norm, out), nn.ReLU())
        self.last = nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = F.interpolate(self.shortcut(x), scale_factor=2.0)
        x = self.first(F.interpolate(self.before(x), scale_factor=2.0))
        return shortcut + self.last(self.between(x))


class Down(nn.Module):
    """Maps (b, channels, h, w) -> (b, out, h / 2, w / 2); the first block takes the image as it is."""

    def __init__(self, channels: int, out: int, norm: Norm, first: bool) -> None:
        super().__init__()
        self.before = nn.Identity() if first else nn.Sequential(normalisation(norm, channels), nn.ReLU())
        self.first = _conv(channels, out, norm)
        self.between = nn.Sequential(normalisation(norm, out), nn.ReLU())
        self.last = nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut(F.avg_pool2d(x, 2))
        return shortcut + F.avg_pool2d(self.last(self.between(self.first(self.before(x)))), 2)


def start(network: nn.Module, norm: Norm) -> None:
    """Give a network its first weights, and normalise them."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            followed = isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)  # by ReLU
            nn.init.xavier_uniform_(module.weight, math.sqrt(2) if followed else 1.0)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if norm == "none" and isinstance(module, Up | Down):
            nn.init.zeros_(module.last.weight)
    normalise_weights(network, norm)


def _conv(channels: int, out: int, norm: Norm) -> nn.Conv2d:
    """Before a norm: BatchNorm would subtract its bias again."""
    return nn.Conv2d(channels, out, 3, padding=1, bias=norm != "batch")
