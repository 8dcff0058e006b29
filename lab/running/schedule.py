"""When each cell is done, and what becomes of it. Where it is done is an executor's business."""

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lab.cells.failure import Failure, failure_of
from lab.cells.folder import CellFolder
from lab.errors import WorkbenchError
from lab.interrupts import SAVING, say

DIED = Failure(WorkbenchError.kind, "its worker process died (out of memory, or ended from outside)")
MISSING = Failure(WorkbenchError.kind, "what it needs is not there")


class Executor(Protocol):
    """A place where cells are done. Nothing but the folder passes between it and a cell.

    It is made with how many cells are to be done side by side, and on which kind of device: `cpu` or `cuda`.
    """

    def submit(self, folder: CellFolder) -> Future[None]:
        """Begin to do a cell.

        The future raises what the work raised, and `BrokenExecutor` where the process that was at work has died.
        """

    def close(self) -> None:
        """End what is still at work, as soon as its trainings have saved."""


@dataclass
class Outcome:
    """What became of the cells that were to do.

    Attributes:
        done: the folders that finished.
        broken: why a cell's own work failed.
        blocked: what a cell lacks that was never begun.
    """

    done: list[Path] = field(default_factory=list)
    broken: dict[Path, Failure] = field(default_factory=dict)
    blocked: dict[Path, Failure] = field(default_factory=dict)

    @property
    def failed(self) -> dict[Path, Failure]:
        """Why cells did not finish."""
        return self.broken | self.blocked

    @property
    def common_cause(self) -> Failure | None:
        """The one reason for which nothing at all was done, if there is one."""
        reasons = set(self.broken.values())
        return reasons.pop() if len(reasons) == 1 and not self.done else None

    def settle(self, folder: CellFolder, error: BaseException | None) -> None:
        """The work of a cell has ended, with an error or well."""
        if error is None:
            self.done.append(folder.path)
        else:
            died = isinstance(error, BrokenExecutor | KeyboardInterrupt)
            self.broken[folder.path] = DIED if died else failure_of(error)


def do(
    folders: Iterable[CellFolder], executor: Executor, places: int, started: Callable[[CellFolder], None]
) -> Outcome:
    """Do cells side by side, each when those that it needs are done. One that fails leaves the others going.

    Args:
        folders: the cells to do, needs first; what they need besides is finished already.
        executor: does them, and is closed at the end.
        places: how many it does at a time.
        started: told of each cell as it is handed over.

    Raises:
        KeyboardInterrupt: the executor is closed first, so that trainings save; what is unfinished can go on later.
    """
    outcome, waiting = Outcome(), list(folders)
    busy: dict[Future[None], CellFolder] = {}
    try:
        while waiting or busy:
            while len(busy) < places and (folder := _next_ready(waiting, outcome)):
                started(folder)
                busy[executor.submit(folder)] = folder
            if not busy:
                outcome.blocked |= dict.fromkeys((folder.path for folder in waiting), MISSING)
                break
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                outcome.settle(busy.pop(future), future.exception())
    except KeyboardInterrupt:
        if busy:
            say(SAVING)
        raise
    finally:
        executor.close()
    return outcome


def _next_ready(waiting: list[CellFolder], outcome: Outcome) -> CellFolder | None:
    """Take the next cell to do; one that another command is at work on comes last, as it has to be waited for."""
    ready = []
    for folder in list(waiting):
        try:
            needs = folder.needs
            if broken := [need for need in needs if need.path in outcome.failed]:
                raise WorkbenchError(f"needs {broken[0].path.name}, which failed")
        except WorkbenchError as error:  # or a need was edited or removed by hand
            waiting.remove(folder)
            outcome.blocked[folder.path] = failure_of(error)
            continue
        if all(need.done for need in needs):
            ready.append(folder)
    chosen = next((folder for folder in ready if not folder.held), ready[0] if ready else None)
    if chosen is not None:
        waiting.remove(chosen)
    return chosen
