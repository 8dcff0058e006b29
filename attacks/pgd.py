"""PGD: gradient steps from random points of the ball, projected back into it (Madry et al. 2018, arXiv 1706.06083).

Of all points on the way, of every start, that is kept where another class wins by most.
"""

from pydantic import Field
from torch import Tensor

from attacks._ascent import Best, climb
from attacks._ball import Ball
from attacks._config import GradientConfig
from attacks._draws import Draws
from attacks._target import Target

VERSION = 1


class Config(GradientConfig):
    """Projected gradient descent. The steps reach 2.5 eps, so that they can cross the ball from any start."""

    steps: int = Field(40, ge=1, le=100_000, description="gradient steps of each start")
    step: float = Field(0.0625, gt=0, description="length of a step as a share of eps")
    restarts: int = Field(1, ge=1, le=10_000, description="random starts, of which each image keeps its best")


def attack(target: Target, x: Tensor, labels: Tensor, config: Config, draws: Draws) -> Tensor:
    """Images (b, c, h, w) in [0, 1] of classes (b,), many steps away."""
    ball, objective = Ball(x, config.norm, config.eps), target.objective(labels, config.loss)
    best = Best.none(x)
    for _ in range(config.restarts):
        found = climb(objective, ball, ball.anywhere(draws), config.steps, config.step)
        best = best.or_better(found.x, found.won)
    return best.x
