"""Work on many tiles shared out among threads, each of which takes the next tile when it is done with its own.

Threads that split every product wait for each other after each, so that all are as slow as one whose core something
else has taken. Here each works on a whole tile and the results are taken in order: so they depend neither on which
thread was first nor on how many there are.
"""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache, partial
from queue import SimpleQueue
from typing import TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")
Room = TypeVar("Room")
Found = TypeVar("Found")

PAIRS = 1 << 23
"""Pairs for each thread, at least: with fewer, there is more to be handed over than to be won."""


def in_order(
    work: Callable[[Item, Room], Found], items: Iterable[Item], room: Callable[[], Room], like: Tensor, pairs: int
) -> Iterator[Found]:
    """What `work` makes of each item, in order, not to be differentiated; from several threads where that pays.

    Args:
        work: called with an item, and a room that is no other call's meanwhile; it changes nothing else.
        items: what is worked on; they are asked for here, a few ahead.
        room: makes memory to work in.
        like: where it happens: on a GPU all is done here.
        pairs: how many pairs of points the items have, in all, times how often each is looked at; in many dimensions
            a pair may count as several.
    """
    threads = torch.get_num_threads() if like.is_cpu else 1
    workers = min(threads, pairs // PAIRS)
    if workers < 2:
        here = room()
        yield from (work(item, here) for item in items)
        return
    rooms = SimpleQueue[Room]()
    for _ in range(workers):
        rooms.put(room())  # made here, where memory is used again

    inference = torch.is_inference_mode_enabled()  # in which what is made here cannot be written to outside it

    def one(item: Item) -> Found:
        here = rooms.get()
        try:
            set_threads(threads // workers)  # for products that this thread calls for
            with torch.inference_mode(inference), torch.no_grad():
                return work(item, here)
        finally:
            rooms.put(here)

    waiting, pool = deque[Future[Found]](), _pool(os.getpid(), workers)
    try:
        set_threads(1)
        for item in items:
            waiting.append(pool.submit(one, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        try:
            wait([future for future in waiting if not future.cancel()])
        finally:
            set_threads(threads)


def set_threads(count: int) -> None:
    """Set torch's number of threads for what this thread calls for, and for no other.

    `torch.set_num_threads` also sets what every thread has that is new to torch, and keeps: one that came meanwhile
    would be slow for good. That is set back at once.
    """
    if count == torch.get_num_threads() or sys.is_finalizing():  # when a new thread would never begin
        return
    with _setting:
        before = _in_a_new_thread(torch.get_num_threads)
        try:
            torch.set_num_threads(count)
        finally:
            _in_a_new_thread(partial(torch.set_num_threads, before))


def _in_a_new_thread(work: Callable[[], Found]) -> Found:
    """What `work` gives there; no pool's, as none takes work once the main thread has ended."""
    found = list[Found]()
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


_setting = threading.Lock()
if hasattr(os, "register_at_fork"):  # a fork has no other threads, one of which may have had the lock
    os.register_at_fork(before=_setting.acquire, after_in_parent=_setting.release, after_in_child=_setting.release)


@lru_cache(maxsize=1)
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    """So many threads of a process; a forked one has none of its parent's."""
    return ThreadPoolExecutor(workers, "tiles")
