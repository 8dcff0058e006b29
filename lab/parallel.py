"""Work on a list, in order, by several processes of this machine."""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from lab.errors import WorkbenchError

AHEAD = 3
"""Jobs that wait for each process."""
T = TypeVar("T")


def run(work: Callable[..., T], jobs: Iterable[tuple[Any, ...]], workers: int, who: str) -> Generator[T]:
    """`work(*job)` for each job, in order, by so many processes, which end with this generator; one is this process.

    Args:
        work: what to do, by a name that other processes find.
        jobs: its arguments.
        workers: how many processes.
        who: what one of them is, for people.

    Raises:
        WorkbenchError: a process died.
    """
    if workers < 2:
        yield from (work(*job) for job in jobs)
        return
    context = get_context(_start_method())
    ended, here = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, initializer=_prepare, initargs=(ended, here))
    waiting: deque[Future[T]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(work, *job))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise WorkbenchError(f"{who} died (out of memory, or ended from outside).") from error
    finally:
        here.close()
        pool.shutdown(cancel_futures=True)
        ended.close()


def _start_method() -> str:
    """`fork` starts in milliseconds and is safe while nothing has threads of its own; else `spawn`."""
    alone = threading.active_count() == 1 and "torch" not in sys.modules
    return "fork" if alone and sys.platform == "linux" else "spawn"


def _prepare(ended: Connection, parents: Connection) -> None:
    """An interrupt is the parent's to handle; a worker ends at once with it, or when it wants no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parents.close()  # the copy of it here: when the parent has closed its own, nothing is left to come
    threading.Thread(target=_end_after, args=(ended,), daemon=True).start()


def _end_after(ended: Connection) -> None:
    wait([ended])
    os._exit(1)
