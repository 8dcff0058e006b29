"""Square: random squares, of which those that help are kept, without gradients (Andriushchenko et al. 2020).

arXiv 1912.00049. It sees the logits alone, so that it tells masked gradients from robustness. An image is done with as
soon as another class wins. With `linf` a square of each channel goes to +eps or -eps; with `l2` the change within one
square moves into another.
"""

import torch
from pydantic import Field
from torch import Tensor

from attacks._ball import Ball, lengths, unit
from attacks._config import AttackConfig
from attacks._draws import Draws
from attacks._squares import Window, hills, side_of, tiled
from attacks._target import Target, margin

VERSION = 1
FEWEST_PIXELS = 3
"""The side of a square that holds a hill and a valley."""


class Config(AttackConfig):
    """The square attack."""

    queries: int = Field(1000, ge=1, le=1_000_000, description="how often the network is asked about an image at most")
    share: float = Field(
        0.8, gt=0, le=1, description="share of an image that the first squares cover; it falls as queries are spent"
    )


def attack(target: Target, x: Tensor, labels: Tensor, config: Config, draws: Draws) -> Tensor:
    """Images (b, c, h, w) in [0, 1] of classes (b,) that were changed by squares."""
    ball, linf = Ball(x, config.norm, config.eps), config.norm == "linf"
    best = _stripes(ball, draws) if linf else _steps_out(ball, tiled(x, draws))
    fewest = 1 if linf else FEWEST_PIXELS
    with torch.no_grad():
        won = margin(target.logits(best), labels)
        for query in range(1, config.queries):
            left = (won <= 0).nonzero()[:, 0]
            if not len(left):
                break
            side = side_of(config.share, query, config.queries, min(x.shape[2:]), fewest)
            tried = (_painted if linf else _moved)(ball[left], best[left], draws.of(left), side)
            found = margin(target.logits(tried), labels[left])
            better = found > won[left]
            best[left[better]], won[left[better]] = tried[better], found[better]
    return best


def _stripes(ball: Ball, draws: Draws) -> Tensor:
    """Every column of each channel at +eps or -eps."""
    x = ball.center
    return ball.project(x + ball.eps * draws.signs(x.shape[1], 1, x.shape[3]).to(x))


def _painted(ball: Ball, best: Tensor, draws: Draws, side: int) -> Tensor:
    """A square of each channel at +eps or -eps."""
    window, signs = Window.anywhere(best, side, draws), draws.signs(best.shape[1], 1).to(best)
    return ball.project(window.written(best, window.read(ball.center) + ball.eps * signs))


def _moved(ball: Ball, best: Tensor, draws: Draws, side: int) -> Tensor:
    """Algorithm 3: what one square and the rest of eps hold of change moves into another, on a new hill and valley."""
    change, channels = best - ball.center, best.shape[1]
    into, out_of = Window.anywhere(best, side, draws), Window.anywhere(best, side, draws)
    unused = (ball.eps**2 - lengths(change).square()).clamp(min=0) / channels
    emptied = out_of.written(into.written(change, change.new_zeros(1)), change.new_zeros(1))
    held = (change.square().sum((2, 3)) - emptied.square().sum((2, 3))).clamp(min=0)  # of both squares, (b, c)
    pattern, upright = hills(side, best), (draws.uniform(1, 1, 1) < 0.5).to(best.device)
    new = draws.signs(channels, 1).to(best) * torch.where(upright, pattern, pattern.T).flatten(2)
    moved = _each_channel(new + _each_channel(into.read(change))) * (held + unused[:, None]).sqrt()[..., None]
    return _steps_out(ball, into.written(emptied, moved))


def _each_channel(values: Tensor) -> Tensor:
    """Values (b, c, m), those of each channel at length 1."""
    return unit(values.flatten(0, 1)).view_as(values)


def _steps_out(ball: Ball, change: Tensor) -> Tensor:
    """As far from the center as eps allows, in a direction (b, c, h, w)."""
    return ball.step(ball.center, change, 1)
