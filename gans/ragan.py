"""RaGAN: the relativistic average discriminator (Jolicoeur-Martineau 2018, arXiv 1807.00734).

Published recipe, of the paper's RaSGAN: the discriminator tells whether an image is more real than the other side is on
average, and the generator learns from real images, too; BatchNorm in the generator, spectral normalisation in the
discriminator; Adam 2e-4 with betas (0.5, 0.999), one discriminator step for each generator step. Adapted: DCGAN's
convolutional pair, 100 latent dimensions, batch 64, and a step size of 5e-4 for a training of some hundred kimg. With
several processes the averages are those of the whole batch.
"""

from functools import partial

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from gans import _backbones
from gans._config import GanConfig
from snnl_core import gather_with_grad

VERSION = 1


class Config(GanConfig):
    """RaGAN's recipe."""

    batch: int = Field(64, ge=2, le=65_536, description="images in a batch, over all processes")
    learning_rate: float = Field(5e-4, gt=0, description="Adam's step size, for both networks")


Generator = partial(_backbones.generator, norm="batch")
Discriminator = partial(_backbones.discriminator, norm="spectral")


def discriminator_loss(d: nn.Module, real: Tensor, fake: Tensor, config: Config) -> tuple[Tensor, dict[str, Tensor]]:
    """-log s(D(real) - mean D(fake)) - log(1 - s(D(fake) - mean D(real))), each a batch mean; s is the sigmoid."""
    real_logits, fake_logits = _scores(d, real, fake)
    loss = _more_real(real_logits, fake_logits)
    return loss, {"real_logit": real_logits.mean(), "generated_logit": fake_logits.mean()}


def generator_loss(d: nn.Module, fake: Tensor, real: Tensor, config: Config) -> tuple[Tensor, dict[str, Tensor]]:
    """The same with the sides exchanged."""
    real_logits, fake_logits = _scores(d, real, fake)
    return _more_real(fake_logits, real_logits), {}


def _scores(d: nn.Module, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Of the images of all processes."""
    real_logits, fake_logits = d(torch.cat([real, fake]))[0].chunk(2)
    return gather_with_grad(real_logits), gather_with_grad(fake_logits)


def _more_real(one: Tensor, other: Tensor) -> Tensor:
    """How badly one side is taken for more real than the other."""
    return F.softplus(other.mean() - one).mean() + F.softplus(other - one.mean()).mean()
