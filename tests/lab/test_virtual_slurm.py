"""Cells on a Slurm of two virtual nodes on this machine."""

import json

import pytest
from making import fake as cell
from virtual_slurm import MISSING, said, virtual_slurm
from waiting import wait_for

from commands import cli, doctor
from lab.cells.cell import with_needs
from lab.cells.folder import CellFolder
from lab.checks import Broken
from lab.errors import WorkbenchError
from lab.running import schedule, slurm
from lab.running.executors import slurm as executor
from lab.running.executors.slurm import Executor
from lab.running.place import HERE, Place
from lab.running.sbatch import Asked, Profile
from lab.studying.collect import collect
from lab.studying.plan import plan_study, study_config
from lab.studying.study import do_cells

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"there is no Slurm here ({', '.join(MISSING)}): .ci/run installs it"),
    pytest.mark.usefixtures("cluster", "importable"),
]
LOCAL = {"data": "data", "download": False}
SMALL = {"seeds": 1, "points": 32, "steps": 4, "measurements": 2}


@pytest.fixture(scope="module")
def cluster():
    """The Slurm, once for all tests here."""
    with virtual_slurm() as made:
        yield made


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """This disk shows at once what is written, and the queue is looked at often."""
    for name, seconds in {"LATE": 0.5, "SHORTEST": 0.2, "LONGEST": 0.4}.items():
        monkeypatch.setattr(executor, name, seconds)


def create(cells, tmp_path):
    return {one.label: CellFolder.create(one, tmp_path / "cells", LOCAL) for one in with_needs(cells)}


def do(folders, *given, **more):
    folders = [*folders]
    return schedule.do(folders, Executor(asked=Asked.of(given, None)), len(folders), lambda folder: None, **more)


def values(folder):
    return {row["metric"]: row["value"] for row in folder.rows()}


def test_cells_are_done_after_what_they_need_by_as_many_processes_as_they_want(tmp_path, monkeypatch):
    """Whatever the submitting shell says of processes and of threads."""
    for name, value in {"RANK": "3", "WORLD_SIZE": "7", "OMP_NUM_THREADS": "64", "SBATCH_TIMELIMIT": "7"}.items():
        monkeypatch.setenv(name, value)
    last = cell("double", 3, needs=(cell("double", 1), cell("double", 2)))
    bad = cell("fail")
    cells = create([last, cell("together", processes=2), bad, cell("die"), cell("double", 4, needs=(bad,))], tmp_path)
    outcome = do(cells.values(), "cpus-per-task=1")
    done = {label for label, folder in cells.items() if folder.path in outcome.done}
    assert done == {"double-1", "double-2", "double-3", "together-0"}, outcome
    assert values(cells["double-3"])["double"] > 6 and values(cells["double-3"])["threads"] < 64
    assert values(cells["together-0"]) == {"sum": 3, "threads": 1}
    assert "this cell always fails" in outcome.broken[cells["fail-0"].path].message
    assert "without a word of why" in outcome.broken[cells["die-0"].path].message
    assert "which failed" in outcome.blocked[cells["double-4"].path].message
    assert "working on 1" in (cells["double-1"].path / "log.txt").read_text()
    assert {*said("squeue", "-h", "-t", "all", "-o", "%l").split()} == {"7:00"}, "what the user set for sbatch"


