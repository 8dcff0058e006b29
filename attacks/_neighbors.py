"""The vote of deep k-nearest neighbours, and a smooth one with gradients in its place."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from snnl_core import DeepKNN
from snnl_core.bank import wide
from snnl_core.distances import Distance, full_precision, prepare


@dataclass(frozen=True)
class Neighbors:
    """Fitted rows, those of a class next to each other.

    Attributes:
        k: neighbours in each layer.
        distance: of features.
        layers: the rows (m, d) of each, whose squared Euclidean distances are the wanted ones.
        counts: the rows of each class (classes,).
    """

    k: int
    distance: Distance
    layers: Mapping[str, Tensor]
    counts: Tensor

    @classmethod
    def of(cls, knn: DeepKNN) -> "Neighbors":
        """Those that `knn` was fitted with; its classes are numbers of logits."""
        state = knn.state_dict()
        labels: Tensor = state["labels"]
        order = labels.argsort(stable=True)
        layers = {name: x[order.to(x.device)].to(wide(x.dtype)) for name, x in state["features"].items()}
        layers = {name: prepare(x, knn.distance) for name, x in layers.items()}
        return cls(knn.k, knn.distance, layers, labels.bincount().cpu())

    def distances(self, features: Mapping[str, Tensor]) -> list[Tensor]:
        """From features (b, d) of each layer to all fitted rows, in order of classes (b, m)."""
        return [self._distances(features[name], rows) for name, rows in self.layers.items()]

    def votes(self, distances: list[Tensor]) -> Tensor:
        """How many of the k nearest in all layers are of each class (b, classes)."""
        classes = torch.arange(len(self.counts), device="cpu").repeat_interleave(self.counts)
        nearest = torch.cat([found.topk(self.k, largest=False).indices for found in distances], 1)
        codes = classes.to(nearest.device)[nearest]
        votes = torch.zeros(len(codes), len(self.counts), device=codes.device)
        return votes.scatter_add_(1, codes, torch.ones_like(codes, dtype=votes.dtype))

    def soft_votes(self, distances: list[Tensor], temperature: float) -> Tensor:
        """The logarithm of each class's part of the vote, in which all rows take part, near ones more (b, classes).

        A row has the weight exp(-distance / T), and the weights in a layer add up to 1, as in the soft nearest neighbor
        loss. T is `temperature` times the mean distance to the k nearest, in each layer for each input.
        """
        parts = []
        for found in distances:
            near = found.detach().topk(self.k, largest=False).values.mean(1, keepdim=True)
            closeness = -found / (temperature * near).clamp(min=torch.finfo(found.dtype).tiny)
            masses = [part.logsumexp(1) for part in closeness.split(self.counts.tolist(), 1)]
            parts.append(torch.stack(masses, 1).log_softmax(1))
        return torch.stack(parts).logsumexp(0)

    def _distances(self, features: Tensor, rows: Tensor) -> Tensor:
        x = prepare(features.to(rows), self.distance)
        with full_precision(x.device):
            squares = x.square().sum(1, keepdim=True) + rows.square().sum(1)
            return torch.addmm(squares, x, rows.T, alpha=-2).clamp(min=0)
