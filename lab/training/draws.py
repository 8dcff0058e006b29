"""Random draws as pure functions of (seed, step), so that resuming needs no sampler state.

Everything is drawn on the CPU, whatever the default device: a seed means the same on every device.
"""

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

from lab.errors import UsageError


def derive_seed(seed: int, *key: str | int) -> int:
    """A 63-bit seed for one purpose of one run, e.g. `derive_seed(0, "noise", step)`."""
    text = "/".join(str(part) for part in (seed, *key))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def seed_torch(seed: int, *key: str | int) -> None:
    """Have what torch draws by itself, as for first weights and for dropout, begin anew for one purpose of one run.

    `torch.manual_seed` does the same, and notes for every kind of device that is not in use who asked it to, which
    takes longer than the rest of a small step.
    """
    derived = derive_seed(seed, *key)
    torch.default_generator.manual_seed(derived)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(derived)


def random_generator(seed: int, *key: str | int) -> torch.Generator:
    """A fresh CPU generator for one purpose of one run."""
    return torch.Generator("cpu").manual_seed(derive_seed(seed, *key))


def batch_indices(n: int, batch: int, seed: int, step: int) -> Tensor:
    """The indices (batch,) of the step-th batch out of n items: epochs without replacement, end to end."""
    start, stop = step * batch, (step + 1) * batch
    epochs = range(start // n, (stop - 1) // n + 1)
    order = torch.cat([_permutation(n, seed, epoch) for epoch in epochs])
    return order[start - epochs[0] * n : stop - epochs[0] * n]


def subset(n: int, size: int, seed: int, *key: str | int) -> Tensor:
    """`size` of n indices, drawn at random without replacement, in random order.

    Raises:
        UsageError: there are fewer than `size`.
    """
    if size > n:
        raise UsageError(f"{size} images are asked for and there are {n}.")
    return torch.randperm(n, generator=random_generator(seed, *key), device="cpu")[:size]


def carve(n: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """n indices in two disjoint parts, each ascending: those to train on, and `share` of them, rounded, to validate on.

    Which are which is drawn by the seed.
    """
    order = torch.randperm(n, generator=random_generator(seed, "validation"), device="cpu")
    size = round(share * n)
    return order[size:].sort().values, order[:size].sort().values


@lru_cache(maxsize=4)
def _permutation(n: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(n, generator=random_generator(seed, "epoch", epoch), device="cpu")
