"""What is computed in float64, and where: on the processor, where a device has none, as Apple's GPUs."""

from functools import lru_cache

import torch
from torch import Tensor

COMPLETE = {"cpu", "cuda"}
"""Kinds of devices that all have it: they are not tried, as want of memory would look like want of float64."""


def in_float64(values: Tensor) -> Tensor:
    """The same numbers in float64, on their device if it has that."""
    return where_float64_is(values).double()


def where_float64_is(values: Tensor) -> Tensor:
    """The same numbers on their device, or on the processor if the device has no float64."""
    return values if _has_float64(values.device) else values.cpu()


@lru_cache
def _has_float64(device: torch.device) -> bool:
    if device.type in COMPLETE:
        return True
    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):  # MPS raises the one, XPU the other
        return False
    return True
