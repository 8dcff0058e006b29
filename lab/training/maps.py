"""Maps of convolutions, handed on to what takes them in another order, or as points."""

import torch
from torch import Tensor


def channels_last_gradient(maps: Tensor) -> Tensor:
    """The same maps (b, c, h, w); where they lie with the channels last, as in training, so does their gradient.

    From `flatten` or `mean` it comes back in plain order, and the derivative of an activation, which meets both orders
    then, takes ten times as long (findings/mixed-memory-formats-take-ten-times-as-long.sh).
    """
    last = torch.channels_last
    if maps.requires_grad and maps.is_contiguous(memory_format=last) and not torch.compiler.is_compiling():
        maps.register_hook(lambda gradient: gradient.contiguous(memory_format=last))
    return maps


def points_of(features: Tensor) -> Tensor:
    """Features (b, ...) as points (b, d) in float32; maps in the order of memory, which distances do not depend on."""
    return (features.permute(0, 2, 3, 1) if features.ndim == 4 else features).flatten(1).float()
