"""Labels of batches and of images to be generated, where a GAN is conditional on them."""

import torch
from torch import Tensor, nn

from lab.training.draws import random_generator

Scored = tuple[Tensor, dict[str, Tensor]]
"""What a discriminator gives for images: scores (b,), and features (b, ...) by layer."""


class Labelled(nn.Module):
    """A discriminator that knows the labels (b,) of the batch, so that an objective need not: it passes images alone.

    Real and generated images have the same labels, place by place, in one pass or in several.
    """

    def __init__(self, discriminator: nn.Module, labels: Tensor) -> None:
        super().__init__()
        self.discriminator, self.labels = discriminator, labels

    def forward(self, x: Tensor) -> Scored:
        """Scores and features of images (k b, c, h, w)."""
        scored: Scored = self.discriminator(x, self.labels.repeat(len(x) // len(self.labels)))
        return scored


def labelled(discriminator: nn.Module, labels: Tensor | None) -> nn.Module:
    """The discriminator for one batch."""
    return discriminator if labels is None else Labelled(discriminator, labels)


def shares_of(generator: nn.Module) -> Tensor | None:
    """The classes' shares (classes,) of the images that a generator learned from; None if it knows of no classes."""
    classes = getattr(generator, "classes", None)
    return None if classes is None else classes.shares


def drawn_labels(generator: nn.Module, n: int, seed: int) -> Tensor | None:
    """n labels, int64 (n,), in the classes' shares of the training images; None if the generator knows of none."""
    shares = shares_of(generator)
    if shares is None:
        return None
    return torch.multinomial(shares.cpu(), n, replacement=True, generator=random_generator(seed, "labels"))


def rows_by_class(generator: nn.Module, n: int) -> list[Tensor] | None:
    """n labels, a row of int64 (m,) for each class; None if the generator knows of none, or of more than n."""
    shares = shares_of(generator)
    if shares is None or len(shares) > n:
        return None
    return [torch.full((len(range(label, n, len(shares))),), label, device="cpu") for label in range(len(shares))]
