"""What the processes of a training tell each other beside gradients."""

from functools import reduce
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, distributed

from lab.processes import world_size

Value = TypeVar("Value")
WAITS_FOR_ITS_THREADS = torch.__version__ < "2.8"
"""Whether torch takes a group of processes apart without giving up Python's lock, which the group's threads may need to
drop the last tensors: it could wait for ever."""
_left: list[distributed.ProcessGroup | None] = []


def of_the_first(own: Value) -> Value:
    """What the first process has, of any kind."""
    if world_size() == 1:
        return own
    found: list[Value] = broadcast_object_list([own])
    return found[0]


def agreed(accelerator: Accelerator, *wishes: bool) -> tuple[bool, ...]:
    """Which of several things any process wishes, by its clock or for a signal: all do them after the same step."""
    if world_size() == 1:
        return wishes  # to ask a GPU would be to wait for it, at every step
    asked = accelerator.reduce(torch.tensor(wishes, dtype=torch.float32, device=accelerator.device), "sum")
    return tuple(wish > 0 for wish in asked.tolist())


def mean(accelerator: Accelerator, own: Tensor) -> Tensor:
    """The mean over the processes of the numbers (n,) that each has, on the CPU, summed in the order of the processes.

    In a sum by a backend the order depends on where a number stands, and so on how many there are.
    """
    parts = accelerator.gather(own.to(accelerator.device)).cpu().view(world_size(), -1)
    return reduce(torch.add, parts) / world_size()


def leave(accelerator: Accelerator) -> None:
    """End trackers and the group of processes, which an older torch takes apart when the process ends."""
    if WAITS_FOR_ITS_THREADS and distributed.is_initialized():
        _left.append(distributed.group.WORLD)
    accelerator.end_training()
