"""Real and generated batches as two classes of points: how entangled they are, as something to train a generator by.

With several processes the batch is that of all. Everything is computed in float32, outside of autocast.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gans._labels import Scored
from lab.training.maps import points_of
from snnl_core import SoftNearestNeighborLoss, gather_with_grad


def snnl(real: Tensor, fake: Tensor) -> Tensor:
    """The soft nearest neighbor loss of points (b, ...) at its best temperature: about ln 2 where they are mixed."""
    with torch.autocast(real.device.type, enabled=False):
        points = torch.cat([points_of(real), points_of(fake)])
        sides = torch.arange(len(points), device=points.device) // len(real)
        loss: Tensor = SoftNearestNeighborLoss(gather=True)(points, sides)
    return loss


def mean_snnl(real: Mapping[str, Tensor], fake: Mapping[str, Tensor]) -> Tensor:
    """The mean over layers of the loss of real and generated features (b, ...), each layer at its best temperature."""
    return torch.stack([snnl(real[layer], fake[layer]) for layer in fake]).mean()


def neighbor_losses(real: Tensor, fake: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """-log of the probability that a point's soft nearest neighbor is of its own side, and that it is of the other.

    Means over the points (b, ...) of both sides. The first is the soft nearest neighbor loss; the second follows from
    it, but not in float32, where the sides are apart. `temperature` is a share of the mean squared distance of two real
    points.
    """
    with torch.autocast(real.device.type, enabled=False):
        points = torch.cat([gather_with_grad(points_of(side)) for side in (real, fake)])
        n = len(points) // 2
        points = points - points[:n].mean(0)
        squares = points.square().sum(1)
        distances = (squares[:, None] + squares - 2 * points @ points.T).clamp_min(0)
        scale = distances[:n, :n].detach().sum() / (n * (n - 1))
        logits = (-distances / (temperature * scale)).fill_diagonal_(-math.inf)
        sides = torch.arange(2 * n, device=points.device) // n
        own = sides[:, None] == sides
        all_mass = logits.logsumexp(1)
        own_mass, other_mass = (logits.masked_fill(mask, -math.inf).logsumexp(1) for mask in (~own, own))
        return (all_mass - own_mass).mean(), (all_mass - other_mass).mean()


class Remembering(nn.Module):
    """A discriminator that passes each batch once, however often it is asked: for objectives that share a pass."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator
        self._passed: list[tuple[Tensor, Scored]] = []

    def forward(self, x: Tensor) -> Scored:
        """Scores (b,) and features of images."""
        for known, scored in self._passed:
            if known is x:
                return scored
        self._passed.append((x, self.discriminator(x)))
        return self._passed[-1][1]
