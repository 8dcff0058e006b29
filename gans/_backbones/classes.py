"""How networks are told of classes: the generator by its latent, the discriminator by a projection."""

import torch
from torch import Tensor, nn

FIRST = 0.1
"""The size of what is first known of a class, as a share of the noise's: with 1, a class's images became all the same.
"""


class ClassLatent(nn.Module):
    """Latent (b, z) and labels (b,) -> (b, 2 z): beside the noise what is learned of the class.

    In place of labels, weights of the classes, floating (b, classes), give a mixture. `shares` (classes,) are the
    classes' shares of the training images, by which labels are drawn later.
    """

    shares: Tensor

    def __init__(self, classes: int, latent: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, latent)
        nn.init.normal_(self.embedding.weight, 0.0, FIRST)
        self.register_buffer("shares", torch.full((classes,), 1 / classes))

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        learned = labels @ self.embedding.weight if labels.is_floating_point() else self.embedding(labels)
        return torch.cat([z, learned], 1)


def projection(classes: int, features: int) -> nn.Embedding:
    """What a discriminator learns of each class (Miyato and Koyama 2018): next to nothing at first."""
    embedding = nn.Embedding(classes, features)
    nn.init.normal_(embedding.weight, 0.0, 0.02)
    return embedding


def with_labels(scores: Tensor, projection: nn.Module | None, features: Tensor, labels: Tensor | None) -> Tensor:
    """Scores (b,) and what the labels (b,) add to them: the inner products of what was learned with features (b, d)."""
    if projection is None or labels is None:
        return scores
    return scores + (projection(labels) * features).sum(1)
