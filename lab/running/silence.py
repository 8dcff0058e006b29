"""Whether jobs that Slurm takes for ones at work are so, by the signs of life of their cells.

It may take a job for one at work for ever whose end it has not heard of, as when its controller died at that moment.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import locks
from lab.cells import layout
from lab.cells.heartbeat import last_beat
from lab.running.slurm import Job

LINGERING = 60.0
"""Seconds that a job may need to end once its cell is done."""
LONGEST_LOOK = 60.0
"""Of the time between two looks no more seconds count: who could not look has not heard silence."""


@dataclass
class _Heard:
    """What was seen at the last look: the job's number, its cell's beat, when, and the seconds of silence by then."""

    number: str
    beat: int | None
    looked: float
    silent: float


class Silence:
    """How long cells at work have shown no sign of life, by this machine's clock."""

    def __init__(self, longest: float) -> None:
        """`longest`: the seconds of silence after which a job is taken for gone."""
        self._longest = longest
        self._heard: dict[Path, _Heard] = {}

    def look(self, jobs: Mapping[Path, Job]) -> list[Path]:
        """Look at the jobs in the queue, by the folders of their cells: those that are at work for Slurm alone.

        They are told of again only after as much silence again.
        """
        at_work = {path: job.number for path, job in jobs.items() if job.at_work}
        self._heard = {path: self._listen(path, number) for path, number in at_work.items()}
        return [path for path, heard in self._heard.items() if self._is_gone(path, heard)]

    def _listen(self, path: Path, number: str) -> _Heard:
        now, beat, before = time.monotonic(), last_beat(path), self._heard.get(path)
        if before is None or (before.number, before.beat) != (number, beat):
            return _Heard(number, beat, now, 0.0)
        return _Heard(number, beat, now, before.silent + min(now - before.looked, LONGEST_LOOK))

    def _is_gone(self, path: Path, heard: _Heard) -> bool:
        patience = LINGERING if layout.is_done(path) else self._longest
        if heard.silent <= min(patience, self._longest):
            return False
        heard.silent = 0.0
        return not locks.is_locked(path)  # whoever holds it lives, as far as locks are seen from here
