"""One batch from the batches of many processes, with gradients that find their way back."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather_with_grad(x: Tensor) -> Tensor:
    """Concatenate a tensor (n_r, ...) of every process along the first dimension, in the order of the processes.

    The numbers of rows may differ. The gradient of each process's part is summed over all processes, as each of them
    has used it: where every process computes the same loss from the whole, DistributedDataParallel's average over the
    processes is then the gradient of that loss. Without a process group, or with one process, it is `x` itself.

    Raises:
        ValueError: the shapes differ in more than the first dimension.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x
    return _Gather.apply(x)  # type: ignore[no-any-return]


def _rows_of_all(x: Tensor) -> list[int]:
    """How many rows each process has; all must agree on the rest of the shape."""
    shapes: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(shapes, tuple(x.shape))
    if len({shape[1:] for shape in shapes}) > 1:
        raise ValueError(f"the processes' shapes differ in more than the first dimension: {shapes}.")
    return [int(shape[0]) for shape in shapes]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = _rows_of_all(x)
        longest = max(ctx.rows)
        padded = x.new_zeros(longest, *x.shape[1:])
        padded[: len(x)] = x
        parts = [torch.empty_like(padded) for _ in ctx.rows]
        dist.all_gather(parts, padded)
        return torch.cat([part[:rows] for part, rows in zip(parts, ctx.rows, strict=True)])

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Tensor:
        total = upstream[0].contiguous().clone()
        dist.all_reduce(total)
        return total.split(ctx.rows)[dist.get_rank()]
