"""Slurm's queue as a test has it, and cells that are put there."""

from lab.cells.cell import with_needs
from lab.cells.failure import keep_failure
from lab.cells.folder import CellFolder
from lab.running import schedule, slurm
from lab.running.executors.slurm import Executor
from lab.running.slurm import Job

SOON = 5.0
"""Seconds in which a cell ends that is not waited for without end."""
LOCAL = {"data": "data", "download": False}


def create(cells, tmp_path):
    return [CellFolder.create(one, tmp_path / "cells", LOCAL) for one in with_needs(cells)]


class Queue:
    """A queue of which a test says what becomes of a job that is put there; else it waits."""

    def __init__(self):
        self.jobs, self.after, self.cancelled, self.silent, self.becomes = {}, {}, [], 0, {}

    def look(self):
        if self.silent:
            self.silent -= 1
            raise slurm.Unreachable("squeue says: Unable to contact slurm controller")
        return dict(self.jobs)

    def submit(self, folder, asked, after):
        number = str(100 + len(self.after))
        self.after[number] = [*after]
        self.say(folder, "PENDING", "Resources", number)
        self.becomes.get(folder.label, lambda folder: None)(folder)
        return number

    def cancel(self, numbers):
        self.cancelled.extend(numbers)
        ended = {path: job for path, job in self.jobs.items() if job.number in self.cancelled}
        kept = {path: job for path, job in self.jobs.items() if {*self.after[job.number]} & {*self.cancelled}}
        self.jobs |= {path: Job(job.number, "CANCELLED", "None") for path, job in (ended | kept).items()}

    def say(self, folder, state, reason="None", number=None):
        path = folder.path.resolve()
        self.jobs[path] = Job(number or self.jobs[path].number, state, reason)

    def ends(self, state, failure=None, done=False, reason="None"):
        """What becomes of a job that comes to this state, and leaves that in its cell's folder."""

        def end(folder):
            if failure:
                keep_failure(folder.path, failure)
            if done:
                folder.mark_done(1.0)
            self.say(folder, state, reason)

        return end


def do(folders, **more):
    return schedule.do(folders, Executor(), len(folders), lambda folder: None, **more)
