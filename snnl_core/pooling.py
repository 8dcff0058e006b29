"""Making large feature maps small by averaging, so that many of them can be kept and compared."""

import math

import torch
from torch import Tensor

MAX_FEATURES = 4096
"""What one sample keeps of a layer unless told otherwise."""


def pool_maps(x: Tensor, max_features: int | None) -> Tensor:
    """Features as (n, d), maps (n, channels, h, w) averaged to at most `max_features` numbers a sample.

    Maps that are larger are averaged over the cells of the largest square grid that fits (an axis shorter than the
    grid stays as it is); one cell is the least, so d is never below the channels. Features of other shapes have no
    axes to average over and are only flattened.

    Args:
        x: (n, ...), floating; maps of one byte a number are averaged in float32, and stay so, as torch averages none.
        max_features: the limit, at least 1; None keeps everything.
    """
    if x.ndim == 4 and max_features is not None and math.prod(x.shape[1:]) > max_features:
        _, channels, height, width = x.shape
        side = max(1, math.isqrt(max_features // channels))
        x = x if x.element_size() > 1 else x.float()
        x = torch.nn.functional.adaptive_avg_pool2d(x, (min(height, side), min(width, side)))
    return x.flatten(1) if x.ndim > 1 else x[:, None]
