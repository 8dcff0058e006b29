"""Work on the parts of a long list, in order, by one process a core."""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

import numpy as np

from lab.errors import WorkbenchError
from lab.machine import cores

ITEMS, BYTES = 256, 1 << 23
"""A part's size, at most: enough to outweigh the handing over, little enough to tell how far the work is."""
AHEAD = 3
"""Parts that wait for each process."""
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
    workers = min(n, cores())
    if workers < 2:
        yield from (work(*job) for job in jobs)
        return
    pool = ProcessPoolExecutor(workers, get_context(_start_method()), initializer=_prepare)
    waiting: deque[Future[T]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(work, *job))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise WorkbenchError("A decoding process died (out of memory, or ended from outside).") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_method() -> str:
    """`fork` starts in milliseconds and is safe while nothing has threads of its own; else `spawn`."""
    alone = threading.active_count() == 1 and "torch" not in sys.modules
    return "fork" if alone and sys.platform == "linux" else "spawn"


def _prepare() -> None:
    """An interrupt is the parent's to handle, and a worker ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
