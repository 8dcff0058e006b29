"""FGSM: one step along the sign of the loss's gradient (Goodfellow et al. 2015, arXiv 1412.6572).

With `l2` the step is along the gradient itself. A network that it does not fool may still be fooled by several steps.
"""

from torch import Tensor

from attacks._ascent import slope
from attacks._ball import Ball
from attacks._config import GradientConfig
from attacks._draws import Draws
from attacks._target import Target

VERSION = 1


class Config(GradientConfig):
    """The fast gradient sign method."""


def attack(target: Target, x: Tensor, labels: Tensor, config: Config, draws: Draws) -> Tensor:
    """Images (b, c, h, w) in [0, 1] of classes (b,), one step away."""
    gradient, _ = slope(target.objective(labels, config.loss), x)
    return Ball(x, config.norm, config.eps).step(x, gradient, 1)
