"""How long cells take on this machine, learned from those that were done: the guesses of their cost know no machine.

runs/timing.json:
    machine    the processor, cores and GPUs that it holds for
    tasks      by name: seconds that cells were guessed to take, and that they took; the latest count most
    beside     seconds that a study takes beside its cells: starting processes, drawing
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from lab import machine
from lab.cells import layout
from lab.cells.cell import Cell
from lab.errors import WorkbenchError
from lab.files import read_object, write_json

FADING = 0.5
"""What was learned of something before counts so much when more is learned of it."""
Seconds = Annotated[float, Field(ge=0, le=1e12)]


class Task(BaseModel, strict=True):
    """Seconds of a task's cells."""

    guessed: Seconds = 0.0
    took: Seconds = 0.0


class Timing(BaseModel, strict=True):
    """What was learned of a machine."""

    machine: str
    tasks: dict[str, Task] = {}
    beside: Seconds = 0.0

    def seconds(self, cell: Cell[Any]) -> float:
        """How long a cell takes on one core: its cost by what others of its task took, or else as it is guessed."""
        known = self.tasks.get(cell.task, Task())
        return cell.cost * known.took / known.guessed if known.guessed else cell.cost

    def knows(self, cells: Iterable[Cell[Any]]) -> bool:
        """Whether cells of each of these tasks were timed."""
        return all(self.tasks.get(cell.task, Task()).guessed for cell in cells)

    def estimate(self, cells: Sequence[Cell[Any]], slots: int) -> float:
        """How many seconds the cells take in `slots` slots of one core each, with what there is beside."""
        return sum(map(self.seconds, cells)) / max(1, min(slots, len(cells))) + (self.beside if cells else 0.0)


def read(runs: Path) -> Timing:
    """What was learned of this machine below `runs`; nothing where there is no file of its own that can be read."""
    with suppress(OSError, ValueError, WorkbenchError):
        found = Timing.model_validate(read_object(layout.own(runs / layout.TIMING)))
        if found.machine == _here():
            return found
    return Timing(machine=_here())


def learn(runs: Path, done: Iterable[tuple[Cell[Any], float]], beside: float | None = None) -> None:
    """Keep how many seconds cells took, and what there was beside them, where the folder can be written.

    Where nothing was done there is nothing to keep.
    """
    known, took = read(runs), defaultdict[str, Task](Task)
    for cell, seconds in done:
        took[cell.task].guessed += cell.cost
        took[cell.task].took += seconds
    if not took and beside is None:
        return
    for name, one in took.items():
        before = known.tasks.get(name, Task())
        known.tasks[name] = Task(guessed=FADING * before.guessed + one.guessed, took=FADING * before.took + one.took)
    if beside is not None:
        known.beside = max(0.0, FADING * known.beside + (1 - FADING) * beside if known.beside else beside)
    with suppress(OSError):
        write_json(runs / layout.TIMING, known.model_dump())


def _here() -> str:
    gpus = ", ".join(machine.gpu_names())
    return f"{machine.processor()[0] or 'a processor'}, {machine.cores()} cores, {gpus or 'no GPU'}"
