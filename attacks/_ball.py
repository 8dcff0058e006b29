"""What an attack may do to images: a ball around each, cut off where values leave [0, 1]."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from attacks._config import Norm

if TYPE_CHECKING:
    from attacks._draws import Draws


class Ball:
    """All images within eps of some images (b, c, h, w) in [0, 1], one for one, that are in [0, 1] themselves.

    Attributes:
        center: the images.
        norm: `linf`, the largest change of a value; `l2`, the Euclidean length of an image's changes.
        eps: the bound.
    """

    def __init__(self, center: Tensor, norm: Norm, eps: float) -> None:
        self.center, self.norm, self.eps = center, norm, eps
        self._low, self._high = (center - eps).clamp_(min=0), (center + eps).clamp_(max=1)

    def __getitem__(self, rows: Tensor) -> "Ball":
        return Ball(self.center[rows], self.norm, self.eps)

    def project(self, x: Tensor) -> Tensor:
        """Images (b, c, h, w) brought into the ball: the nearest ones in it for `linf`.

        For `l2` changes are shortened to eps, and then values are cut off, which only shortens them more.
        """
        if self.norm == "linf":
            return x.clamp(self._low, self._high)
        change = x - self.center
        shrink = (self.eps / lengths(change).clamp(min=torch.finfo(x.dtype).tiny)).clamp(max=1)
        return torch.where(spread(shrink < 1, x), self.center + change * spread(shrink, x), x).clamp(0, 1)

    def step(self, x: Tensor, slope: Tensor, share: float) -> Tensor:
        """From images x a step of eps times `share`, up the slope (b, c, h, w) as steeply as the norm allows.

        Where the slope is 0 nothing moves; however small it is, the step is as long as any.
        """
        direction = slope.sign() if self.norm == "linf" else unit(slope)
        return self.project(x.add(direction, alpha=share * self.eps))

    def anywhere(self, draws: "Draws") -> Tensor:
        """A random point of each ball: uniform in it before values are cut off."""
        shape, like = self.center.shape[1:], self.center
        if self.norm == "linf":
            return self.project(like + self.eps * (2 * draws.uniform(*shape).to(like) - 1))
        radius = draws.uniform(1).to(like)[:, 0] ** (1 / shape.numel())
        return self.project(like + self.eps * spread(radius, like) * unit(draws.normal(*shape).to(like)))


def lengths(x: Tensor) -> Tensor:
    """The Euclidean length of each row (b,) of x (b, ...); no square overflows or vanishes."""
    flat = x.flatten(1)
    largest = flat.abs().amax(1, keepdim=True)
    scale = torch.where(largest > 0, largest, 1)
    return torch.linalg.vector_norm(flat / scale, dim=1) * scale[:, 0]


def unit(x: Tensor) -> Tensor:
    """Each row of x (b, ...) at length 1; 0 where it is 0."""
    flat = x.flatten(1)
    largest = flat.abs().amax(1, keepdim=True)
    return F.normalize(flat / torch.where(largest > 0, largest, 1), dim=1).view_as(x)


def spread(values: Tensor, x: Tensor) -> Tensor:
    """Values (b,) in a shape that goes with x (b, ...)."""
    return values.view(-1, *[1] * (x.ndim - 1))
