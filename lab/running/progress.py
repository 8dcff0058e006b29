"""One progress display for all the cells at work, drawn by the parent from the cells' events.

On a terminal it is animated; elsewhere a line appears every few seconds. Everything goes to stderr.
"""

import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from lab.cells.events import last, last_progress
from lab.cells.folder import CellFolder
from lab.interrupts import say
from lab.pace import LINE_SECONDS, duration

REDRAW_SECONDS = 0.5
FIRST_SHARE = 0.02
"""Before so much is done, the pace tells nothing of the time left."""


class Display:
    """Shows what is running, how fast, and the time left. Use it as a context; tell it of each cell that starts."""

    def __init__(self, costs: dict[Path, float], jobs: int, *, known: bool = True) -> None:
        """`costs`: seconds on one core for the folder of each cell that is to do; `known`: not merely guessed."""
        self._costs, self._jobs, self._known = costs, jobs, known
        self._running: list[CellFolder] = []
        self._start = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)

    def started(self, folder: CellFolder) -> None:
        """A cell was handed to a worker."""
        self._running.append(folder)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """End the drawing; after an interrupt, tell what trainings have saved."""
        self._stop.set()
        self._thread.join()
        if kind and issubclass(kind, KeyboardInterrupt):
            for folder in self._running:
                if not folder.done and (kept := last(folder.path, "stopped").get("text")):
                    say(f"{folder.label}: saved at {kept}.")

    def _draw(self) -> None:
        console = Console(stderr=True)
        if console.is_terminal:
            self._animate(console)
        else:
            while not self._stop.wait(LINE_SECONDS):
                print(self._line(), file=sys.stderr, flush=True)

    def _animate(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
        with Progress(*columns, console=console, transient=True) as bars:
            whole = bars.add_task("all", total=1.0, note="")
            tasks: dict[CellFolder, TaskID] = {}
            while not self._stop.wait(REDRAW_SECONDS):
                active = self._active()
                fraction, left = self._whole(active)
                bars.update(whole, completed=fraction, note=left)
                for folder in set(tasks) - set(active):
                    bars.remove_task(tasks.pop(folder))
                for folder, event in active.items():
                    if folder not in tasks:
                        tasks[folder] = bars.add_task(folder.label, total=1.0, note="")
                    bars.update(tasks[folder], completed=_done(event), note=event.get("text", "starting"))

    def _line(self) -> str:
        active = self._active()
        fraction, left = self._whole(active)
        notes = [f"{folder.label}: {event.get('text', 'starting')}" for folder, event in active.items()]
        return " | ".join([f"{fraction:4.0%}, {left}", *notes])

    def _active(self) -> dict[CellFolder, dict[str, Any]]:
        """The cells at work, each with what it told last."""
        working = (folder for folder in self._running if not folder.done and folder.failure is None)
        return {folder: last_progress(folder.path) for folder in working}

    def _whole(self, active: dict[CellFolder, dict[str, Any]]) -> tuple[float, str]:
        """The share of the work that is done, and the time left: first by the costs, as it goes on by the pace.

        While something is at work, a second at least is left.
        """
        ended = sum(self._costs[folder.path] for folder in self._running if folder not in active)
        partly = sum(self._costs[folder.path] * _done(event) for folder, event in active.items())
        cost, elapsed = sum(self._costs.values()), time.monotonic() - self._start
        fraction = (ended + partly) / max(cost, 1e-9)
        if not self._known and fraction < FIRST_SHARE:
            return fraction, "time left not known yet"
        trust = min(1.0, fraction / 0.1)
        by_cost, by_pace = (1 - fraction) * cost / self._jobs, elapsed / (fraction or 1.0) - elapsed
        left = (1 - trust) * by_cost + trust * by_pace
        return fraction, f"about {duration(max(1.0 if active else 0.0, left))} left"


def _done(event: dict[str, Any]) -> float:
    return min(1.0, float(event.get("done", 0)) / float(event.get("total", 0) or 1))
