"""Climbing within a ball: the one loop of every attack along gradients."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks._ball import Ball, spread
from attacks._target import Objective
from lab.errors import WorkbenchError, first_line, out_of_memory


class NoGradientError(WorkbenchError):
    """A network through which no gradient reaches its images."""


@dataclass(frozen=True)
class Best:
    """The points (b, c, h, w) where the attack has won by most, and by how much (b,)."""

    x: Tensor
    won: Tensor

    def or_better(self, x: Tensor, won: Tensor) -> "Best":
        """Other points where they are strictly better."""
        better = won > self.won
        return Best(torch.where(spread(better, x), x, self.x), torch.where(better, won, self.won))

    @classmethod
    def none(cls, x: Tensor) -> "Best":
        """Points that anything is better than."""
        return cls(x, torch.full((len(x),), -torch.inf, device=x.device))


def slope(objective: Objective, x: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of an objective at points x (b, c, h, w), of the same shape, and by how much it has won there.

    It is 0 in values where it is no finite number.

    Raises:
        NoGradientError: there is none, as of a network that switches gradients off.
    """
    x = x.detach().requires_grad_()
    raised, won = objective(x)
    try:
        (gradient,) = torch.autograd.grad(raised.sum(), x)
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        reason = f"No gradient reaches the images through the network ({first_line(error)})"
        raise NoGradientError(f"{reason}: --attack square and noise need none.") from error
    return gradient.nan_to_num(0, 0, 0), won


def climb(objective: Objective, ball: Ball, x: Tensor, steps: int, share: float) -> Best:
    """Take `steps` steps of eps times `share` up the objective from x; of all points on the way, the last and the first
    among them, the best are kept.
    """
    best = Best.none(x)
    for _ in range(steps):
        gradient, won = slope(objective, x)
        best = best.or_better(x, won)
        x = ball.step(x, gradient, share)
    with torch.no_grad():
        return best.or_better(x, objective(x)[1])
