"""SNGAN: spectral normalisation of the discriminator and the hinge loss (Miyato et al. 2018, arXiv 1802.05957).

Published recipe: every layer of the discriminator is divided by its largest singular value, BatchNorm in the generator,
residual networks (`--backbone resnet`); Adam 2e-4 with betas (0, 0.9), falling to 0, batch 64, 128 latent dimensions,
five discriminator steps for each generator step; CIFAR-10 FID 21.7. Adapted: DCGAN's convolutional pair, 100 latent
dimensions, and for a training of some hundred kimg, of which a generator step shall take few, one discriminator step
and a step size of 5e-4, which is constant, so that a longer run continues a shorter one.
"""

from functools import partial

import torch
from pydantic import Field
from torch import Tensor, nn

from gans import _backbones
from gans._config import GanConfig

VERSION = 1


class Config(GanConfig):
    """SNGAN's recipe."""

    batch: int = Field(64, ge=2, le=65_536, description="images in a batch, over all processes")
    learning_rate: float = Field(5e-4, gt=0, description="Adam's step size, for both networks")
    beta1: float = Field(0.0, ge=0, lt=1, description="Adam's decay of the mean gradient")
    beta2: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the squared gradient")


Generator = partial(_backbones.generator, norm="batch")
Discriminator = partial(_backbones.discriminator, norm="spectral")


def discriminator_loss(d: nn.Module, real: Tensor, fake: Tensor, config: Config) -> tuple[Tensor, dict[str, Tensor]]:
    """max(0, 1 - D(real)) + max(0, 1 + D(fake)), each a batch mean (equation 16)."""
    real_score, fake_score = d(torch.cat([real, fake]))[0].chunk(2)
    loss = torch.relu(1 - real_score).mean() + torch.relu(1 + fake_score).mean()
    return loss, {"real_score": real_score.mean(), "generated_score": fake_score.mean()}


def generator_loss(d: nn.Module, fake: Tensor, real: Tensor, config: Config) -> tuple[Tensor, dict[str, Tensor]]:
    """-D(fake), a batch mean (equation 17)."""
    return -d(fake)[0].mean(), {}
