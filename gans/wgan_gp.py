"""WGAN-GP: the Wasserstein GAN with a gradient penalty (Gulrajani et al. 2017, arXiv 1704.00028).

Recipe: Adam 2e-4 with betas (0, 0.9), batch 128, 100 latent dimensions, penalty weight 10, one critic step for each
generator step and no norm in the critic, after the convolutional recipe whose published CIFAR-10 FID is 20; the
original takes five critic steps at 1e-4 (`critic_steps`, `learning_rate`). The step size is constant, so that a
longer run continues a shorter one. A step costs about twice DCGAN's.
"""

from functools import partial
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from gans import _backbones
from gans._config import GanConfig
from lab.processes import uniform

VERSION = 1


class Config(GanConfig):
    """WGAN-GP's recipe; its penalty differentiates a gradient."""

    DIFFERENTIATES_TWICE: ClassVar[bool] = True

    beta1: float = Field(0.0, ge=0, lt=1, description="Adam's decay of the mean gradient")
    beta2: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the squared gradient")
    penalty: float = Field(10.0, ge=0, description="weight of the gradient penalty")


Generator = partial(_backbones.generator, norm="batch")
Discriminator = partial(_backbones.discriminator, norm="none")


def discriminator_loss(d: nn.Module, real: Tensor, fake: Tensor, config: Config) -> tuple[Tensor, dict[str, Tensor]]:
    """mean D(fake) - mean D(real) + penalty * mean (|gradient| - 1)^2, one loss for one backward."""
    scores = d(torch.cat([real, fake]))[0]
    real_score, fake_score = scores[: len(real)].mean(), scores[len(real) :].mean()
    penalty = gradient_penalty(d, real, fake)
    loss = fake_score - real_score + config.penalty * penalty
    return loss, {"wasserstein": real_score - fake_score, "gradient_penalty": penalty}


def generator_loss(d: nn.Module, fake: Tensor, real: Tensor, config: Config) -> tuple[Tensor, dict[str, Tensor]]:
    """-mean D(fake)."""
    return -d(fake)[0].mean(), {}


def gradient_penalty(d: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """mean over samples of (|grad D(x)|_2 - 1)^2 at points x drawn between real and generated (equation 3).

    One coefficient a sample, drawn from torch's global generator for the batch of all processes at once. Always in
    float32, under any autocast.
    """
    with torch.autocast(real.device.type, enabled=False):
        real, fake = real.float(), fake.float()
        mix = uniform(len(real), real.device).view(-1, 1, 1, 1)
        between = torch.lerp(real, fake, mix).requires_grad_()
        (gradient,) = torch.autograd.grad(d(between)[0].sum(), between, create_graph=True)
        return (gradient.flatten(1).norm(2, dim=1) - 1).square().mean()
