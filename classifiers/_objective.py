"""What a classifier minimises: cross-entropy plus alpha times the SNNL of hidden layers (Frosst et al. 2019, eq. 3).

alpha < 0 rewards a high SNNL, so it entangles the classes in those layers, as in the paper; alpha > 0 disentangles
them. At the minimum over the temperature the gradient is that of equation 2. With several processes the SNNL is that
of the whole batch. It is computed in float32, outside of autocast.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classifiers._config import Temperature
from lab.processes import share
from lab.training.frame import Curve
from lab.training.maps import points_of
from snnl_core import SoftNearestNeighborLoss, entanglement
from snnl_core.distances import Distance


class Objective(nn.Module):
    """Equation 3 for some hidden layers; without any it is the cross-entropy, and nothing else is computed.

    A learned temperature descends on the SNNL itself, whatever alpha is: equation 2 takes the minimum over it even
    where the network raises the SNNL.

    Args:
        alpha: weight of the SNNL, the same for all layers; not 0 if there are layers.
        layers: names of features.
        temperature: `minimize` for the best one of each batch and layer; `learn`; or one for all.
        distance: of features.
    """

    def __init__(
        self,
        alpha: float = 0.0,
        layers: Sequence[str] = (),
        temperature: Temperature = "minimize",
        distance: Distance = "sqeuclidean",
    ) -> None:
        super().__init__()
        self.alpha = alpha
        losses = [SoftNearestNeighborLoss(temperature, distance, gather=True) for _ in layers]
        self._by_layer, self.losses = dict(zip(layers, losses, strict=True)), nn.ModuleList(losses)
        for parameter in self.parameters():
            parameter.register_hook(lambda gradient: gradient / alpha)

    def forward(
        self, logits: Tensor, features: Mapping[str, Tensor], labels: Tensor
    ) -> tuple[Tensor, dict[Curve, Tensor]]:
        """The loss, and what is to be told of it.

        Args:
            logits: (b, classes), of this process's part of the batch.
            features: by name, (b, ...).
            labels: int64, of the whole batch.

        Returns:
            The loss, a scalar; and scalars by metric and layer: `cross_entropy`, and where there are layers
            `no_repeat`, 1 if no class is there twice, so that every SNNL is 0; and for each layer `snnl`,
            `temperature` (NaN if there is no best one) and `vanished_gradient`, 1 if the search for it ended at a limit
            or all are of one class.
        """
        own = share(labels).to(logits.device)
        loss = F.cross_entropy(logits, own)
        logs = {("cross_entropy", ""): loss.detach()}
        classes = len(labels.unique()) if self._by_layer else 0
        if self._by_layer:
            logs["no_repeat", ""] = torch.tensor(float(classes == len(labels)), device="cpu")
        for layer, snnl in self._by_layer.items():
            ended_before = snnl.at_limit["cold"] + snnl.at_limit["hot"]
            value = snnl(points_of(features[layer]), own)
            loss = loss + self.alpha * value
            logs["snnl", layer] = value.detach()
            logs["temperature", layer] = torch.tensor(snnl.last_temperature, device="cpu")
            ended = snnl.at_limit["cold"] + snnl.at_limit["hot"] - ended_before
            logs["vanished_gradient", layer] = torch.tensor(float(ended or classes == 1), device="cpu")
        return loss, logs

    @torch.no_grad()
    def start(self, features: Mapping[str, Tensor], labels: Tensor) -> None:
        """Let learned temperatures start from the best ones of a batch (b, ...), where there is one."""
        for layer, snnl in self._by_layer.items():
            best = entanglement(points_of(features[layer]), labels, distance=snnl.distance).temperature
            if snnl.log_beta is not None and 0 < best < math.inf:
                snnl.log_beta.fill_(-math.log(best))
