"""What a network and its deep k-nearest neighbours say of images, and every score of foreignness that follows from it.

All is computed from one extraction of features. The neighbours are searched in the hidden layers; the logits give the
softmax, and decide between labels that neighbours support equally.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from classifiers._features import LOGITS, device_of, features_of
from lab.errors import WorkbenchError
from metrics import scores
from metrics.detectors import mahalanobis, relative_mahalanobis, vim
from snnl_core import DeepKNN
from snnl_core.prediction import DeepKNNPrediction

FIRST = 100
"""Images whose features of every layer are kept, at most."""
LEAST_VARIANCE = 1e-5
"""Of that of the first principal axis; axes with less are left out of Mahalanobis scores."""


@dataclass(frozen=True)
class Seen:
    """What is said of n images.

    Attributes:
        logits: the network's (n, classes).
        found: the neighbours' labels, p-values and distances, by hidden layer.
        last: features of the last hidden layer (n, d).
        first: those of every hidden layer (m, d), of the first 100 images at most.
    """

    logits: Tensor
    found: DeepKNNPrediction
    last: Tensor
    first: Mapping[str, Tensor]

    def log_votes(self) -> Tensor:
        """The logarithm of each label's share among the neighbours of all layers, float64 (n, classes).

        One neighbour of each label is added, so that no share is 0 (the rule of succession).
        """
        searched = sum(distances.shape[1] for distances in self.found.distances.values())
        votes = searched - self.found.nonconformity.double() + 1
        return (votes / votes.sum(1, keepdim=True)).log()

    def scores(self) -> dict[tuple[str, str], Tensor]:
        """Numbers (n,) that are LARGER for more foreign images, by name and, where they are one layer's, by layer.

        `credibility` is 1 minus it; `nonconformity` that of the neighbours' label; `neighbor-distance` the mean
        distance to the k neighbours of a layer, and without a layer the mean of that over the layers; `kth-distance`
        that to the k-th neighbour in the last hidden layer; `softmax`, `energy` and `entropy` are the logits'.
        """
        found = self.found
        codes = torch.searchsorted(found.classes, found.labels)
        distances = {name: scores.mean_neighbor_distance(one) for name, one in found.distances.items()}
        return {
            ("credibility", ""): 1 - found.credibility,
            ("nonconformity", ""): found.nonconformity.gather(1, codes[:, None])[:, 0].double(),
            ("neighbor-distance", ""): torch.stack(list(distances.values())).mean(0),
            **{("neighbor-distance", name): one for name, one in distances.items()},
            ("kth-distance", ""): scores.kth_neighbor_distance(list(found.distances.values())[-1]).contiguous(),
            ("softmax", ""): scores.negative_maximum_softmax(self.logits),
            ("energy", ""): scores.energy(self.logits),
            ("entropy", ""): scores.entropy(self.logits),
        }


class Observer:
    """A trained network, with neighbours that were fitted and calibrated on its training split.

    Attributes:
        knn: the neighbours.
        last: the fitted rows' features of the last hidden layer (n, d).
        labels: their classes (n,).
    """

    def __init__(self, network: nn.Module, knn: DeepKNN, max_features: int, scratch: Path) -> None:
        """An observer that has seen nothing; `network` stays in its mode and where it is, and so are features.

        Of many images they go to files in the folder `scratch`, as `features_of` has it.
        """
        self.network, self.knn, self.max_features, self.scratch = network, knn, max_features, scratch
        self.last, self.labels = torch.empty(0, device="cpu"), torch.empty(0, device="cpu")

    def fit(self, images: Tensor, labels: Tensor) -> "Observer":
        """Take the images, uint8 (n, c, h, w), among whose features neighbours are searched, and their classes (n,).

        Raises:
            WorkbenchError: a class has no image.
            ValueError: there are fewer images than neighbours.
        """
        logits, features = self._features(images)
        self.knn.fit(features, labels.to(logits.device))
        self.last, self.labels = list(features.values())[-1].cpu(), labels
        if len(self.knn.classes) < logits.shape[1]:
            raise WorkbenchError(
                f"of {logits.shape[1]} classes the {len(images)} images to search have {len(self.knn.classes)}: take "
                "more."
            )
        return self

    def calibrate(self, images: Tensor, labels: Tensor) -> "Observer":
        """Take the images, held out from training and from `fit`, that p-values compare with, and their classes."""
        logits, features = self._features(images)
        # Of images that occur twice in a data set one may have been fitted: they are exchangeable all the same.
        self.knn.calibrate(features, labels.to(logits.device), allow_overlap=True)
        return self

    def see(self, images: Tensor) -> Seen:
        """What is said of images (n, c, h, w), uint8 or floating in [0, 1]; all on the CPU."""
        logits, features = self._features(images)
        found = self.knn.predict(features, logits)
        moved: dict[str, Any] = {name: _to_cpu(value) for name, value in vars(found).items()}
        first = {name: x[:FIRST].clone().cpu() for name, x in features.items()}
        return Seen(logits.cpu(), DeepKNNPrediction(**moved), list(features.values())[-1].cpu(), first)

    def scores(self, seen: Seen, *, detectors: bool = False) -> dict[tuple[str, str], Tensor]:
        """Those of `Seen.scores`; with `detectors` the Mahalanobis scores and ViM of the last hidden layer as well.

        Raises:
            UsageError: detectors are asked for, and pytorch-ood is not installed.
            ValueError: detectors are asked for, and the last linear map of the network is not that to the logits.
        """
        return seen.scores() | (self._detected(seen.last) if detectors else {})

    def _detected(self, queries: Tensor) -> dict[tuple[str, str], Tensor]:
        axes = _principal(self.last)
        among, asked = self.last @ axes, queries @ axes
        final = [module for module in self.network.modules() if isinstance(module, nn.Linear)][-1]
        weight, bias = final.weight.detach().cpu(), final.bias.detach().cpu()
        return {
            ("mahalanobis", ""): mahalanobis(among, self.labels, asked).double(),
            ("relative-mahalanobis", ""): relative_mahalanobis(among, self.labels, asked).double(),
            ("vim", ""): vim(self.last, queries, weight, bias, self.last.shape[1] // 2).double(),
        }

    def _features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        device = device_of(self.network)
        kept = features_of(self.network, images, self.max_features, self.scratch)
        found = {name: x.to(device) for name, x in kept.items()}
        return found.pop(LOGITS), found


def _principal(features: Tensor) -> Tensor:
    """The principal axes of features (n, d) that hold some variance, (d, axes): units that never fire have none."""
    variances, axes = torch.linalg.eigh(features.double().T.cov())
    return axes[:, variances > LEAST_VARIANCE * variances[-1]].to(features.dtype)


def _to_cpu(value: Tensor | dict[str, Tensor]) -> Tensor | dict[str, Tensor]:
    return value.cpu() if isinstance(value, Tensor) else {name: one.cpu() for name, one in value.items()}
