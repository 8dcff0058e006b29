"""Noise: a random change of the same size, which knows nothing of the network; what an attack must beat.

With `linf` every value moves by eps, up or down with equal chances; with `l2` an image moves by eps in a random
direction. Either is cut off at 0 and 1, as attacks are.
"""

from torch import Tensor

from attacks._ball import Ball
from attacks._config import AttackConfig
from attacks._draws import Draws
from attacks._target import Target

VERSION = 1


class Config(AttackConfig):
    """Random changes."""


def attack(target: Target, x: Tensor, labels: Tensor, config: Config, draws: Draws) -> Tensor:
    """Images (b, c, h, w) in [0, 1] of classes (b,), anywhere at the bound."""
    return Ball(x, config.norm, config.eps).step(x, draws.normal(*x.shape[1:]).to(x), 1)
