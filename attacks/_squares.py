"""Squares in images, and the patterns that the square attack puts into them (Andriushchenko et al. 2020, section 3)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from attacks._draws import Draws

TILES = 5
"""Tiles along each axis that the attack begins with for `l2`."""
HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Of 10,000 queries, after which the squares' area is halved."""


def side_of(share: float, query: int, queries: int, size: int, fewest: int = 1) -> int:
    """The side in pixels of the squares of a query, for images of `size` x `size`; it falls as queries are spent."""
    halvings = sum(query * 10_000 > queries * after for after in HALVED_AFTER)
    return min(max(round((share / 2**halvings) ** 0.5 * size), fewest), size)


@dataclass(frozen=True)
class Window:
    """A square in each of some images, by the places of its pixels among all of an image (b, side * side)."""

    places: Tensor

    @classmethod
    def anywhere(cls, x: Tensor, side: int, draws: Draws) -> "Window":
        """Drawn within images (b, c, h, w); every place is as likely as any other."""
        height, width = x.shape[2:]
        free = torch.tensor([height - side + 1, width - side + 1], device="cpu")
        corner = (draws.uniform(2) * free).long().to(x.device)
        top, left = (corner[:, i, None] + torch.arange(side, device=x.device) for i in (0, 1))
        return cls((top[:, :, None] * width + left[:, None, :]).flatten(1))

    def read(self, x: Tensor) -> Tensor:
        """The values of images (b, c, h, w) in it, (b, c, side * side)."""
        return x.flatten(2).gather(2, self.places[:, None].expand(-1, x.shape[1], -1))

    def written(self, x: Tensor, values: Tensor) -> Tensor:
        """The images (b, c, h, w) with other values in it, that are of a shape which goes with (b, c, side * side)."""
        places = self.places[:, None].expand(-1, x.shape[1], -1)
        return x.flatten(2).scatter(2, places, values.expand_as(places)).view_as(x)


def hills(side: int, like: Tensor) -> Tensor:
    """Equation 2: a hill of change beside a valley, of length 1 (side, side)."""
    half = side // 2
    change = torch.cat([_hill(half, side), -_hill(side - half, side)])
    return F.normalize(change.flatten(), dim=0).view(side, side).to(like)


def tiled(x: Tensor, draws: Draws) -> Tensor:
    """Hills and valleys side by side, up or down at random in each channel, at about the middle of images like x."""
    height, width = x.shape[2:]
    side = max(1, min(height, width) // TILES)
    down, across = min(TILES, height // side), min(TILES, width // side)
    pattern = hills(side, x).repeat(down, across)
    signs = draws.signs(x.shape[1], down, across).to(x)
    pattern = pattern * signs.repeat_interleave(side, 2).repeat_interleave(side, 3)
    above, before = (height - down * side) // 2, (width - across * side) // 2
    return F.pad(pattern, (before, width - across * side - before, above, height - down * side - above))


def _hill(height: int, width: int) -> Tensor:
    """Highest in the middle; each ring around it is lower by one term of 1 + 1/4 + 1/9 + ..."""
    rings = max(height, width) // 2 + 1
    heights = (1 / torch.arange(1, rings + 1, device="cpu", dtype=torch.float64).square()).flip(0).cumsum(0).flip(0)
    down, across = (torch.arange(n, device="cpu").sub(n // 2).abs() for n in (height, width))
    return heights[torch.maximum(down[:, None], across)]
