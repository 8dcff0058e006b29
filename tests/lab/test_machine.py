"""What `auto` becomes."""

import ctypes
import os
import re
import subprocess
from functools import lru_cache
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from lab import machine
from lab.cells import environment
from lab.errors import WorkbenchError
from lab.running import several, timing


@pytest.mark.parametrize(
    "flags, gpus, device, precision",
    [
        (set(), (), "cpu", "float32"),
        ({"avx512_bf16"}, (), "cpu", "bf16"),
        ({"amx_bf16"}, (), "cpu", "bf16"),
        ({"avx512_bf16"}, (("old", 7.5),), "cuda", "float32"),
        (set(), (("first", 8.0),), "cuda", "bf16"),
        (set(), (("new", 9.0),), "cuda", "bf16"),
    ],
)
def test_auto_follows_the_hardware(monkeypatch, flags, gpus, device, precision):
    monkeypatch.setattr(machine, "processor", lambda: ("some", frozenset(flags)))
    monkeypatch.setattr(machine, "gpus", lambda: gpus)
    assert machine.resolve_device("auto") == device
    assert machine.resolve_precision("auto", device) == precision


@pytest.mark.parametrize(
    "given, slots, threads",
    [
        ("", 1, 8),
        ("", 3, 2),
        ("", 99, 1),
        ("3", 1, 3),
        ("3", 2, 3),
        ("3", 4, 2),
        ("16", 1, 8),
        ("2,4", 1, 2),
        (" 2 , 4", 1, 2),
        (",4", 1, 8),
        ("many", 1, 8),
        ("0", 2, 4),
        ("-1", 2, 4),
    ],
)
def test_a_slot_has_its_share_of_the_cores_but_no_more_threads_than_asked_for(monkeypatch, given, slots, threads):
    monkeypatch.setattr(machine, "cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert machine.threads(slots) == threads


@pytest.mark.parametrize("given, cores", [(None, 8), ("", 8), ("2", 2), ("64", 8), ("0", 8), ("2(x3)", 8)])
def test_a_job_has_no_more_cores_than_slurm_gave_it(monkeypatch, given, cores):
    """Where a cluster binds no job to its processors, each sees all those of its node."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda number: {*range(8)}, raising=False)
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", given or "")
    if given is None:
        monkeypatch.delenv("SLURM_CPUS_ON_NODE")
    assert machine.cores() == cores


def test_what_is_asked_for_is_kept():
    assert machine.resolve_device("cuda") == "cuda"
    assert machine.resolve_precision("float32", "cpu") == "float32"


def test_the_machine_can_be_described():
    assert machine.cores() >= 1
    name, flags = machine.processor()
    assert isinstance(name, str) and isinstance(flags, frozenset)


@pytest.fixture
def asked_anew(monkeypatch):
    """nvidia-smi is asked at each look."""
    monkeypatch.setattr(machine, "_shown", machine._shown.__wrapped__)


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize(
    "visible, names",
    [(None, "abcd"), ("", ""), ("2", "c"), ("3,0", "da"), ("1,7,0", "b"), ("GPU-cc,GPU-a", "ca"), ("MIG-5", "a")],
)
def test_only_the_gpus_that_this_process_may_see_count(monkeypatch, visible, names):
    lines = "".join(f"{i}, GPU-{name * 2}, {name}, 9.0\n" for i, name in enumerate("abcd"))
    monkeypatch.setattr(machine.subprocess, "run", lambda *words, **settings: SimpleNamespace(stdout=lines))
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.gpus() == tuple((name, 9.0) for name in names)


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.skipif(os.name != "posix", reason="writes a program for a POSIX shell")
@pytest.mark.parametrize("does, told", [("exit 9", None), ("exec sleep 60", "nvidia-smi did not answer")])
def test_a_driver_that_hangs_is_not_taken_for_a_machine_without_gpus(monkeypatch, tmp_path, does, told):
    """A training would go on for days on the processor of a node with GPUs, and say nothing."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "PATIENCE", 0.2)
    if told is None:
        assert machine.gpus() == ()
        return
    with pytest.raises(WorkbenchError, match=told):
        machine.gpus()
    for none in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        assert machine.gpus() == (), "who wants none does not ask"


def test_who_needs_no_gpu_goes_on_where_the_driver_hangs_and_waits_for_it_once(monkeypatch, tmp_path):
    hangs = Mock(side_effect=subprocess.TimeoutExpired("nvidia-smi", machine.PATIENCE))
    monkeypatch.setattr(machine.subprocess, "run", hangs)
    monkeypatch.setattr(environment, "git_state", dict)
    monkeypatch.setattr(machine, "_shown", lru_cache(machine._shown.__wrapped__))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    several.check_gpus("cpu", 2)
    assert environment.describe({})["gpus"] == [] and timing.read(tmp_path).machine.endswith("no GPU")
    assert hangs.call_count == 1
    with pytest.raises(WorkbenchError, match="did not answer"):
        several.check_gpus("auto", 2)


BUSY, IDLE = "1.00 0.90 0.50 2/123 4567\n", "0.10 0.30 0.50 1/123 4567\n"


@pytest.fixture
def load(monkeypatch, tmp_path):
    """A function that sets what a machine tells of its load and of its cores, and the variables of the environment."""

    def set_load(told, variables, count=2):
        monkeypatch.setattr(machine, "LOAD", tmp_path / "loadavg")
        if told is not None:
            machine.LOAD.write_text(told)
        monkeypatch.setattr(os, "environ", variables)
        monkeypatch.setattr(os, "cpu_count", lambda: count)
        monkeypatch.setattr(machine, "cores", lambda: count)

    return set_load


@pytest.mark.parametrize(
    "given, spins",
    [
        ({}, machine.SPINS),
        ({"OMP_WAIT_POLICY": ""}, machine.SPINS),
        ({"OMP_WAIT_POLICY": "passive"}, None),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
    ],
)
def test_how_threads_wait_is_said_unless_the_user_has(load, given, spins):
    variables = dict(given)
    load(BUSY, variables)
    machine.wait_briefly()
    assert variables.get("GOMP_SPINCOUNT") == spins


@pytest.mark.parametrize(
    "told, spins, given, count",
    [
        (IDLE, None, {}, 2),
        ("1.00 0.90 0.50 1/123 4567\n", None, {}, 2),
        ("0.10 0.90 0.50 2/123 4567\n", None, {}, 2),
        ("4.30 0.90 0.50 5/123 4567\n", None, {"OMP_NUM_THREADS": "4"}, 8),
        ("5.30 0.90 0.50 6/123 4567\n", machine.SPINS, {"OMP_NUM_THREADS": "4"}, 8),
        ("5.30 0.90 0.50 6/123 4567\n", None, {"OMP_NUM_THREADS": "1"}, 2),
        ("?", None, {}, 2),
        (None, None, {}, 2),
    ],
    ids=["idle", "it ended", "it just began", "a core for each", "one too many", "alone", "not told so", "not told"],
)
def test_threads_that_share_no_core_wait_as_they_do(load, told, spins, given, count):
    variables = dict(given)
    load(told, variables, count)
    machine.wait_briefly()
    assert variables.get("GOMP_SPINCOUNT") == spins


def test_what_runs_for_a_moment_alone_is_no_neighbour(load, monkeypatch):
    load(BUSY, variables := {})
    monkeypatch.setattr(machine.time, "sleep", lambda _: machine.LOAD.write_text("1.00 0.90 0.50 1/123 4567\n"))
    machine.wait_briefly()
    assert not variables


@pytest.mark.skipif(not machine.LOAD.exists(), reason="Linux alone tells its load there")
def test_the_load_is_told_as_is_thought():
    """This process, which looks, is one of those that run."""
    running = re.fullmatch(r"(?:\d+\.\d+ ){3}(\d+)/\d+ \d+\n", machine.LOAD.read_text())
    assert running and int(running[1]) >= 1


FAULTS = """
import resource, torch
from lab import machine
{first}
def step():
    maps = [torch.ones(3 << 20) for _ in range(8)]
for _ in range(8):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="GNU's C library alone can be told")
@pytest.mark.parametrize("first", ["machine.keep_memory()", ""], ids=["this process", "one that it starts"])
def test_what_a_step_frees_the_next_one_finds(python, monkeypatch, first):
    """96 MB are 24,576 pages of 4 kB, which each step takes anew by default; the first ones lay the memory out."""
    for name in machine.MEMORY:
        monkeypatch.delenv(name, raising=False)
    if not first:
        monkeypatch.setattr(machine.ctypes, "CDLL", lambda _: None)  # this process itself stays as it is
        machine.keep_memory()
    assert int(python(FAULTS.format(first=first))) < 1000


def test_what_the_user_says_of_memory_holds(monkeypatch):
    variables = {"MALLOC_TRIM_THRESHOLD_": "131072"}
    monkeypatch.setattr(os, "environ", variables)
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda _: pytest.fail("told all the same"))
    machine.keep_memory()
    assert variables == {"MALLOC_TRIM_THRESHOLD_": "131072"}
