"""The parts of a long list of files, and work on them, in order, by one process a core."""

from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

import numpy as np

from lab import parallel
from lab.machine import cores

ITEMS, BYTES = 256, 1 << 23
"""A part's size, at most: enough to outweigh the handing over, little enough to tell how far the work is."""
T = TypeVar("T")


def parts(sizes: np.ndarray) -> list[slice]:
    """Consecutive parts of a list of files, given the bytes of each (n,)."""
    found, start, total = [], 0, 0
    for i, size in enumerate(sizes.tolist()):
        if i > start and (i - start >= ITEMS or total + size > BYTES):
            found.append(slice(start, i))
            start, total = i, 0
        total += size
    return [*found, slice(start, len(sizes))] if len(sizes) else []


def run(work: Callable[..., T], jobs: Iterable[tuple[Any, ...]], n: int) -> Generator[T]:
    """`work(*job)` for each of n jobs, in order; a single one is done here.

    Raises:
        WorkbenchError: a process died.
    """
    return parallel.run(work, jobs, min(n, cores()), "A decoding process")