def test_what_is_told_that_its_time_is_over_goes_on_from_what_it_saved(tmp_path):
    """One process by itself, and two under srun; one of them saves nothing, and has failed."""
    cells = [cell("goes-on", 1), cell("goes-on", 2, processes=2), cell("goes-on", 0)]
    folders = create(cells, tmp_path)
    paths = [folder.path.resolve() for folder in folders.values()]
    do(folders.values(), wait=False)
    wait_for(lambda: all((path / "begun-0").exists() for path in paths) and (paths[1] / "begun-1").exists())
    jobs = {path: slurm.queue()[path].number for path in paths}
    for path, number in jobs.items():
        said("scancel", "--signal=USR1", *(["--batch"] if path != paths[1] else []), number)
    outcome = do([folder for folder in folders.values() if folder.label != "goes-on-0"])
    assert len(outcome.done) == 2, outcome
    assert all(values(folders[f"goes-on-{number}"]) == {"saved": 1} for number in (1, 2))
    assert {path: slurm.queue()[path].number for path in paths} == jobs, "the same jobs, found in the queue"
    assert "ask for more by --slurm time=" in folders["goes-on-0"].failure.message


def test_what_is_cancelled_saves_and_what_can_never_begin_is_told(tmp_path):
    folders = create([cell("saves"), cell("double", 9), cell("double", 10)], tmp_path)
    saves, never, refused = folders.values()
    do([saves], wait=False)
    told = do([never], "time=48:00:00").broken[never.path]
    assert "asks for more time than its partition gives" in told.message and not slurm.live([never.path])
    told = do([refused], "partition=nowhere").broken[refused.path]
    assert "invalid partition specified: nowhere" in told.message and not (refused.path / "job.sh").exists()
    wait_for(lambda: (saves.path / "begun-0").exists())
    slurm.cancel(job.number for job in slurm.live([saves.path]).values())
    wait_for(lambda: not slurm.live([saves.path]))
    assert (saves.path / "saved-0").exists() and not saves.done and not saves.failure


def test_the_doctor_trains_on_two_nodes_and_tells_the_last_words_of_a_job(tmp_path):
    place = Place("slurm", asked=Asked.of(["nodes=2", "comment=doctor"], None))
    assert doctor.check_training(2, place, tmp_path).startswith("2 steps of a tiny dcgan on cpu, 2 processes")
    assert said("squeue", "-h", "-t", "all", "-o", "%k %D").split("\n").count("doctor 2") == 1
    silent = Place("slurm", asked=Asked(Profile(setup=("echo no such module", "exit 3"))))
    with pytest.raises(Broken, match=r"ended without a word of why .* Its log ends: no such module"):
        doctor.check_training(1, silent, tmp_path)
    assert not list(tmp_path.iterdir()) and not said("squeue", "-h", "-t", "PENDING,RUNNING")


def test_a_study_is_left_in_the_queue_listed_collected_and_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def said_by(*words):
        cli.main([*words], standalone_mode=False)
        return capsys.readouterr().out

    command = ["study", "toy", "--preset", "smoke", "--svg-only", "--json"]
    command += [str(word) for name, value in SMALL.items() for word in (f"--{name}", value)]
    command += ["--executor", "slurm", "--slurm", "comment=toy"]
    queued = json.loads(said_by(*command, "--slurm", "hold", "--detach").splitlines()[-1])
    assert len(queued["queued"]) == 1
    listed = said_by("runs", "list", "--json")
    states = {run["kind"]: run["state"] for run in json.loads(listed.splitlines()[-1])["runs"]}
    assert states == {"cell": "pending", "study": "pending"}
    assert "is held: scontrol release lets it go)" in listed
    with pytest.raises(WorkbenchError, match=r"is in Slurm's queue \(job"):
        said_by("runs", "remove", queued["folder"], "--yes")
    said("scontrol", "release", *said("squeue", "-h", "-o", "%A").split())
    done = json.loads(said_by(*command).splitlines()[-1])
    plan = plan_study("toy", study_config("toy", "smoke", SMALL), tmp_path, tmp_path / "here")
    do_cells(plan, local=LOCAL, place=HERE, progress=False)
    names = [planned.cell.folder_name for planned in plan.cells]
    here = collect("toy", names, plan.runs).table.to_csv(index=False)
    assert (tmp_path / done["table"]).read_text() == here
    assert said("squeue", "-h", "-t", "all", "-o", "%k").split().count("toy") == 1, "no cell twice"
