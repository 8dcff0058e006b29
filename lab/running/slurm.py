"""Slurm's queue: jobs that do cells are put there, looked at, told apart by the cells' folders, and taken back."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.cells.failure import Failure, keep_failure
from lab.cells.folder import CellFolder
from lab.cells.layout import CHECKPOINTS, JOB
from lab.errors import UsageError, WorkbenchError
from lab.interrupts import TIME_OVER, Interrupted
from lab.processes import rank
from lab.running.sbatch import Asked, job_options, write_script

ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"}
ENDED |= {"REVOKED", "TIMEOUT"}
PENDING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "SUSPENDED", "STOPPED"}
AGAIN = "the same command goes on with it"
FATES = {
    "OUT_OF_MEMORY": f"its job {{}} ran out of memory: ask for more by --slurm mem=...; {AGAIN}.",
    "TIMEOUT": f"the time of its job {{}} was over: ask for more by --slurm time=...; {AGAIN}.",
    "DEADLINE": f"the deadline of its job {{}} has passed: ask for another by --slurm deadline=...; {AGAIN}.",
    "NODE_FAIL": f"the node of its job {{}} failed: {AGAIN}.",
    "BOOT_FAIL": f"the node of its job {{}} did not start: {AGAIN}.",
    "PREEMPTED": f"its job {{}} had to make room for another: {AGAIN}.",
    "CANCELLED": f"its job {{}} was cancelled: {AGAIN}.",
    "SILENT": f"its job {{}} was at work for Slurm and showed no sign of life, as those before it; {AGAIN}.",
}
"""What is told of a cell that its job left unfinished, by the state of that, with its number.

`SILENT` is none of Slurm's states: the job was cancelled for that.
"""
NEVER = {
    "PartitionTimeLimit": "asks for more time than its partition gives: ask for less by --slurm time=...",
    "PartitionNodeLimit": "asks for more nodes than its partition gives: ask for fewer by --slurm nodes=...",
    "BadConstraints": "asks for what no node has: ask for other things by --slurm constraint=... and the like",
    "AccountNotAllowed": "is for a partition that its account may not use: name others by --slurm account=...",
    "InvalidAccount": "is for an account that is not valid: name another by --slurm account=...",
    "InvalidQOS": "is for a quality of service that is not valid: name another by --slurm qos=...",
    "QOSNotAllowed": "is for a quality of service that it may not use: name another by --slurm qos=...",
    "QOSMaxWallDurationPerJobLimit": "asks for more time than its quality of service gives: see --slurm time=...",
    "AssocMaxWallDurationPerJobLimit": "asks for more time than its account gives: ask for less by --slurm time=...",
    "DependencyNeverSatisfied": f"waits for a job that failed; {AGAIN}",
}
"""Reasons for which a job waits that time does not change, by Slurm's name of them."""
HELD = "launch failed requeued held"
"""The reason of a job that a node failed to begin: it waits for ever, unless it is released."""
REASONS = {
    HELD: "its node failed to begin it; it is tried again",
    "None": "Slurm has not looked at it yet",
    "Priority": "others come first",
    "Resources": "waits for free nodes",
    "Dependency": "waits for what it needs",
    "BeginTime": "begins again in a moment",
    "Licenses": "waits for a licence",
    "JobHeldUser": "is held: scontrol release lets it go",
    "JobHeldAdmin": "is held by an administrator",
    "Reservation": "waits for its reservation",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition takes no jobs for now",
    "ReqNodeNotAvail": "a node that it asks for is not available",
}
"""Others, in words."""
LISTED = re.compile(rf"^(\d+)\|([^|\n]*)\|([^|\n]*)\|(/.*)/{re.escape(JOB)} *$", re.MULTILINE)
"""The line of a job that does a cell, in the queue, where other lines may be of anything."""
NUMBER = re.compile(r"^(\d+)(?:;\S*)?$", re.MULTILINE)
"""The number of a job that was taken, and, where there are several, its cluster; sites may say more beside it."""
GONE = re.compile(
    "unable to contact|timed out|connection re(fus|s)e[dt]|communication|not respond|temporarily|zero bytes|in standby",
    re.IGNORECASE,
)
"""What Slurm's commands say where the controller does not answer."""
SHELLS = {"CUDA_VISIBLE_DEVICES", "SBATCH_ARRAY_INX", "SBATCH_CLUSTERS", "SBATCH_ERROR", "SBATCH_WAIT"}
"""Variables of the submitting shell that would decide in jobs: the GPUs of its machine, where Slurm hands out none, and
options that are not the user's (`sbatch.OURS`)."""
LATER = "; squeue --me tells when Slurm answers again, for another try."
SECONDS = 120.0
"""How long one of Slurm's commands may take."""


