"""LSGAN: least squares in the place of the cross-entropy (Mao et al. 2017, arXiv 1611.04076).

Published recipe: scores are drawn to 1 for real and to 0 for generated images by the discriminator, and to 1 by the
generator (equation 9, with a = 0 and b = c = 1); BatchNorm in both networks, batch 64, Adam 1e-3 on scenes with beta1
0.5, one discriminator step for each generator step. Adapted: DCGAN's convolutional pair, which is smaller than that of
the paper's 112-pixel images, and 100 latent dimensions.
"""

from functools import partial

from pydantic import Field
from torch import Tensor, nn

from gans import _backbones
from gans._config import GanConfig

VERSION = 1


class Config(GanConfig):
    """LSGAN's recipe."""

    batch: int = Field(64, ge=2, le=65_536, description="images in a batch, over all processes")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's step size, for both networks")


Generator = partial(_backbones.generator, norm="batch")
Discriminator = partial(_backbones.discriminator, norm="batch")


def discriminator_loss(d: nn.Module, real: Tensor, fake: Tensor, config: Config) -> tuple[Tensor, dict[str, Tensor]]:
    """((D(real) - 1)^2 + D(fake)^2) / 2, each a batch mean; real and generated batches are normalised apart."""
    real_score, fake_score = d(real)[0], d(fake)[0]
    loss = ((real_score - 1).square().mean() + fake_score.square().mean()) / 2
    return loss, {"real_score": real_score.mean(), "generated_score": fake_score.mean()}


def generator_loss(d: nn.Module, fake: Tensor, real: Tensor, config: Config) -> tuple[Tensor, dict[str, Tensor]]:
    """(D(fake) - 1)^2 / 2, a batch mean."""
    return (d(fake)[0] - 1).square().mean() / 2, {}
