"""Neighbor: made for deep k-nearest neighbours, up the slope of a soft vote (after Sitawarin and Wagner 2019, 2020).

The neighbours' vote has no gradient. In its place all training points vote, near ones more (arXiv 1903.08333 and
2003.06559 have sigmoids and margins of distances there; this has the soft nearest neighbor loss, in log space, whose
slope does not vanish). Whether the attack has won is read from the real vote, at every step. It climbs from the image
and from what PGD finds by the logits, which it keeps where nothing is better: it is never weaker than PGD's transfer.
"""

from pydantic import Field
from torch import Tensor

from attacks import pgd
from attacks._ascent import Best, climb
from attacks._ball import Ball
from attacks._config import AttackConfig
from attacks._draws import Draws
from attacks._target import Objective, Target, margin

VERSION = 1


class Config(AttackConfig):
    """The attack on neighbours."""

    steps: int = Field(40, ge=1, le=100_000, description="gradient steps of each start")
    step: float = Field(0.2, gt=0, description="length of a step as a share of eps; the soft vote is no smooth slope")
    restarts: int = Field(2, ge=1, le=10_000, description="starts: the image, what PGD finds, then random points")
    temperature: float = Field(
        0.5, gt=0, description="of the soft vote, in mean distances to the k nearest training points of each layer"
    )


def attack(target: Target, x: Tensor, labels: Tensor, config: Config, draws: Draws) -> Tensor:
    """Images (b, c, h, w) in [0, 1] of classes (b,) whose nearest training points are of other classes."""
    ball, objective = Ball(x, config.norm, config.eps), soft_vote(target, labels, config.temperature)
    by_logits = pgd.attack(target, x, labels, pgd.Config(norm=config.norm, eps=config.eps), draws)
    best, starts = Best(by_logits, objective(by_logits)[1]), [x, by_logits]
    for i in range(config.restarts):
        start = starts[i] if i < len(starts) else ball.anywhere(draws)
        found = climb(objective, ball, start, config.steps, config.step)
        best = best.or_better(found.x, found.won)
    return best.x


def soft_vote(target: Target, labels: Tensor, temperature: float) -> Objective:
    """By how much the soft vote of the strongest other class exceeds that of `labels` (b,), and the real one does.

    Raises:
        UsageError: the target has no neighbours.
    """
    neighbors = target.neighbors

    def of(x: Tensor) -> tuple[Tensor, Tensor]:
        distances = neighbors.distances(target.features(x))
        soft, votes = neighbors.soft_votes(distances, temperature), neighbors.votes([d.detach() for d in distances])
        # The fitted rows, where they are counted, may lie elsewhere than the images.
        return margin(soft.to(x.device), labels), margin(votes.to(x.device), labels)

    return of