class Unreachable(WorkbenchError):
    """Slurm's controller does not answer; it may be restarting."""


@dataclass(frozen=True)
class Job:
    """A job in Slurm's queue, or one that has ended not long ago."""

    number: str
    state: str
    reason: str

    @property
    def ended(self) -> bool:
        """Whether it will not do anything any more."""
        return self.state in ENDED

    @property
    def pending(self) -> bool:
        """Whether it is not at work."""
        return self.state in PENDING

    @property
    def at_work(self) -> bool:
        """Whether Slurm takes it for one at work, and not for one that is ending."""
        return self.state == "RUNNING"

    @property
    def held(self) -> bool:
        """Whether it waits until it is released, because a node failed to begin it."""
        return self.state == "PENDING" and self.reason == HELD

    @property
    def never(self) -> str | None:
        """Why it can never begin, if it cannot."""
        return NEVER.get(self.reason) if self.state == "PENDING" else None

    @property
    def waits(self) -> str:
        """Why it is not at work, in words; Slurm's own where there are no others."""
        reason = self.reason.strip("()").partition(",")[0] if self.state == "PENDING" else self.state.lower()
        return REASONS.get(reason) or f"waits: {reason}"


def check() -> None:
    """Raise UsageError unless Slurm's commands are here."""
    missing = [name for name in ("sbatch", "squeue", "scancel", "scontrol") if not shutil.which(name)]
    if missing:
        raise UsageError(
            f"There is no {missing[0]} here: run this where Slurm's commands are, or with another --executor."
        )


def queue() -> dict[Path, Job]:
    """This user's jobs that do cells, by the cell's folder, of several the latest; of ended ones those Slurm knows.

    Raises:
        WorkbenchError: Slurm does not answer.
    """
    found: dict[Path, Job] = {}
    said = _run("squeue", "--me", "--noheader", "--states=all", "--format=%A|%T|%r|%o")
    for number, state, reason, folder in LISTED.findall(said):
        known = found.get(path := Path(folder))
        if known is None or int(known.number) < int(number):
            found[path] = Job(number, state, reason)
    return found


def live(folders: Iterable[Path]) -> dict[Path, Job]:
    """The jobs in the queue, or at work, that do cells of some folders; none where there is no Slurm."""
    # Path.exists raises an error where another user has closed the folder.
    scripts = {folder: folder.resolve() for folder in folders if os.path.exists(folder / JOB)}  # noqa: PTH110
    jobs = queue() if scripts and shutil.which("squeue") else {}
    return {folder: jobs[path] for folder, path in scripts.items() if path in jobs and not jobs[path].ended}


def submit(folder: CellFolder, asked: Asked, after: Iterable[str]) -> str:
    """Put the job of a cell into the queue, to begin once those in `after` have ended well; its number.

    Raises:
        WorkbenchError: Slurm refuses it, tells no number, or does not answer.
    """
    script = write_script(folder, asked.setup(folder.task))
    words = ["sbatch", *job_options(folder, after), *asked.options(folder.task), str(script)]
    try:
        said = _run(*words)
        if numbers := NUMBER.findall(said):
            return str(numbers[-1])
        raise WorkbenchError(f"sbatch tells no job's number: {' '.join(said.split())}")
    except Unreachable:  # which may have taken it
        raise
    except WorkbenchError:
        script.unlink()  # it says that the folder is in the queue
        raise


