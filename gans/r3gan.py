"""R3GAN: relativistic pairs with penalties on real and on generated images (Huang et al. 2024, arXiv 2501.05441).

Published recipe: each generated image is compared with one real one, and the discriminator's gradient is held near 0 at
both (R1 and R2); no normalisation in either network, which are residual with grouped convolutions; Adam with beta1 0,
batches of hundreds, thousands of kimg, over which the step size falls from 2e-4, beta2 rises from 0.9 to 0.99, and the
penalty's weight falls (it is of another size for each data set). Adapted to hundreds of kimg: DCGAN's convolutional
pair without its norms, 100 latent dimensions, batch 64, and all constant, so that a longer run continues a shorter one:
step size 1e-3, beta2 0.99, weight 1. A step costs about twice DCGAN's.
"""

from functools import partial
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from gans import _backbones
from gans._config import GanConfig

VERSION = 1


class Config(GanConfig):
    """R3GAN's recipe; its penalties differentiate a gradient."""

    DIFFERENTIATES_TWICE: ClassVar[bool] = True

    batch: int = Field(64, ge=2, le=65_536, description="images in a batch, over all processes")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's step size, for both networks")
    beta1: float = Field(0.0, ge=0, lt=1, description="Adam's decay of the mean gradient")
    beta2: float = Field(0.99, ge=0, lt=1, description="Adam's decay of the squared gradient")
    penalty: float = Field(1.0, ge=0, description="weight of both gradient penalties, of which each counts by half")


Generator = partial(_backbones.generator, norm="none")
Discriminator = partial(_backbones.discriminator, norm="none")


def discriminator_loss(d: nn.Module, real: Tensor, fake: Tensor, config: Config) -> tuple[Tensor, dict[str, Tensor]]:
    """log(1 + exp(D(fake) - D(real))) of the pairs + penalty / 2 (|gradient at real|^2 + |gradient at fake|^2), means.

    One pass gives the scores and their gradients; it is in float32, under any autocast.
    """
    with torch.autocast(real.device.type, enabled=False):
        images = torch.cat([real, fake]).float().requires_grad_()
        scores = d(images)[0]
        (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
        r1, r2 = (squares.mean() for squares in gradient.flatten(1).square().sum(1).chunk(2))
        real_score, fake_score = scores.chunk(2)
        loss = F.softplus(fake_score - real_score).mean() + config.penalty / 2 * (r1 + r2)
    return loss, {"margin": (real_score - fake_score).mean(), "r1": r1, "r2": r2}


def generator_loss(d: nn.Module, fake: Tensor, real: Tensor, config: Config) -> tuple[Tensor, dict[str, Tensor]]:
    """log(1 + exp(D(real) - D(fake))), the mean over the pairs."""
    real_score, fake_score = d(torch.cat([real, fake]))[0].chunk(2)
    return F.softplus(real_score - fake_score).mean(), {}
