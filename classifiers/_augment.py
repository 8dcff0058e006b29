"""Random changes of training images, as pure functions of (seed, step).

They are drawn for the whole batch, and each of several processes takes its part, so that resuming and the number of
processes change nothing.
"""

import torch
from torch import Tensor

from lab.processes import share, world_size
from lab.training.draws import random_generator

SHIFT = 8
"""Images are shifted by at most their side divided by this, in pixels, along each axis."""


def augmented(images: Tensor, kind: str, seed: int, step: int) -> Tensor:
    """This process's part of the step-th batch, changed at random: uint8 (b, c, h, w), of the same shape.

    Args:
        images: uint8 (b, c, h, w), this process's part.
        kind: `none`; `shift` by whole pixels, black coming in from the edge; `flip-shift`, half of the images mirrored
            left to right as well.
        seed: of the run.
        step: of the training, from 0.
    """
    if kind == "none":
        return images
    size, draw = images.shape[-1], random_generator(seed, "augmentation", step)
    batch, reach = len(images) * world_size(), size // SHIFT
    shifts = share(torch.randint(2 * reach + 1, (batch, 2), generator=draw, device="cpu"))
    mirrored = share(torch.rand(batch, generator=draw, device="cpu") < 0.5)
    rows, columns = (shift + torch.arange(size, device="cpu") for shift in shifts.split(1, 1))
    if kind == "flip-shift":
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    padded = torch.nn.functional.pad(images, (reach,) * 4)
    taken = padded.gather(2, rows[:, None, :, None].expand(-1, images.shape[1], -1, padded.shape[3]))
    return taken.gather(3, columns[:, None, None, :].expand(-1, images.shape[1], size, -1))
