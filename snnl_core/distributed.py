"""Tensors of many processes taken together, and a batch whose gradients find their way back."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from snnl_core.compiling import uncompiled
from snnl_core.distances import check_tensor
from snnl_core.plain import refuse_transforms

Tensors = TypeVar("Tensors", bound=tuple[Tensor, ...])
KINDS = TypeError, ValueError, RuntimeError
"""The kinds of errors that processes tell each other: any other one is told as the last of these."""
Word = tuple[int, dict[str, object]] | Exception
"""What a process says before work begins: its rows and what must be the same everywhere, or why it refuses."""


def gather_with_grad(x: Tensor) -> Tensor:
    """Concatenate a tensor (n_r, ...) of every process along the first dimension, in the order of the processes.

    The numbers of rows may differ. The gradient of each process's part is summed over all processes, as each of them
    has used it: where every process computes the same loss from the whole, DistributedDataParallel's average over the
    processes is then the gradient of that loss. Without a process group, or with one process, it is `x` itself.

    Raises:
        TypeError: `x` is no dense tensor in a process; all raise it.
        ValueError: it has no dimension in a process, or the processes differ in more than the first dimension, in dtype
            or kind of device, or in whether a gradient is wanted.
    """
    return _gathered(x) if several() else x


@uncompiled
def _gathered(x: Tensor) -> Tensor:
    return gather_rows_with_grad(x, agree(lambda: (_check_rows(x),))[1])


def _check_rows(x: Tensor) -> Tensor:
    check_tensor("x", x)
    if not x.ndim:
        raise ValueError("x is one number, without rows: give it as x[None].")
    return x


def gather_rows_with_grad(x: Tensor, rows: list[int]) -> Tensor:
    """The same, where it is known how many rows each process has and that the tensors fit."""
    return _Gather.apply(x, rows)  # type: ignore[no-any-return]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: list[int]) -> Tensor:
        ctx.rows = rows
        return gather(x, rows)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        return reduced(upstream[0]).split(ctx.rows)[dist.get_rank()], None


def several() -> bool:
    """Whether this is one of several processes that work together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def agree(check: Callable[[], Tensors], **settings: object) -> tuple[Tensors, list[int]]:
    """Check what each process brings, in one exchange, so that all go on or all raise, and none waits for another.

    Args:
        check: gives this process's tensors; the first one (n_r, ...) must fit those of the others in all but its rows.
        settings: what else must be the same in all processes, by name.

    Returns:
        What `check` gave, and how many rows the first tensor has in each process.

    Raises:
        TypeError, ValueError, RuntimeError: `check` raised it here or, if not here, in another process; the message
            names which. Any other error of `check` is raised as a RuntimeError.
        ValueError: the processes differ in what must be the same.
        RuntimeError: there is no process group, or this is inside a transform of torch.func.
    """
    refuse_transforms("other processes")
    if not (dist.is_available() and dist.is_initialized()):
        raise RuntimeError("there is no process group: call torch.distributed.init_process_group first.")
    word: Word
    cause = None
    try:
        found = check()
        word = _word(found[0], settings)
    except Exception as error:  # whatever it is, the others wait for a word
        kind = next((kind for kind in KINDS if isinstance(error, kind)), RuntimeError)
        cause, word = error, kind(str(error) or type(error).__name__)
    said: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(said, word)
    refusals = {rank: each for rank, each in enumerate(said) if isinstance(each, Exception)}
    if refusals:
        rank = min(refusals) if cause is None else dist.get_rank()
        raise type(refusals[rank])(f"process {rank}: {refusals[rank]}") from cause
    _check_same([same for _, same in said])
    return found, [rows for rows, _ in said]


def _word(x: Tensor, settings: dict[str, object]) -> Word:
    # Tiles depend on the kind of device, and all processes must agree on them.
    own = {"more than the first dimension": tuple(x.shape[1:]), "dtype": x.dtype, "device": x.device.type}
    wanted = torch.is_grad_enabled() and x.requires_grad  # a backward pass is an exchange, too
    return len(x), {**own, "whether a gradient is wanted": wanted, **settings}


def _check_same(said: list[dict[str, object]]) -> None:
    """Raise ValueError unless every process says the same."""
    for rank, same in enumerate(said):
        for name, value in same.items():
            if value != said[0][name]:
                raise ValueError(f"processes 0 and {rank} differ in {name}: {said[0][name]} and {value}.")


def meeting_place(x: Tensor) -> torch.device:
    """Where processes can exchange a tensor: on its device, or on the GPU, where all that they have is NCCL."""
    if f"{x.device.type}:" in dist.get_backend_config():
        return x.device
    return torch.device("cuda", torch.cuda.current_device())


def gather(x: Tensor, rows: list[int] | None = None) -> Tensor:
    """A tensor (n_r, ...) of every process, concatenated in their order; `rows` are the n_r, where they are known."""
    rows = agree(lambda: (x,))[1] if rows is None else rows
    padded = x.new_zeros(max(rows), *x.shape[1:], device=meeting_place(x))
    padded[: len(x)] = x
    parts = [torch.empty_like(padded) for _ in rows]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, rows, strict=True)]).to(x.device)


def reduced(x: Tensor) -> Tensor:
    """A tensor summed over all processes."""
    total = x.to(meeting_place(x), copy=True, memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total.to(x.device)


def of_the_first(x: Tensor) -> Tensor:
    """The first process's tensor, of the same shape everywhere."""
    shared = x.to(meeting_place(x)).contiguous()
    dist.broadcast(shared, 0)
    return shared.to(x.device)


def exchange(x: Tensor, to: int, source: int, shape: tuple[int, ...]) -> Tensor:
    """Send a tensor to one process and get one of a known shape from another, all processes at the same time."""
    # gloo sums what lies on a GPU and hands it to all, but not from one process to another.
    there = torch.device("cpu") if f"{x.device.type}:gloo" in dist.get_backend_config() else meeting_place(x)
    received = torch.empty(shape, dtype=x.dtype, device=there)
    operations = [dist.P2POp(dist.isend, x.to(there).contiguous(), to), dist.P2POp(dist.irecv, received, source)]
    for request in dist.batch_isend_irecv(operations):
        request.wait()
    return received.to(x.device)
