"""BIM: FGSM in several small steps from the image itself (Kurakin et al. 2017, arXiv 1607.02533).

Of all points on the way that is kept where another class wins by most.
"""

from pydantic import Field
from torch import Tensor

from attacks._ascent import climb
from attacks._ball import Ball
from attacks._config import GradientConfig
from attacks._draws import Draws
from attacks._target import Target

VERSION = 1


class Config(GradientConfig):
    """The basic iterative method."""

    steps: int = Field(10, ge=1, le=100_000, description="gradient steps")
    step: float = Field(0.2, gt=0, description="length of a step as a share of eps")


def attack(target: Target, x: Tensor, labels: Tensor, config: Config, draws: Draws) -> Tensor:
    """Images (b, c, h, w) in [0, 1] of classes (b,), several steps away."""
    ball = Ball(x, config.norm, config.eps)
    return climb(target.objective(labels, config.loss), ball, x, config.steps, config.step).x