def cancel(numbers: Iterable[str]) -> None:
    """Take jobs back; those at work are told to end, and trainings save.

    Raises:
        WorkbenchError: Slurm does not answer.
    """
    jobs = [*numbers]
    for start in range(0, len(jobs), 1000):
        _run("scancel", "--quiet", *jobs[start : start + 1000])


def fate(number: str, state: str, log: Path) -> str:
    """What is told of a cell that its job, which ended in a state, left unfinished."""
    if state in FATES:
        return FATES[state].format(number)
    if not state:
        return f"its job {number} has gone, and Slurm tells no more of it ({log} may); {AGAIN}."
    return f"its job {number} ended without a word of why ({log} tells more; often it is memory); {AGAIN}."


def release(number: str) -> None:
    """Let a job go that is held.

    Raises:
        WorkbenchError: Slurm refuses it, or does not answer.
    """
    _run("scontrol", "release", number)


@contextmanager
def last_try() -> Iterator[None]:
    """Where what Slurm says in the block ends the command, the error tells when to try again."""
    try:
        yield
    except WorkbenchError as error:
        raise type(error)(f"{str(error).rstrip('.')}{LATER}") from error


@contextmanager
def requeued(folder: Path) -> Iterator[None]:
    """Where the block ends because the time of this process's job is nearly over, have the job begin again.

    Unless nothing was saved in it that could be gone on from: then, and where Slurm refuses, the cell has failed.
    """
    before = _saved(folder)
    try:
        yield
    except Interrupted as error:
        job = os.environ.get("SLURM_JOB_ID")
        if job and error.number in TIME_OVER and rank() == 0:
            try:
                if _saved(folder) == before:
                    raise WorkbenchError("nothing was saved that it could go on from")
                _run("scontrol", "requeue", job)
            except WorkbenchError as reason:
                text = f"its time was over ({reason}): ask for more by --slurm time=...; {AGAIN}."
                keep_failure(folder, Failure(WorkbenchError.kind, text))
        raise


def _saved(folder: Path) -> list[str]:
    """What a training can go on from, by name: another list where it has come on."""
    return sorted(path.name for path in (folder / CHECKPOINTS).glob("[!.]*"))


def _run(*words: str) -> str:
    """What one of Slurm's commands says.

    Raises:
        UsageError: it is not here.
        Unreachable: nobody answers, or nobody can be asked now.
        WorkbenchError: it fails; the message has its last words.
    """
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="surrogateescape", timeout=SECONDS, env=_clean(os.environ)
        )  # the paths of one's other jobs may be no text
    except FileNotFoundError:
        raise UsageError(f"There is no {words[0]} here: run this where Slurm's commands are.") from None
    except BlockingIOError as error:  # this user has as many processes as may be
        raise Unreachable(f"{words[0]} cannot be run now ({error.strerror}).") from None
    except subprocess.TimeoutExpired:
        raise Unreachable(f"{words[0]} did not answer within {SECONDS:.0f} s.") from None
    if done.returncode:
        lines = [
            line.removeprefix(f"{words[0]}: ").removeprefix("error: ") for line in done.stderr.strip().splitlines()
        ]
        said = ": ".join(lines[-2:]) or f"exit code {done.returncode}"
        raise (Unreachable if GONE.search(said) else WorkbenchError)(f"{words[0]} says: {said}")
    return done.stdout


def _clean(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would change what is looked at, or a job, and, within one, what is that one's."""
    foreign = ("SQUEUE_", "SCANCEL_", *(("SLURM_",) if "SLURM_JOB_ID" in variables else ()))
    kept = {name: value for name, value in variables.items() if name == "SLURM_CONF" or not name.startswith(foreign)}
    return {name: value for name, value in kept.items() if name not in SHELLS}
