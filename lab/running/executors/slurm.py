"""Doing cells as jobs of Slurm, one job each, on whichever machines it has.

All that passes between this process and a job is the cell's folder. A job is known by its folder, so that another
command, or this one again, finds those that are in the queue. What has become of a cell its folder tells first, and
then Slurm.
"""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from lab import locks
from lab.cells import layout
from lab.cells.failure import LOST, Failure, failure_of, forget_failure, keep_failure
from lab.cells.folder import CellFolder
from lab.errors import WorkbenchError, say
from lab.files import explaining
from lab.running import slurm
from lab.running.sbatch import Asked
from lab.running.schedule import needs_of
from lab.running.silence import Silence
from lab.running.slurm import Job, Unreachable

SHORTEST, LONGEST = 1.0, 15.0
"""Seconds between two looks at the queue: few while something happens there."""
LATE = 10.0
"""Seconds that a shared disk may need to show here what a job wrote elsewhere before it ended."""
TRIES, AGAIN_SECONDS = 60, 5.0
"""How often a job is put into the queue while Slurm does not answer, and the seconds between."""
SKEW = 5.0
"""Seconds by which the clock of a disk may be behind."""
LOSSES = 3
"""How often a cell is put into the queue again whose job Slurm has lost, or that was at work for Slurm alone."""
UNANSWERED = 300.0
"""Seconds without an answer of Slurm's before that is said."""


@dataclass
class _Work:
    """A cell in the queue."""

    folder: CellFolder
    number: str
    future: Future[None] = field(default_factory=Future)
    ended: float | None = None
    lost: int = 0


