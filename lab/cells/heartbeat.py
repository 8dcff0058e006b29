"""A sign of life of a cell at work: a file in its folder whose time is renewed for as long as the work goes on.

The clocks of machines differ, and a shared disk may show what is written elsewhere a minute late: whoever watches a
cell looks whether the time changes, and measures by a clock of his own how long it has not.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.cells.layout import HEARTBEAT

BEAT_SECONDS = 20.0
"""Seconds from one beat to the next."""


@contextmanager
def beating(folder: Path) -> Iterator[None]:
    """Show for as long as the block runs that this process is at work in a folder."""
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(folder / HEARTBEAT, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(OSError):
            (folder / HEARTBEAT).unlink(missing_ok=True)


def last_beat(folder: Path) -> int | None:
    """The time of the latest beat, in nanoseconds of the clock of whoever keeps the disk; None where there is none.

    Of work that was killed it stays where it was.
    """
    try:
        return (folder / HEARTBEAT).stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _beat(file: Path, over: threading.Event) -> None:
    pause = 0.0
    while not over.wait(pause):
        with suppress(OSError):  # a disk that is full or away does not end the work by this
            file.touch()
        pause = BEAT_SECONDS
