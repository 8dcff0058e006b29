"""What a cell at work tells: lines of JSON, appended by the cell and read by whoever watches."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.cells.layout import EVENTS
from lab.files import from_json, without_nan
from lab.processes import rank

TAIL = 4096
"""Bytes at the end of the file in which an event is looked for."""
LARGEST = 1e300
"""What can be counted of anything."""


def append(path: Path, record: dict[str, Any]) -> None:
    """Append one line; of several processes the first one alone writes."""
    if rank() == 0:
        with path.open("a", encoding="utf-8") as file:
            file.write(as_line(record))


def as_line(record: dict[str, Any]) -> str:
    """A record as a line of JSON; NaN and infinities, which JSON lacks, become null."""
    return json.dumps(without_nan(record), allow_nan=False) + "\n"


def tell(folder: Path, event: str, **fields: Any) -> None:
    """Append an event to a cell's folder, with the time."""
    append(folder / EVENTS, {"time": time.time(), "event": event, **fields})


def last_progress(folder: Path) -> dict[str, Any]:
    """The latest `progress` event of a cell's folder: what is `done` of the `total`, and a `text`; empty before one."""
    return last(folder, "progress", _is_told)


def last(folder: Path, name: str, right: Callable[[dict[str, Any]], bool] = lambda event: True) -> dict[str, Any]:
    """The latest event of a name, and as it should be, among the last ones of a cell's folder; empty without one."""
    try:
        with (folder / EVENTS).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        with suppress(ValueError):
            event = from_json(line)
            if event.get("event") == name and right(event):
                return event
    return {}


def _is_told(event: dict[str, Any]) -> bool:
    numbers = (event.get("done"), event.get("total"))
    counted = all(isinstance(number, int | float) and 0 <= number <= LARGEST for number in numbers)
    return counted and isinstance(event.get("text"), str)
