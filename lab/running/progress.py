"""One progress display for all the cells at work, drawn by the parent from the cells' events.

On a terminal it is animated; elsewhere a line appears every few seconds. Everything goes to stderr.
"""

import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from lab.cells.folder import CellFolder
from lab.pace import LINE_SECONDS, duration

REDRAW_SECONDS = 0.5


class Display:
    """Shows what is running, how fast, and the time left. Use it as a context; tell it of each cell that starts."""

    def __init__(self, costs: dict[Path, float], jobs: int) -> None:
        """`costs`: a guess, in seconds on one core, for the folder of each cell that is to do."""
        self._costs, self._jobs = costs, jobs
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

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _draw(self) -> None:
        console = Console(stderr=True)
        if console.is_terminal:
            self._animate(console)
        else:
            while not self._stop.wait(LINE_SECONDS):
                print(self._line(self._active()), file=sys.stderr, flush=True)

    def _animate(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
        with Progress(*columns, console=console, transient=True) as bars:
            whole = bars.add_task("all", total=1.0, note="")
            tasks: dict[Path, TaskID] = {}
            while not self._stop.wait(REDRAW_SECONDS):
                active = self._active()
                bars.update(whole, completed=self._fraction(active), note=self._left(active))
                for path in set(tasks) - {folder.path for folder, _ in active}:
                    bars.remove_task(tasks.pop(path))
                for folder, event in active:
                    if folder.path not in tasks:
                        tasks[folder.path] = bars.add_task(str(folder.record["label"]), total=1.0, note="")
                    bars.update(tasks[folder.path], completed=_done(event), note=str(event.get("text", "starting")))

    def _line(self, active: Sequence[tuple[CellFolder, dict[str, Any]]]) -> str:
        notes = [f"{folder.record['label']}: {event.get('text', 'starting')}" for folder, event in active]
        return f"{self._fraction(active):4.0%}, {self._left(active)} | " + " | ".join(notes)

    def _active(self) -> list[tuple[CellFolder, dict[str, Any]]]:
        return [
            (folder, last_progress(folder.path))
            for folder in self._running
            if not folder.done and folder.failure is None
        ]

    def _fraction(self, active: Sequence[tuple[CellFolder, dict[str, Any]]]) -> float:
        working = {folder.path for folder, _ in active}
        ended = sum(self._costs[folder.path] for folder in self._running if folder.path not in working)
        partly = sum(self._costs[folder.path] * _done(event) for folder, event in active)
        return (ended + partly) / max(sum(self._costs.values()), 1e-9)

    def _left(self, active: Sequence[tuple[CellFolder, dict[str, Any]]]) -> str:
        """Guess from the costs at first, from the pace of the work so far as it goes on."""
        fraction, elapsed = self._fraction(active), time.monotonic() - self._start
        guess = sum(self._costs.values()) / self._jobs
        trust = min(1.0, fraction / 0.1)
        total = trust * (elapsed / fraction if fraction else guess) + (1 - trust) * guess
        return f"about {duration(max(0.0, total - elapsed))} left"


def last_progress(path: Path) -> dict[str, Any]:
    """The latest `progress` event of a cell's folder; empty before the first."""
    try:
        with (path / "events.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 4096))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("event") == "progress":
            return event
    return {}


def _done(event: dict[str, Any]) -> float:
    return min(1.0, float(event.get("done", 0)) / float(event.get("total", 0) or 1))
