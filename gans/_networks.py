"""The convolutional pair that the GANs without a network of their own share (Radford et al. 2016).

Images of side `base * 2**k` with a base of 4 to 7 are built from a base x base map by k doublings:
16, 20, 24, 28, 32, 40, 48, 56 and 64 pixels.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from imagesets import SIZES, Spec
from lab.errors import UsageError


def doublings(size: int) -> int:
    """How many times a side is halved until it is 4 to 7 pixels.

    Raises:
        UsageError: the size is none of `SIZES`.
    """
    if size not in SIZES:
        raise UsageError(f"Images of {size} x {size} cannot be built; the sides are {', '.join(map(str, SIZES))}.")
    return next(k for k in (2, 3, 4) if size >> k <= 7)


class ConvGenerator(nn.Module):
    """Latent (b, z) -> images (b, channels, size, size) in [-1, 1]; all layers but the last have BatchNorm and ReLU."""

    def __init__(self, spec: Spec, latent: int, width: int) -> None:
        super().__init__()
        k = doublings(spec.size)
        self.base = spec.size >> k
        self.widest = width << (k - 1)
        self.project = nn.Linear(latent, self.widest * self.base**2, bias=False)
        self.norm = nn.BatchNorm2d(self.widest)
        self.up = nn.ModuleList(_up(width << i, width << (i - 1)) for i in range(k - 1, 0, -1))
        self.to_image = nn.ConvTranspose2d(width, spec.channels, 4, 2, 1)
        self.apply(normal_weights)

    def forward(self, z: Tensor) -> Tensor:
        x = self.project(z).view(-1, self.widest, self.base, self.base)
        x = torch.relu(self.norm(x.contiguous(memory_format=torch.channels_last)))
        for block in self.up:
            x = block(x)
        return torch.tanh(self.to_image(x).float())


class ConvDiscriminator(nn.Module):
    """Images (b, channels, size, size) -> logits (b,), features {"conv1": ..., "conv2": ...} after each activation.

    `norm` makes the normalisation of a layer's channels; it is left out of the first layer, as in the paper.
    """

    def __init__(self, spec: Spec, width: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        k = doublings(spec.size)
        channels = [spec.channels, *(width << i for i in range(k))]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels[i], channels[i + 1], 4, 2, 1), norm(channels[i + 1]) if i else nn.Identity()
            )
            for i in range(k)
        )
        self.head = nn.Linear(channels[-1] * (spec.size >> k) ** 2, 1)
        self.apply(normal_weights)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        features = {}
        for i, block in enumerate(self.blocks, start=1):
            x = nn.functional.leaky_relu(block(x), 0.2)
            features[f"conv{i}"] = x
        return self.head(x.flatten(1)).float().squeeze(1), features


def normal_weights(module: nn.Module) -> None:
    """Radford et al.'s start: weights N(0, 0.02), normalisation gains N(1, 0.02), biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    if getattr(module, "bias", None) is not None:
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]


def _up(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(channels, out, 4, 2, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
    )
