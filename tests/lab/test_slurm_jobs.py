"""The job of a cell: its options and its script, by what is asked for, and its beginning again when time is over."""

import os
from unittest.mock import Mock

import pytest
from making import fake as cell
from slurm_queue import create

from lab.errors import UsageError
from lab.interrupts import TIME_OVER, Interrupted
from lab.running import slurm
from lab.running.sbatch import Asked, job_options, write_script

PROFILE = """
setup = ["module load python"]
options = {partition = "cpu", time = "1:00:00", exclusive = true}
[tasks.train-gan]
setup = ["module load cuda"]
options = {partition = "gpu", gpus-per-node = 1, exclusive = false}
"""
pytestmark = pytest.mark.usefixtures("importable")
pytestmark = pytest.mark.usefixtures("importable")


def test_a_job_finds_a_folder_whose_name_is_no_text(tmp_path):
    (folder,) = create([cell("double", 1)], tmp_path / os.fsdecode(b"\xff"))
    assert os.fsencode(folder.path) in write_script(folder, []).read_bytes()


@pytest.mark.parametrize("number, requeued, failed", [(1, True, False), (0, False, True)])
def test_a_job_whose_time_is_over_begins_again_if_it_has_come_on(tmp_path, monkeypatch, number, requeued, failed):
    said = []
    monkeypatch.setattr(slurm, "_run", lambda *words: said.append(words))
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    (folder,) = create([cell("goes-on", number)], tmp_path)
    with pytest.raises(Interrupted), slurm.requeued(folder.path):
        if number:
            (folder.path / "checkpoints" / "step-1").mkdir(parents=True)
        raise Interrupted(TIME_OVER[0])
    assert said == [("scontrol", "requeue", "17")] * requeued
    assert bool(folder.failure) == failed
    assert not failed or "ask for more by --slurm time=" in folder.failure.message
    with pytest.raises(Interrupted), slurm.requeued(folder.path):
        raise Interrupted()  # someone has cancelled it
    assert len(said) == requeued


def test_a_checkpoint_that_was_not_whole_when_the_time_was_over_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "_run", Mock())
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    (folder,) = create([cell("goes-on", 0)], tmp_path)
    with pytest.raises(Interrupted), slurm.requeued(folder.path):
        (folder.path / "checkpoints" / ".step-00000001.tmp").mkdir(parents=True)
        raise Interrupted(TIME_OVER[0])
    assert folder.failure and not slurm._run.called


def test_of_several_processes_the_first_one_has_the_job_begin_again(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(slurm, "_run", lambda *words: said.append(words))
    for name, value in {"SLURM_JOB_ID": "17", "WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    (folder,) = create([cell("goes-on", 1)], tmp_path)
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(Interrupted), slurm.requeued(folder.path):
            (folder.path / "checkpoints" / f"step-{rank}").mkdir(parents=True)
            raise Interrupted(TIME_OVER[0])
        assert bool(said) == (rank == "0") and not folder.failure


@pytest.mark.parametrize("processes, tasks, to", [(1, "--ntasks=1", "B:"), (3, "--ntasks=3", "")])
def test_a_job_says_what_it_waits_for_how_it_is_told_to_save_and_that_it_may_begin_again(
    tmp_path, processes, tasks, to
):
    (folder,) = create([cell("together", processes=processes)], tmp_path / "100%")
    path = folder.path.resolve()
    own = ["--parsable", f"--job-name={path.name}", f"--output={tmp_path}/100%%/cells/{path.name}/log.txt"]
    own += ["--open-mode=append", "--requeue", tasks, f"--signal={to}USR1@60"]
    assert job_options(folder, []) == own
    waits = ["--dependency=afterok:7:8", "--kill-on-invalid-dep=yes"]
    assert job_options(folder, iter("78")) == own + waits


@pytest.mark.parametrize("processes", [1, 2])
def test_a_jobs_script_forgets_the_submitting_shell_before_its_setup_and_its_work_comes_last(tmp_path, processes):
    (folder,) = create([cell("together", processes=processes)], tmp_path)
    first, unset, setup, *more, work = write_script(folder, ["module load x"]).read_text().splitlines()
    assert (first, setup) == ("#!/bin/bash", "module load x")
    names = {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
    assert unset.split()[0] == "unset" and names <= {*unset.split()}
    assert f"cell --quiet {folder.path.resolve()}" in work
    if processes == 1:
        assert not more and work.startswith("exec ")
    else:
        assert work.startswith("srun --kill-on-bad-exit=1 bash -c ") and 'export RANK="$SLURM_PROCID"' in work
        assert any("MASTER_ADDR=" in line for line in more)


def test_options_are_passed_on_as_they_are_and_those_of_a_task_and_of_the_command_come_last(tmp_path):
    file = tmp_path / "profile.toml"
    file.write_text(PROFILE)
    asked = Asked.of(["time=4:00:00", "nice", "comment=a b=c"], file)
    assert asked.options("measure-gan") == [
        "--partition=cpu",
        "--time=4:00:00",
        "--exclusive",
        "--nice",
        "--comment=a b=c",
    ]
    assert asked.options("train-gan")[:2] == ["--partition=gpu", "--time=4:00:00"]
    assert "--gpus-per-node=1" in asked.options("train-gan") and "--exclusive" not in asked.options("train-gan")
    assert asked.setup("train-gan") == ["module load python", "module load cuda"]
    assert asked.setup("measure-gan") == ["module load python"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("partition = 'gpu'", "Unknown setting 'partition'"),
        ("options = {array = '1-3'}", "array is not yours to set: a job is one cell"),
        ("options = {time = 04:00:00}", "options.time"),
        ("[tasks.train-gna]", "did you mean 'train-gan'"),
        ("[tasks", "is no profile of Slurm"),
        ("silence = 0", "silence: Input should be greater than 0"),
    ],
)
def test_a_profile_that_is_none_is_told(tmp_path, text, words):
    file = tmp_path / "profile.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=words):
        Asked.of([], file)
