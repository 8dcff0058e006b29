"""The plain convolutional pair (Radford et al. 2016): a layer for each halving of the side.

Images of side `base * 2**k` with a base of 4 to 7 are built from a base x base map by k doublings:
16, 20, 24, 28, 32, 40, 48, 56 and 64 pixels.
"""

import math

import torch
from torch import Tensor, nn

from gans._backbones.classes import ClassLatent, projection, with_labels
from gans._backbones.norms import Norm, doublings, normalisation, normalise_weights
from imagesets import Spec
from lab.training.maps import channels_last_gradient


class Generator(nn.Module):
    """Latent (b, z) -> images (b, channels, size, size) in [-1, 1]; all layers but the last have a norm and ReLU.

    Without a norm the weights start as He et al. (2015) have it, so that the maps keep their size from layer to layer.
    """

    def __init__(self, spec: Spec, latent: int, width: int, norm: Norm, classes: int = 0) -> None:
        super().__init__()
        self.classes = ClassLatent(classes, latent) if classes else None
        k = doublings(spec.size)
        self.base = spec.size >> k
        self.widest = width << (k - 1)
        self.project = nn.Linear(2 * latent if classes else latent, self.widest * self.base**2, bias=False)
        self.norm = normalisation(norm, self.widest)
        self.up = nn.ModuleList(_up(width << i, width << (i - 1), norm) for i in range(k - 1, 0, -1))
        self.to_image = nn.ConvTranspose2d(width, spec.channels, 4, 2, 1)
        self.apply(he_weights if norm == "none" else normal_weights)
        normalise_weights(self, norm)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        z = z if self.classes is None else self.classes(z, labels)
        x = self.project(z).view(-1, self.widest, self.base, self.base)
        x = torch.relu(self.norm(x.contiguous(memory_format=torch.channels_last)))
        for block in self.up:
            x = block(x)
        return torch.tanh(self.to_image(x).float())


class Discriminator(nn.Module):
    """Images (b, channels, size, size) -> scores (b,), features {"conv1": ..., "conv2": ...} after each activation.

    BatchNorm is left out of the first layer, as in the paper.
    """

    def __init__(self, spec: Spec, width: int, norm: Norm, classes: int = 0) -> None:
        super().__init__()
        k = doublings(spec.size)
        channels = [spec.channels, *(width << i for i in range(k))]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels[i], channels[i + 1], 4, 2, 1),
                normalisation(norm, channels[i + 1]) if i else nn.Identity(),
            )
            for i in range(k)
        )
        features = channels[-1] * (spec.size >> k) ** 2
        self.head = nn.Linear(features, 1)
        self.projection = projection(classes, features) if classes else None
        self.apply(normal_weights)
        normalise_weights(self, norm)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        features = {}
        for i, block in enumerate(self.blocks, start=1):
            x = nn.functional.leaky_relu(block(x), 0.2)
            features[f"conv{i}"] = x
        x = channels_last_gradient(x).flatten(1)
        return with_labels(self.head(x).float().squeeze(1), self.projection, x, labels), features


def normal_weights(module: nn.Module) -> None:
    """Radford et al.'s start: weights N(0, 0.02), normalisation gains N(1, 0.02), biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    if getattr(module, "bias", None) is not None:
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]


def he_weights(module: nn.Module) -> None:
    """Weights N(0, 2 / the number of inputs of an output), biases 0."""
    if isinstance(module, nn.Linear | nn.ConvTranspose2d):
        # A 4 x 4 kernel at stride 2 reaches each output pixel from 2 x 2 of the input.
        inputs = module.in_features if isinstance(module, nn.Linear) else 4 * module.in_channels
        nn.init.normal_(module.weight, 0.0, math.sqrt(2 / inputs))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _up(channels: int, out: int, norm: Norm) -> nn.Sequential:
    biased = norm != "batch"  # which subtracts it again
    return nn.Sequential(
        nn.ConvTranspose2d(channels, out, 4, 2, 1, bias=biased), normalisation(norm, out), nn.ReLU(inplace=True)
    )
