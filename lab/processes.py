"""Which process of how many this one is, and its share of a batch. torchrun says so in the environment.

The processes of a cell draw the same numbers for the whole batch and take their part, in order, so that the number of
processes does not change what is drawn.
"""

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FOREIGN = ("ACCELERATE_", "FORK_LAUNCHED", "FSDP_", "MEGATRON_LM_", "MPI_", "MV2_", "OMPI_", "PARALLELISM_", "PMI_")
"""How variables begin by which Accelerate, and launchers that it knows, decide how a training is done."""
TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
GONE = re.compile(
    r"\bgloo\b|\bNCCL\b|\bDist(Backend|Network|Store)?Error\b|caused pair closure|broken pipe"
    r"|connection (was )?(closed|reset|refused)|ConnectionResetError|ConnectionRefusedError",
    re.IGNORECASE,
)
"""What gloo, NCCL, torch's store and the system say when the other end of a connection has gone."""


def rank() -> int:
    """The number of this process among those that work together, from 0. The first one alone writes.

    A number that some launcher left behind in a process of its own says nothing.
    """
    return int(os.environ.get("RANK", "0")) if world_size() > 1 else 0


def world_size() -> int:
    """How many processes work together; 1 where torchrun did not start them.

    It gives each a number below theirs, among all and on its machine: where one is no such number, some launcher left
    it behind.
    """
    count, *own = os.environ.get("WORLD_SIZE", ""), os.environ.get("RANK", "0"), os.environ.get("LOCAL_RANK", "0")
    return int(count) if count.isdecimal() and all(n.isdecimal() and int(n) < int(count) for n in own) else 1


def forget_launchers() -> None:
    """Remove what decides in the settings' place how Accelerate trains: variables of its launcher and of others.

    Where one process works alone, those of torchrun go too, which would have it wait for others.
    """
    foreign = FOREIGN if world_size() > 1 else (*FOREIGN, *TORCHRUN)
    for name in [name for name in os.environ if name.startswith(foreign)]:
        del os.environ[name]


def lost_another(reason: str) -> bool:
    """Whether an error tells no more than that another of the processes has gone, which has a reason of its own."""
    return GONE.search(reason) is not None


def part(n: int) -> slice:
    """Which of n things are this process's: as many as the others have, but for one."""
    return slice(n * rank() // world_size(), n * (rank() + 1) // world_size())


def share(batch: "Tensor") -> "Tensor":
    """This process's part (b / processes, ...) of a batch (b, ...) that every process has whole.

    Raises:
        ValueError: the batch cannot be parted equally: gradients are averaged over the processes with equal weight.
    """
    if len(batch) % world_size():
        raise ValueError(f"a batch of {len(batch)} cannot be shared equally by {world_size()} processes.")
    return batch[part(len(batch))]


def uniform(count: int, device: "torch.device") -> "Tensor":
    """`count` numbers (count,) in [0, 1): this process's part of one draw for all from torch's global CPU generator.

    Whatever the device, a seed means the same. The generators of the processes must stand at the same place; they stay
    together.
    """
    import torch

    return share(torch.rand(count * world_size(), device="cpu")).to(device)
