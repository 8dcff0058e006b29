"""Doing cells in this process, one after the other, on all cores."""

from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar

from lab import machine
from lab.cells.folder import CellFolder
from lab.processes import world_size
from lab.running import launch


class Executor:
    """A cell is done when `submit` returns."""

    queues: ClassVar[bool] = False
    waiting: ClassVar[dict[Path, str]] = {}

    def __init__(self, count: int = 1, device: str = "cpu") -> None:
        """However many places are asked for, there is one."""

    def submit(self, folder: CellFolder) -> Future[None]:
        """Do a cell; an interrupt is raised at once, and not by the future."""
        if world_size() == 1:
            launch.share_threads(machine.threads())
        result: Future[None] = Future()
        try:
            launch.work(folder)
            result.set_result(None)
        except Exception as error:
            result.set_exception(error)
        return result

    def close(self) -> None:
        """Nothing is left at work."""
