"""Where cells are to be done, as a command line says it."""

from dataclasses import dataclass

from lab import registry
from lab.running.sbatch import Asked
from lab.running.schedule import Executor


@dataclass(frozen=True)
class Place:
    """An executor that is not made yet.

    Attributes:
        executor: its name.
        jobs: how many cells are to be done side by side; None for as many as it can do.
        asked: what Slurm is asked for; None for another executor.
    """

    executor: str = "slots"
    jobs: int | None = None
    asked: Asked | None = None

    @property
    def queues(self) -> bool:
        """Whether cells wait in a queue, and are done elsewhere."""
        return bool(registry.load("executors", self.executor).Executor.queues)

    def open(self, count: int, device: str) -> Executor:
        """The executor, for `count` cells side by side on a kind of device.

        Raises:
            WorkbenchError: it cannot work here.
        """
        more = {} if self.asked is None else {"asked": self.asked}
        made: Executor = registry.load("executors", self.executor).Executor(count, device, **more)
        return made


SLOTS, HERE = Place(), Place("here")
