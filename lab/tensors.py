"""Tensors as bytes, for checkpoints and weights."""

import io
from typing import Any

import torch
from torch import Tensor


def packed(value: Any) -> bytes:
    """Tensors in dictionaries and lists, in order, as bytes."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def unpacked(data: bytes) -> Any:
    """What `packed` packed; nothing else is run or made."""
    return torch.load(io.BytesIO(data), weights_only=True)


def contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict as safetensors takes it: every tensor in plain memory order."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
