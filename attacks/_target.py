"""What is attacked: a network, and maybe the deep k-nearest neighbours that look at its hidden layers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attacks._config import Loss
from attacks._neighbors import Neighbors
from lab.errors import UsageError
from snnl_core import DeepKNN
from snnl_core.pooling import MAX_FEATURES, pool_maps

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Images (b, c, h, w) in [0, 1] -> what an attack raises (b,), differentiable, and by how much it has won (b,): above 0
where another class wins."""


@dataclass(frozen=True)
class Target:
    """A classifier of images in [0, 1], which are taken to the range that its network takes.

    Attributes:
        network: images (b, c, h, w) in [-1, 1] -> (logits (b, classes), {hidden layer: features}).
        knn: neighbours that were fitted to features of hidden layers; None where there are none.
        max_features: larger maps are averaged to so many numbers for neighbours (`snnl_core.pooling`).
    """

    network: nn.Module
    knn: DeepKNN | None = None
    max_features: int = MAX_FEATURES

    def logits(self, x: Tensor) -> Tensor:
        """The network's (b, classes)."""
        logits: Tensor = self.network(2 * x - 1)[0]
        return logits

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """What the neighbours see of each hidden layer, (b, d)."""
        layers = self.network(2 * x - 1)[1]
        return {name: pool_maps(layer, self.max_features) for name, layer in layers.items()}

    @cached_property
    def neighbors(self) -> Neighbors:
        """The fitted neighbours, in a form that has gradients.

        Raises:
            UsageError: there are none.
        """
        if self.knn is None:
            raise UsageError("neighbor attacks deep k-nearest neighbours, and there are none: fit them first.")
        return Neighbors.of(self.knn)

    def objective(self, labels: Tensor, loss: Loss) -> Objective:
        """A loss of the logits for images of classes `labels` (b,), and the margin by which another class wins."""

        def of(x: Tensor) -> tuple[Tensor, Tensor]:
            logits = self.logits(x)
            won = margin(logits, labels)
            raised = won if loss == "margin" else F.cross_entropy(logits, labels, reduction="none")
            return raised, won.detach()

        return of


def margin(scores: Tensor, labels: Tensor) -> Tensor:
    """The largest of the other classes' scores (b, classes) minus that of the labels (b,): (b,)."""
    own = labels[:, None]
    others = scores.scatter(1, own, -torch.inf)
    return others.amax(1) - scores.gather(1, own)[:, 0]
