"""One progress display for all the cells at work, drawn by the parent from the cells' events.

On a terminal it is animated; elsewhere a line appears every few seconds, in long work every minute. Everything
goes to stderr.
"""

import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from lab.cells.events import last, last_progress
from lab.cells.folder import CellFolder
from lab.errors import say, visible
from lab.pace import duration, pause
from lab.running.schedule import Executor

REDRAW_SECONDS = 0.5
KERNEL = "JPY_PARENT_PID"
"""What Jupyter sets for a notebook's kernel, and so for the commands of its cells."""
SHOWN = 8
"""Of more cells that are at work, only so many are shown."""
FIRST_SHARE = 0.02
"""Before so much is done, the pace tells nothing of the time left."""


class Display:
    """Shows what is running, how fast, and the time left. Use it as a context; tell it of each cell that starts."""

    def __init__(
        self, costs: dict[Path, float], jobs: int, *, known: bool = True, queue: Executor | None = None
    ) -> None:
        """Show nothing yet.

        Args:
            costs: seconds on one core for the folder of each cell that is to do.
            jobs: how many are done side by side.
            known: whether the costs are not merely guessed.
            queue: where the cells wait for a place, if they do.
        """
        self._costs, self._jobs, self._known, self._queue = costs, jobs, known, queue
        self._running: dict[Path, CellFolder] = {}
        self._ended = Counter(done=0, failed=0)
        self._ended_cost = 0.0
        self._start = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)

    def started(self, folder: CellFolder) -> None:
        """A cell was handed to a worker."""
        self._running[folder.path] = folder

    def ended(self, folder: CellFolder, well: bool) -> None:
        """The work of a cell has ended."""
        self._running.pop(folder.path, None)
        self._ended["done" if well else "failed"] += 1
        self._ended_cost += self._costs[folder.path]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """End the drawing; after an interrupt, tell what trainings have saved."""
        self._stop.set()
        self._thread.join()
        if kind and issubclass(kind, KeyboardInterrupt):
            for folder in self._running.values() if self._queue is None else ():
                if not folder.done and (kept := last(folder.path, "stopped").get("text")):
                    say(f"{folder.label}: saved at {kept}.")

    def _draw(self) -> None:
        console = Console(stderr=True)
        if _moves(console):
            self._animate(console)
        else:
            self._tell()

    def _tell(self) -> None:
        """A line now and then, unless it is the same as the last."""
        waited, said = 0.0, ""
        while not self._stop.wait(seconds := pause(waited)):
            waited += seconds
            if (line := self._line()) != said:
                say(line)
                said = line

    def _animate(self, console: Console) -> None:
        columns = (_words("{task.description}"), BarColumn(), _words("{task.fields[note]}"))
        with Progress(*columns, console=console, transient=True) as bars:
            whole = bars.add_task("all", total=1.0, note="")
            tasks: dict[CellFolder, TaskID] = {}
            while not self._stop.wait(REDRAW_SECONDS):
                active = self._active()
                fraction, left = self._whole(active)
                bars.update(whole, completed=fraction, note=" | ".join([left, *self._counts(active)]))
                shown = dict([*active.items()][:SHOWN])
                for folder in set(tasks) - set(shown):
                    bars.remove_task(tasks.pop(folder))
                for folder, event in shown.items():
                    if folder not in tasks:
                        tasks[folder] = bars.add_task(visible(folder.label), total=1.0, note="")
                    bars.update(tasks[folder], completed=_done(event), note=visible(event.get("text", "starting")))

    def _line(self) -> str:
        active = self._active()
        fraction, left = self._whole(active)
        notes = [f"{folder.label}: {event.get('text', 'starting')}" for folder, event in [*active.items()][:SHOWN]]
        return " | ".join([f"{fraction:4.0%}, {left}", *self._counts(active), *notes])

    def _active(self) -> dict[CellFolder, dict[str, Any]]:
        """The cells at work, each with what it told last."""
        waiting = self._queue.waiting if self._queue else {}
        working = [folder for path, folder in self._running.copy().items() if path not in waiting]
        return {folder: last_progress(folder.path) for folder in working}

    def _counts(self, active: dict[CellFolder, dict[str, Any]]) -> list[str]:
        """How many cells of a queue have ended, are at work, and wait for what."""
        if self._queue is None:
            return []
        reasons = Counter(self._queue.waiting.values())
        why = "; ".join(f"{reason}: {count}" for reason, count in reasons.most_common(SHOWN))
        pending = [f"{reasons.total()} pending ({why})"] if reasons else []
        return [f"{self._ended['done']} done, {self._ended['failed']} failed, {len(active)} running", *pending]

    def _whole(self, active: dict[CellFolder, dict[str, Any]]) -> tuple[float, str]:
        """The share of the work that is done, and the time left: first by the costs, as it goes on by the pace.

        While something is at work, a second at least is left.
        """
        partly = sum(self._costs[folder.path] * _done(event) for folder, event in active.items())
        cost, elapsed = sum(self._costs.values()), time.monotonic() - self._start
        fraction = (self._ended_cost + partly) / max(cost, 1e-9)
        if not self._known and fraction < FIRST_SHARE:
            return fraction, "time left not known yet"
        trust = min(1.0, fraction / 0.1)
        by_cost, by_pace = (1 - fraction) * cost / self._jobs, elapsed / (fraction or 1.0) - elapsed
        left = (1 - trust) * by_cost + trust * by_pace
        return fraction, f"about {duration(max(1.0 if active else 0.0, left))} left"


def _moves(console: Console) -> bool:
    """Whether what is drawn is drawn over; a kernel forces colour, which a console takes for a terminal."""
    seen = sys.stderr.isatty() and not os.environ.get(KERNEL)
    return seen and console.is_terminal and not console.is_dumb_terminal


def _words(text: str) -> TextColumn:
    return TextColumn(text, markup=False)


def _done(event: dict[str, Any]) -> float:
    return min(1.0, float(event.get("done", 0)) / float(event.get("total", 0) or 1))
