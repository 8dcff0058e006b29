"""What Slurm is asked for a cell's job: options of sbatch by the user's names, lines of setup, and the script."""

import os
import re
import shlex
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pydantic import Field

from lab import registry
from lab.cells.folder import CellFolder
from lab.cells.layout import JOB, LOG
from lab.config import Config
from lab.errors import UsageError
from lab.files import atomic_write
from lab.processes import TORCHRUN
from lab.running.launch import command
from lab.running.several import THREADS

NAME = re.compile(r"[a-z][a-z0-9]+(-[a-z0-9]+)*")
OURS = {
    **dict.fromkeys(("array", "wrap", "wait", "parsable", "test-only"), "a job is one cell"),
    **dict.fromkeys(("job-name", "output", "error", "open-mode"), "its folder names a job and holds its log"),
    **dict.fromkeys(("dependency", "kill-on-invalid-dep"), "the plan says what waits for what"),
    **dict.fromkeys(("ntasks", "ntasks-per-gpu"), "--processes says how many work together"),
    "clusters": "the queue here is looked at",
    "signal": "a training is told to save",
}
"""Options of sbatch that are not the user's, and why."""
LEAD = 60
"""Seconds before its time limit at which a job is told to save; a training is given 20 of them."""

Option = str | int | bool


class Part(Config):
    """What is asked for, of some jobs."""

    options: dict[str, Option] = Field(default_factory=dict, description="of sbatch, by their names without dashes")
    setup: tuple[str, ...] = Field((), description="lines of a shell that come before the work")


class Profile(Part):
    """What is asked for of all jobs; of a task's, options in their place and lines after those."""

    silence: float = Field(15.0, gt=0, description="minutes without a sign of life before a job at work is given up")
    tasks: dict[str, Part] = Field(default_factory=dict, description="by the name of a task")


@dataclass(frozen=True)
class Asked:
    """What Slurm is asked for: a profile, and options in the place of its own."""

    profile: Profile = field(default_factory=Profile)
    given: dict[str, Option] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Iterable[str], file: Path | None) -> Self:
        """What `--slurm NAME=VALUE` options and a profile's file, if there is one, ask for.

        Raises:
            UsageError: an option is no `NAME=VALUE` or is not the user's, or the file is no profile.
        """
        pairs = (word.partition("=") for word in given)
        options: dict[str, Option] = {name: value or not equals for name, equals, value in pairs}
        _check(options, "--slurm")
        return cls(read_profile(file) if file else Profile(), options)

    def options(self, task: str) -> list[str]:
        """The options of a task's jobs, as sbatch takes them."""
        own = self.profile.tasks.get(task, Part()).options
        asked = {**self.profile.options, **own, **self.given}
        return [
            f"--{name}" if value is True else f"--{name}={value}" for name, value in asked.items() if value is not False
        ]

    def setup(self, task: str) -> list[str]:
        """The lines that come before the work of a task."""
        return [*self.profile.setup, *self.profile.tasks.get(task, Part()).setup]


def read_profile(file: Path) -> Profile:
    """The profile in a TOML file.

    Raises:
        UsageError: there is none.
    """
    try:
        profile = Profile.parse(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} is no profile of Slurm: {error}") from error
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from error
    for task in profile.tasks:
        registry.check("tasks", task)
    for part in (profile, *profile.tasks.values()):
        _check(part.options, str(file))
    return profile


def job_options(folder: CellFolder, after: Iterable[str]) -> list[str]:
    """What every cell's job has: its name, its log, when it may begin, and how it is told to save.

    Slurm begins a job again whose node failed or that had to make room; one that ends well before its time is over may
    have itself begun again.
    """
    several, jobs = folder.processes > 1, [*after]
    log = str(folder.path.resolve() / LOG).replace("%", "%%")
    options = ["--parsable", f"--job-name={folder.path.name}", f"--output={log}", "--open-mode=append", "--requeue"]
    options += [f"--ntasks={folder.processes}", f"--signal={'' if several else 'B:'}USR1@{LEAD}"]
    return [*options, *([f"--dependency=afterok:{':'.join(jobs)}", "--kill-on-invalid-dep=yes"] if jobs else [])]


def write_script(folder: CellFolder, setup: Iterable[str]) -> Path:
    """Write the script of a cell's job into its folder.

    The work takes the place of the script (exec), or is srun's: a program that the script only starts is killed as
    soon as the job is asked to end. What the submitting shell knew of threads and of processes is not the job's.
    """
    path = folder.path.resolve() / JOB
    work = f"exec {shlex.join(command(path.parent))}"
    if folder.processes > 1:
        work = f"srun --kill-on-bad-exit=1 bash -c {shlex.quote(SEVERAL + work)}"
    lines = [
        "#!/bin/bash",
        f"unset {' '.join((*THREADS, *TORCHRUN))}",
        *setup,
        *(SHARES if folder.processes > 1 else ()),
        work,
    ]
    atomic_write(path, os.fsencode("\n".join(lines) + "\n"))
    return path


SHARES = (
    'export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"',
    'export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$SRUN_CPUS_PER_TASK}"',
    'export MASTER_ADDR="$(hostname)" MASTER_PORT="$((20000 + SLURM_JOB_ID % 10000))"',
)
"""Where the processes of a cell meet, and the threads of each: as many as the processors of a task."""
SEVERAL = 'export RANK="$SLURM_PROCID" LOCAL_RANK="$SLURM_LOCALID" WORLD_SIZE="$SLURM_NTASKS"; '
"""How srun's names of the processes are torchrun's."""


def _check(options: Iterable[str], where: str) -> None:
    for name in options:
        if not NAME.fullmatch(name):
            raise UsageError(f"{where}: {name!r} is no option of sbatch: partition=gpu, say, without dashes.")
        if name in OURS:
            raise UsageError(f"{where}: {name} is not yours to set: {OURS[name]}.")