class Executor:
    """Slurm's queue. It takes what it is given at once, and `close` leaves it there."""

    queues: ClassVar[bool] = True

    def __init__(self, places: int = 1, device: str = "cpu", asked: Asked | None = None) -> None:
        """Look at the queue. Devices and how many cells run side by side are Slurm's business.

        Raises:
            UsageError: there is no Slurm here.
            WorkbenchError: Slurm does not answer.
        """
        slurm.check()
        self._asked = asked or Asked()
        self._silence = Silence(60 * self._asked.profile.silence)
        self._watched: set[Path] = set()
        self._lost: dict[Path, str] = {}
        with slurm.last_try():
            self._ask()
        self._work: dict[Path, _Work] = {}
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> Mapping[Path, str]:
        """Why cells that it has taken are not at work, by their folders."""
        jobs = ((work, self._known.get(path)) for path, work in [*self._work.items()])
        new = Job("", "PENDING", "None")
        return {work.folder.path: (job or new).waits for work, job in jobs if job is None or job.pending}

    def submit(self, folder: CellFolder) -> Future[None]:
        """Put a cell into the queue, or find it there, or done."""
        path = folder.path.resolve()
        over: Future[None] = Future()
        if folder.done:  # by another command, since it was planned
            over.set_result(None)
            return over
        try:
            with explaining(path):
                work = _Work(folder, self._queued(path) or self._put(folder))
        except WorkbenchError as error:
            over.set_exception(error)
            return over
        self._work[path] = work
        self._watched |= {path, *(need.resolve() for need in needs_of(folder))}
        if not (self._thread and self._thread.is_alive()):
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return work.future

    def close(self) -> None:
        """Look at the queue no more; what is in it goes on."""
        self._closed.set()

    def _ask(self) -> dict[Path, Job]:
        """What is in the queue now."""
        begun = time.time()
        self._known = slurm.queue()
        self._looked = begun
        return self._known

    def _queued(self, path: Path) -> str | None:
        """The number of the job in the queue that does the cell of a folder."""
        known = self._known.get(path)
        return None if known is None or known.ended else known.number

    def _put(self, folder: CellFolder) -> str:
        """Put a cell into the queue, to begin after what it needs; its job's number.

        Where Slurm has not answered, it may have taken the job all the same, and another command may have put one there
        since the queue was looked at: which is looked at first then.
        """
        path = folder.path.resolve()
        needs = [self._work.get(need.resolve()) for need in needs_of(folder)]
        after = [need.number for need in needs if need]  # Slurm forgets, and does not wait for, those that have ended
        forget_failure(path)
        tries = 0
        with locks.exclusive(path / layout.JOB_LOCK):
            while True:
                try:
                    if tries or self._is_put_since(path):
                        self._ask()
                    return self._queued(path) or slurm.submit(folder, self._asked, after)
                except Unreachable:
                    tries += 1
                    if tries == TRIES:
                        with slurm.last_try():
                            raise
                    self._closed.wait(AGAIN_SECONDS)

    def _is_put_since(self, path: Path) -> bool:
        """Whether a job of a cell may have been put into the queue since that was looked at."""
        with suppress(FileNotFoundError):
            return (path / layout.JOB).stat().st_mtime > self._looked - SKEW
        return False

    def _watch(self) -> None:
        try:
            self._look_again_and_again()
        except Exception as error:  # nobody would look any more, and whoever waits would do so for ever
            while self._work:
                self._work.popitem()[1].future.set_exception(error)

    def _look_again_and_again(self) -> None:
        pause, heard = SHORTEST, time.monotonic()
        while not self._closed.wait(pause):
            known, taken = self._known, len(self._work)
            try:
                self._look()
                heard = time.monotonic()
            except (OSError, WorkbenchError) as error:  # its controller, or a disk, may be away for a while
                if time.monotonic() - heard > UNANSWERED:
                    heard = time.monotonic()
                    say(f"Slurm does not answer ({error}); its jobs go on.")
            still = known == self._known and taken == len(self._work)
            pause = min(1.5 * pause, LONGEST) if still else SHORTEST

    def _look(self) -> None:
        """Look at the queue once, and tell of the cells whose jobs have ended.

        Raises:
            Unreachable: Slurm does not answer.
            OSError: a cell cannot be read now, which holds up no other.
        """
        work = [*self._work.items()]  # before the queue, which has all of them then
        known, trouble = self._ask(), None
        for path, one in work:
            try:
                with explaining(path):
                    self._look_at(path, one, known.get(path))
            except OSError as error:
                trouble = error
            except Unreachable:
                raise
            except WorkbenchError as error:  # Slurm refuses what this cell needs
                self._end(path, failure_of(error))
        for path in self._silence.look({path: job for path, job in known.items() if path in self._watched}):
            self._give_up(path, known[path].number)
        if trouble:
            raise trouble

    def _look_at(self, path: Path, one: _Work, job: Job | None) -> None:
        one.number = job.number if job else one.number  # another command's, if that was later
        if job and job.never:
            slurm.cancel([one.number])
            self._end(path, Failure(WorkbenchError.kind, f"its job {one.number} {job.never}."))
        elif job and not job.ended:
            one.ended = None
            if job.held:
                slurm.release(one.number)
            if not job.pending and layout.is_done(path):
                self._end(path)
        else:
            self._judge(path, one, job)

    def _judge(self, path: Path, one: _Work, job: Job | None) -> None:
        """What has become of a cell whose job is over: its folder says so, or does after a while, or else Slurm."""
        one.ended = one.ended or time.monotonic()
        names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()  # a shared disk looks anew for it
        failure = one.folder.failure if layout.FAILED in names else None
        if layout.DONE in names:
            self._end(path)
        elif failure and failure.kind != LOST:
            self._end(path, failure)
        elif time.monotonic() - one.ended < LATE:
            return
        elif one.lost < LOSSES and path.is_dir() and self._is_lost(one, job):
            self._lost[path] = one.number
            one.number, one.lost, one.ended = self._put(one.folder), one.lost + 1, None
        else:
            silent = job and self._lost.get(path) == one.number
            fate = slurm.fate(one.number, "SILENT" if silent else job.state if job else "", path / layout.LOG)
            failure = Failure(WorkbenchError.kind, fate)
            if all(layout.is_done(need) for need in needs_of(one.folder)):  # else Slurm has never begun it
                keep_failure(path, failure)
            self._end(path, failure)

    def _give_up(self, path: Path, number: str) -> None:
        """Cancel a job that is at work for Slurm alone, and for which others may wait.

        If something is at work after all, it saves, and the cell's next job goes on from there.
        """
        say(f"{path.name}: Slurm takes its job {number} for one at work, and nothing is seen of it: it is cancelled.")
        slurm.cancel([number])
        self._lost[path] = number

    def _is_lost(self, one: _Work, job: Job | None) -> bool:
        """Whether a job has ended for no reason of its cell's own.

        Slurm's controller may have died before it had kept the job, the job was given up, or it was to begin after one
        of those.
        """
        own = self._lost.get(one.folder.path.resolve()) == one.number
        return job is None or own or any(need.resolve() in self._lost for need in needs_of(one.folder))

    def _end(self, path: Path, failure: Failure | None = None) -> None:
        future = self._work.pop(path).future
        if failure:
            future.set_exception(failure.error())
        else:
            future.set_result(None)
