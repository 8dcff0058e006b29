"""What a cell at work tells: lines of JSON, appended by the cell and read by whoever watches."""

import json
import time
from pathlib import Path
from typing import Any

from lab.cells.layout import EVENTS
from lab.files import without_nan
from lab.processes import rank

TAIL = 4096
"""Bytes at the end of the file in which an event is looked for."""


def append(path: Path, record: dict[str, Any]) -> None:
    """Append one line; of several processes the first one alone writes."""
    if rank() == 0:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(without_nan(record), allow_nan=False) + "\n")


def tell(folder: Path, event: str, **fields: Any) -> None:
    """Append an event to a cell's folder, with the time."""
    append(folder / EVENTS, {"time": time.time(), "event": event, **fields})


def last_progress(folder: Path) -> dict[str, Any]:
    """The latest `progress` event of a cell's folder; empty before the first."""
    return last(folder, "progress")


def last(folder: Path, name: str) -> dict[str, Any]:
    """The latest event of a name among the last ones of a cell's folder; empty where there is none."""
    try:
        with (folder / EVENTS).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("event") == name:
            return event
    return {}
