"""What Slurm's commands say, as sites have them: by commands of these names that a test has written."""

import errno
import os
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import pytest
from making import fake as cell

from lab.cells.cell import with_needs
from lab.cells.folder import CellFolder
from lab.errors import UsageError, WorkbenchError
from lab.running import slurm
from lab.running.executors.slurm import Executor
from lab.running.sbatch import Asked
from lab.running.slurm import Job

LOCAL = {"data": "data", "download": False}
pytestmark = [
    pytest.mark.usefixtures("importable"),
    pytest.mark.skipif(os.name != "posix", reason="writes programs for a POSIX shell"),
]


@pytest.fixture
def says(monkeypatch, tmp_path):
    """A function that has a command of Slurm's say something, on stdout or, where it fails, on stderr."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    def write(command, text, code=0):
        said, program = tmp_path / f"{command} says", tmp_path / "bin" / command
        said.write_bytes(os.fsencode(text))
        program.write_text(f"#!/bin/sh\ncat '{said}' >&{1 + bool(code)}\nexit {code}\n")
        program.chmod(0o755)

    return write


def create(tmp_path):
    (folder,) = [CellFolder.create(one, tmp_path / "cells", LOCAL) for one in with_needs([cell("double", 0)])]
    return folder


JOBS = [("9", "FAILED"), ("10", "RUNNING"), ("8", "TIMEOUT")]
OTHERS = ["7|RUNNING|None|/home/me/a\nb/job.sh", "8|RUNNING|None|", "", "CLUSTER: far", "9|RUNNING|None|/lat\udcefn/x"]
"""Lines of one's other jobs, and of more than one cluster."""


def test_cells_are_found_among_whatever_else_is_in_the_queue(says):
    says(
        "squeue",
        "\n".join([*OTHERS, "10|PENDING|(Priority)|/a | b/ü \udcef/job.sh  ", "11|RUNNING|None|/c/job.sh", ""]),
    )
    found = {Path("/a | b/ü \udcef"): Job("10", "PENDING", "(Priority)"), Path("/c"): Job("11", "RUNNING", "None")}
    assert slurm.queue() == found


def test_of_a_cells_jobs_the_latest_counts(says):
    """Slurm lists them in no order, and tells of those that have ended for a while."""
    says("squeue", "".join(f"{number}|{state}|None|/c/job.sh\n" for number, state in JOBS))
    assert slurm.queue() == {Path("/c"): Job("10", "RUNNING", "None")}


def test_jobs_that_have_ended_are_not_there_any_more(says, tmp_path):
    ended, there, never = (tmp_path / name for name in ("ended", "there", "never"))
    for folder in (ended, there):
        folder.mkdir()
        (folder / "job.sh").touch()
    says("squeue", f"7|COMPLETED|None|{ended}/job.sh\n8|PENDING|Priority|{there}/job.sh\n")
    assert slurm.live([ended, there, never]) == {there: Job("8", "PENDING", "Priority")}


@pytest.mark.parametrize("said", ["7\n", "7;far\n", "sbatch: 12 of 500 hours are left\n\n7\n"])
def test_a_jobs_number_is_found_in_whatever_a_site_says_beside_it(says, tmp_path, said):
    says("sbatch", said)
    assert slurm.submit(create(tmp_path), Asked(), []) == "7"


def test_an_answer_without_a_number_is_no_jobs(says, tmp_path):
    """As of an option that has sbatch tell something and do nothing."""
    says("sbatch", "slurm-wlm 22.05.8\n")
    folder = create(tmp_path)
    with pytest.raises(WorkbenchError, match=r"sbatch tells no job's number: slurm-wlm 22\.05\.8"):
        slurm.submit(folder, Asked.of(["version"], None), [])
    assert not (folder.path / "job.sh").exists()


@pytest.mark.parametrize(
    "words",
    [
        "Unable to contact slurm controller (connect failure)",
        "Socket timed out on send/recv operation",
        "Zero Bytes were transmitted or received",
        "Slurm backup controller in standby mode",
        "Connection reset by peer",
    ],
)
def test_who_does_not_answer_may_have_taken_the_job(says, tmp_path, words):
    says("sbatch", f"sbatch: error: Batch job submission failed: {words}\n", code=1)
    folder = create(tmp_path)
    with pytest.raises(slurm.Unreachable, match=r"submission failed: .*"):
        slurm.submit(folder, Asked(), [])
    assert (folder.path / "job.sh").exists(), "by which it is found in the queue"


def test_where_a_login_node_allows_no_process_more_it_is_tried_again(tmp_path, monkeypatch):
    """Many people share it, and each may have only so many."""
    many = BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
    monkeypatch.setattr(slurm.subprocess, "run", Mock(side_effect=many))
    with pytest.raises(slurm.Unreachable, match=r"sbatch cannot be run now \(Resource temporarily unavailable\)"):
        slurm.submit(create(tmp_path), Asked(), [])


def test_on_a_full_disk_a_cell_is_not_put_into_the_queue_and_says_so(says, tmp_path, monkeypatch):
    """Nor is half a script left, by which it would be taken for one that is there."""

    def write(path, data, *others, **more):
        with path.open("wb") as file:
            file.write(b"#!/bin")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    for command in ("sbatch", "squeue", "scancel", "scontrol"):
        says(command, "")
    folder = create(tmp_path)
    monkeypatch.setattr(Path, "write_text", write)
    monkeypatch.setattr(Path, "write_bytes", write)
    with closing(Executor()) as place:
        error = place.submit(folder).exception(timeout=5)
    assert isinstance(error, WorkbenchError) and str(error).startswith("No room for ")
    assert {path.name for path in folder.path.iterdir()} == {"config.json"}


def test_what_the_submitting_shell_says_of_what_is_not_the_users_does_not_count(monkeypatch):
    """An array would be many jobs; who waits would not come back; another cluster has another queue."""
    ours = {"SBATCH_ARRAY_INX": "1-3", "SBATCH_WAIT": "1", "SBATCH_ERROR": "x", "SBATCH_CLUSTERS": "far"}
    theirs = {"SBATCH_ACCOUNT": "me", "SBATCH_WAIT_ALL_NODES": "1", "SLURM_CONF": "/etc/slurm.conf"}
    for name, value in {**ours, **theirs, "CUDA_VISIBLE_DEVICES": "7", "SQUEUE_USERS": "you"}.items():
        monkeypatch.setenv(name, value)
    told = dict(line.partition("=")[::2] for line in slurm._run("env").splitlines())
    assert theirs.items() <= told.items()
    assert not {*ours, "CUDA_VISIBLE_DEVICES", "SQUEUE_USERS"} & told.keys()
    with pytest.raises(UsageError, match="clusters is not yours to set"):
        Asked.of(["clusters=far"], None)
