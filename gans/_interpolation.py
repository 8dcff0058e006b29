"""The way from one image of a generator to another: a training that learned more than its examples has no jumps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gans._labels import shares_of
from gans._snapshots import drawn_noise, images_of
from gans._trained import Trained


def slerp(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Points on the way from `one` (d,) to `other` (d,), at shares (s,) of it: (s, d); the norm is kept on the way.

    Spherical interpolation (Shoemake 1985; White 2016, arXiv 1609.04468): a straight line between two draws of Gaussian
    noise in many dimensions leads through points that are shorter than any draw.
    """
    angle = torch.acos((one @ other / (one.norm() * other.norm())).clamp(-1, 1))
    if angle.sin() < 1e-4:  # the way is a line, or not to be told from all others
        return torch.lerp(one, other, share[:, None])
    before, after = (1 - share) * angle, share * angle
    return (before.sin()[:, None] * one + after.sin()[:, None] * other) / angle.sin()


def interpolations(trained: Trained, rows: int, steps: int, seed: int) -> Sequence[Tensor]:
    """Rows of images, uint8 (steps, c, h, w): each leads from one latent to another.

    Of a conditional GAN each row is of one class, in turn; as many rows more lead, at the latent that the row of the
    same place begins with, from a class to the next, by a line between what the generator learned of them.
    """
    share = torch.linspace(0, 1, steps, device="cpu")
    ends = drawn_noise(2 * rows, trained.latent, seed).view(rows, 2, -1)
    noise = [slerp(one, other, share) for one, other in ends]
    shares = shares_of(trained.generator)
    if shares is None:
        return [*images_of(trained.generator, torch.cat(noise), batch=steps)]
    classes = torch.eye(len(shares), device="cpu")
    ways = [(classes[row % len(classes)], classes[(row + 1) % len(classes)]) for row in range(rows)]
    labels = [one.expand(steps, -1) for one, _ in ways] + [torch.lerp(*way, share[:, None]) for way in ways]
    noise += [one.expand(steps, -1) for one, _ in ends]
    return [*images_of(trained.generator, torch.cat(noise), torch.cat(labels), batch=steps)]
