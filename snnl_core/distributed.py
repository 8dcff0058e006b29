"""Tensors of many processes taken together, and a batch whose gradients find their way back."""

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


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = rows_of_all(x)
        return gather(x, ctx.rows)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Tensor:
        return reduced(upstream[0]).split(ctx.rows)[dist.get_rank()]


def rows_of_all(x: Tensor) -> list[int]:
    """How many rows each process has.

    Raises:
        ValueError: the shapes differ in more than the first dimension.
    """
    shapes: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(shapes, tuple(x.shape))
    if len({shape[1:] for shape in shapes}) > 1:
        raise ValueError(f"the processes' shapes differ in more than the first dimension: {shapes}.")
    return [int(shape[0]) for shape in shapes]


def gather(x: Tensor, rows: list[int] | None = None) -> Tensor:
    """A tensor (n_r, ...) of every process, concatenated in their order; `rows` are the n_r, where they are known."""
    rows = rows_of_all(x) if rows is None else rows
    padded = x.new_zeros(max(rows), *x.shape[1:])
    padded[: len(x)] = x
    parts = [torch.empty_like(padded) for _ in rows]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, rows, strict=True)])


def reduced(x: Tensor) -> Tensor:
    """A tensor summed over all processes."""
    total = x.contiguous().clone()
    dist.all_reduce(total)
    return total


def exchange(x: Tensor, to: int, source: int, shape: tuple[int, ...]) -> Tensor:
    """Send a tensor to one process and get one of a known shape from another, all processes at the same time."""
    received = x.new_empty(shape)
    operations = [dist.P2POp(dist.isend, x.contiguous(), to), dist.P2POp(dist.irecv, received, source)]
    for request in dist.batch_isend_irecv(operations):
        request.wait()
    return received
