"""When each cell is done, and what becomes of it. Where it is done is an executor's business."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from queue import SimpleQueue
from typing import ClassVar, Protocol

from lab.cells.failure import Failure, failure_of
from lab.cells.folder import CellFolder
from lab.errors import WorkbenchError

DIED = Failure(WorkbenchError.kind, "its worker process died (out of memory, or ended from outside)")
MISSING = Failure(WorkbenchError.kind, "what it needs is not there")


class Executor(Protocol):
    """A place where cells are done. Nothing but the folder passes between it and a cell.

    It is made with how many cells are to be done side by side, and on which kind of device: `cpu` or `cuda`.

    Attributes:
        queues: whether it does cells elsewhere, and takes each before those are done that it needs.
    """

    queues: ClassVar[bool]

    @property
    def waiting(self) -> Mapping[Path, str]:
        """Why cells that it has taken are not at work, by their folders."""

    def submit(self, folder: CellFolder) -> Future[None]:
        """Begin to do a cell.

        The future raises what the work raised, and `BrokenExecutor` where the process that was at work has died.
        """

    def close(self) -> None:
        """End what is still at work, as soon as its trainings have saved; what is done elsewhere goes on."""


@dataclass
class Outcome:
    """What became of the cells that were to do.

    Attributes:
        done: the folders that finished.
        broken: why a cell's own work failed.
        blocked: what a cell lacks that was never begun.
        left: the folders that an executor which queues has taken, and may be doing still.
    """

    done: list[Path] = field(default_factory=list)
    broken: dict[Path, Failure] = field(default_factory=dict)
    blocked: dict[Path, Failure] = field(default_factory=dict)
    left: list[Path] = field(default_factory=list)

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
        elif lacking := self.lacking(folder):
            self.blocked[folder.path] = lacking
        else:
            died = isinstance(error, BrokenExecutor | KeyboardInterrupt)
            self.broken[folder.path] = DIED if died else failure_of(error)

    def lacking(self, folder: CellFolder) -> Failure | None:
        """What a cell lacks because another one failed."""
        need = next((need for need in needs_of(folder) if need in self.broken or need in self.blocked), None)
        return Failure(WorkbenchError.kind, f"needs {need.name}, which failed") if need else None


def needs_of(folder: CellFolder) -> list[Path]:
    """The folders that a cell reads."""
    return [folder.path.parent / name for name in folder.record["needs_folders"]]


def do(
    folders: Iterable[CellFolder],
    executor: Executor,
    places: int,
    started: Callable[[CellFolder], None],
    ended: Callable[[CellFolder, bool], None] = lambda folder, well: None,
    *,
    costs: Mapping[Path, float] | None = None,
    wait: bool = True,
) -> Outcome:
    """Do cells side by side, each when those that it needs are done. One that fails leaves the others going.

    Of those that can be done, what others have made possible comes first, so that results are seen early; and then that
    from which it is the longest way to the end, so that no place is left with a long cell when all others are done
    (list scheduling by critical path; Hu 1961, Graham 1969).

    Args:
        folders: the cells to do, needs first; what they need besides is finished already.
        executor: does them, and is closed at the end.
        places: how many it does at a time.
        started: told of each cell as it is handed over.
        ended: told of each whose work has ended, and whether it has well.
        costs: how long each takes, by its folder, in any unit; without, they are done in the order given.
        wait: for the end of what an executor that queues has taken.

    Raises:
        KeyboardInterrupt: the executor is closed first, so that trainings save; what is unfinished can go on later.
    """
    outcome, order, taken = Outcome(), _Order(folders, costs or {}), set[Path]()
    over: SimpleQueue[Future[None]] = SimpleQueue()
    busy: dict[Future[None], CellFolder] = {}
    try:
        while True:
            while len(busy) < places and (folder := order.take()):
                if lacking := outcome.lacking(folder) or _missing(folder, taken):
                    outcome.blocked[folder.path] = lacking
                    order.over(folder)
                    continue
                started(folder)
                future = executor.submit(folder)
                busy[future] = folder
                future.add_done_callback(over.put)
                if executor.queues and not future.done():
                    taken.add(folder.path)
                    order.over(folder)
            if not busy or (not wait and over.empty()):
                break
            future = over.get()
            folder = busy.pop(future)
            outcome.settle(folder, future.exception())
            ended(folder, future.exception() is None)
            order.over(folder)
    finally:
        executor.close()
    outcome.left = [folder.path for folder in busy.values()]
    return outcome


def _missing(folder: CellFolder, taken: set[Path]) -> Failure | None:
    """What is wrong with what a cell needs, of which some may be in a queue before it: edited, or not there."""
    try:
        there = all(need.done or need.path in taken for need in folder.needs)
    except WorkbenchError as error:
        return failure_of(error)
    return None if there else MISSING


class _Order:
    """Which cells can be done: those whose needs are over, that is done, failed, or in a queue before them."""

    def __init__(self, folders: Iterable[CellFolder], costs: Mapping[Path, float]) -> None:
        """`folders`: needs first."""
        self._folders = [*folders]
        self._numbers = {folder.path: number for number, folder in enumerate(self._folders)}
        self._needs: list[set[int]] = []
        self._needers: dict[int, list[int]] = defaultdict(list)
        for number, folder in enumerate(self._folders):
            self._needs.append({self._numbers[need] for need in needs_of(folder) if need in self._numbers})
            for need in self._needs[-1]:
                self._needers[need].append(number)
        ways = self._longest_ways(costs)
        self._ranks = [(bool(costs) and not needs, -ways[i], i) for i, needs in enumerate(self._needs)]
        self._ready = sorted(rank for rank, needs in zip(self._ranks, self._needs, strict=True) if not needs)

    def _longest_ways(self, costs: Mapping[Path, float]) -> list[float]:
        """What each cell costs with the dearest chain of those that wait for it."""
        ways = [costs.get(folder.path, 0.0) for folder in self._folders]
        for number in reversed(range(len(ways))):
            ways[number] += max((ways[needer] for needer in self._needers[number]), default=0.0)
        return ways

    def take(self) -> CellFolder | None:
        """The next cell to do; one that another command is at work on comes last, as it has to be waited for."""
        held: list[tuple[bool, float, int]] = []
        while self._ready and self._folders[self._ready[0][-1]].held:
            held.append(heappop(self._ready))
        if not self._ready and held:
            self._ready = [held.pop(0)]
        taken = heappop(self._ready) if self._ready else None
        for one in held:
            heappush(self._ready, one)
        return None if taken is None else self._folders[taken[-1]]

    def over(self, folder: CellFolder) -> None:
        """Those that need a cell need not wait for it any more."""
        number = self._numbers[folder.path]
        for needer in self._needers.pop(number, []):
            self._needs[needer].discard(number)
            if not self._needs[needer]:
                heappush(self._ready, self._ranks[needer])
