"""How far work in this process is, in lines on stderr, and durations in words."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from lab.errors import say

FIRST_SECONDS, LINE_SECONDS, LONGEST_SECONDS = 1.0, 5.0, 60.0
"""When `looking` tells its first line, and how long it is from one line to the next, at first and at most."""
PARTS = 60
"""In between, a line is due once work has gone on for one such part of its time so far: a night has some 600 lines."""
T = TypeVar("T")


def pause(elapsed: float) -> float:
    """How many seconds after a line the next one is due, in work that has taken `elapsed` seconds so far."""
    return max(LINE_SECONDS, min(elapsed / PARTS, LONGEST_SECONDS))


def paced(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Each item as it comes; on stderr, now and then, a line that tells how many of `total` there were."""
    start = said = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - said >= pause(now - start):
            left = (now - start) / done * (total - done)
            say(f"{done} of {total} {what}, about {duration(left)} left")
            said = now


def passes() -> Callable[[int, float], None]:
    """A listener for work in passes: on stderr, now and then, a line with the pass, its share and its end."""
    number, begun = 0, time.monotonic()
    start = said = begun

    def listen(current: int, share: float) -> None:
        nonlocal number, start, said
        now = time.monotonic()
        if current != number:
            number, start = current, now
        elif now - said >= pause(now - begun):
            left = duration((now - start) / share * (1 - share))
            say(f"pass {number}: {share:.0%}, about {left} left of it")
            said = now

    return listen


def looking(what: str) -> Callable[[], None]:
    """A listener for looks at files of which nobody knows how many there are: on stderr, after a second and then
    now and again, a line that tells how many there were."""
    count, begun = 0, time.monotonic()
    due = begun + FIRST_SECONDS

    def listen() -> None:
        nonlocal count, due
        count, now = count + 1, time.monotonic()
        if now >= due:
            say(f"{what}: {count:,} files so far")
            due = now + pause(now - begun)

    return listen


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s` or `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
