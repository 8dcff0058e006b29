"""Cells on several processes, started with torchrun."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import forks
import pytest
from torch.distributed.elastic.multiprocessing import errors
from torch.distributed.launcher import api
from waiting import wait_for

from lab import locks, machine, registry
from lab.cells.cell import Cell
from lab.cells.failure import LOST, Failure, keep_failure
from lab.cells.folder import CellFolder
from lab.cells.work import work
from lab.errors import DivergedError, WorkbenchError
from lab.running import launch, one, schedule, several, torchrun
from lab.running.executors.slots import Executor as LocalSlots

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures("importable")


@pytest.fixture
def sigterm():
    """What SIGTERM does here is the same afterwards; a program that ignores it would hand that on."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def folder(tmp_path, task, number=0, processes=2, device="cpu"):
    config = registry.load("tasks", task).Config(number=number, device=device)
    cell = Cell(task, task, config, processes=processes)
    return CellFolder.create(cell, tmp_path, {"data": "data", "download": False})


def values(made):
    return {row["metric"]: row["value"] for row in made.rows()}


def test_the_processes_of_a_cell_work_together_and_the_first_writes(tmp_path, capfd):
    made = folder(tmp_path, "together")
    outcome = schedule.do([made], LocalSlots(1, "cpu"), 1, lambda started: None)
    assert not outcome.failed
    assert made.done and made.environment["world_size"] == 2
    assert len(made.rows()) == 2
    assert values(made) == {"sum": 3, "threads": max(1, machine.threads() // 2)}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "number, words",
    [
        (0, "the second process always fails"),
        (1, "one of 2 processes was ended by signal 9"),
        (2, "the second process always fails"),
    ],
)
def test_one_that_fails_ends_them_all_and_its_reason_is_kept(tmp_path, monkeypatch, number, words):
    """The first one fails too, for it lost the second, and may be the first to say so."""
    forked = SimpleNamespace(Popen=forks.ForkedProgram, TimeoutExpired=subprocess.TimeoutExpired)
    monkeypatch.setattr(several, "subprocess", forked)
    made = folder(tmp_path, "one-fails", number)
    with pytest.raises(WorkbenchError, match=words) as told:
        launch.work(made)
    assert not made.done and made.failure.message == str(told.value)


def test_the_reason_of_a_process_that_was_faster_than_the_first_is_kept(tmp_path, monkeypatch):
    """The first one does not take it for an old one."""
    made = folder(tmp_path, "one-fails")
    keep_failure(made.path, Failure("error", "an old reason"))
    (made.path / "log.txt").touch()

    def torchrun(made):
        assert made.failure is None, "what an earlier attempt left"
        with monkeypatch.context() as patch:
            patch.setenv("WORLD_SIZE", "2")
            patch.setattr(registry, "load", lambda kind, name: SimpleNamespace(run=fail))
            for rank in ("1", "0"):
                patch.setenv("RANK", rank)
                with pytest.raises(WorkbenchError, match=f"process {rank} fails"):
                    work(made)
        return 1

    def fail(made):
        raise ValueError(f"process {os.environ['RANK']} fails")

    monkeypatch.setattr(launch, "_torchrun", torchrun)
    with pytest.raises(WorkbenchError, match="process 1 fails"):
        launch.work(made)


def test_torchrun_is_not_started_again_for_ever(tmp_path, monkeypatch):
    """It is killed each time, and what it started is still at work when that is looked at."""
    made, starts = folder(tmp_path, "together"), []

    def torchrun(made):
        assert locks.is_at_work(made.path), "nobody removes a cell whose processes are about to come"
        starts.append(made)
        return -9

    monkeypatch.setattr(launch, "_torchrun", torchrun)
    monkeypatch.setattr(CellFolder, "held", True)
    with pytest.raises(WorkbenchError, match=r"ended 3 times before the work was done \(.*log.txt tells more\)"):
        launch.work(made)
    assert len(starts) == 3 and not locks.is_at_work(made.path)


def test_as_many_come_as_the_cell_wants(tmp_path, monkeypatch):
    made = folder(tmp_path, "together")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(WorkbenchError, match="wants 2 processes, and 3 came"):
        launch.work(made)
    with pytest.raises(WorkbenchError, match="wants 1 processes, and 3 came"):
        launch.work(folder(tmp_path, "double", processes=1))


def test_a_process_under_torchrun_by_hand_leaves_the_end_to_the_first(tmp_path, monkeypatch):
    """The same command on each machine: only the first one knows when the cell is marked as done."""
    for name, value in {"RANK": "1", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(one, "do_folder", lambda path, seconds: None)
    config = registry.load("tasks", "together").Config()
    made = one.do_cell(Cell("together", "together", config, processes=2), tmp_path, {"data": "d", "download": False})
    assert not made.done and not (tmp_path / "timing.json").exists()


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_each_process_needs_a_gpu(tmp_path, monkeypatch, device):
    monkeypatch.setattr(machine, "gpus", lambda: (("H100", 9.0),))
    made = folder(tmp_path, "together", device=device)
    with pytest.raises(WorkbenchError, match="2 processes want a GPU each and 1 are visible"):
        launch.work(made)
    made.mark_done(1.0)
    launch.work(made)  # what is done needs none


def test_why_an_earlier_attempt_failed_is_not_told_of_this_one(tmp_path, monkeypatch):
    made = folder(tmp_path, "together")
    (made.path / "log.txt").write_text("ValueError: old\nRoot Cause (first observed failure):\n  exitcode  : -9\n")
    keep_failure(made.path, Failure("error", "old"))
    monkeypatch.setattr(launch, "_torchrun", lambda made: 1)
    with pytest.raises(WorkbenchError, match=r"one of 2 processes died \("):
        launch.work(made)


TRUE, LAST = Failure(DivergedError.kind, "the loss is infinite"), Failure(LOST, "connection closed by peer")


@pytest.mark.parametrize(
    "kept, code, words, kind",
    [
        (TRUE, 1, "the loss is infinite", DivergedError.kind),
        (TRUE, 128 + 9, "the loss is infinite", DivergedError.kind),
        (LAST, 1, "connection closed by peer", LOST),
        (LAST, 128 + 9, "ended by signal 9", WorkbenchError.kind),
        (None, 128 + 6, "ended by signal 6", WorkbenchError.kind),
    ],
)
def test_a_reason_goes_before_an_exit_code_and_that_before_a_lost_connection(
    tmp_path, monkeypatch, kept, code, words, kind
):
    def torchrun(made):
        if kept:
            keep_failure(made.path, kept)
        return code

    monkeypatch.setattr(launch, "_torchrun", torchrun)
    made = folder(tmp_path, "together")
    with pytest.raises(WorkbenchError, match=words) as told:
        launch.work(made)
    assert told.value.kind == made.failure.kind == kind


@pytest.mark.parametrize(
    "code, start", [("sys.exit(3)", subprocess.Popen), ("os.kill(os.getpid(), 9)", forks.ForkedProgram)]
)
def test_the_exit_code_tells_how_the_first_to_fail_ended(tmp_path, code, start):
    """The other one is stopped for it, in another second: that is no reason."""
    script = tmp_path / "script.py"
    script.write_text(f"import os, sys, time\nif os.environ['RANK'] == '1':\n    {code}\ntime.sleep(600)\n")
    command = [sys.executable, "-P", torchrun.__file__, str(tmp_path / "log"), "2", str(script)]
    (tmp_path / "temporary").mkdir()
    place = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with start(command, cwd=hide_torch(tmp_path), env=place, **streams) as running:
        said = running.communicate()
    assert running.returncode == (3 if "exit" in code else 128 + 9), said
    assert not [*(tmp_path / "temporary").iterdir()], "torch leaves a folder a command"


@pytest.mark.parametrize(
    "ends, code",
    [
        ([(7, 1), (7, -9), (7, -15)], 128 + 9),
        ([(7, 3), (8, -9)], 3),
        ([(7, -15), (7, 1)], 1),
        ([(7, 128 + 15), (7, 1)], 1),
        ([(7, 128 + 15), (7, -9)], 128 + 9),
        ([(8, -15), (7, -15)], 128 + 15),
    ],
)
@pytest.mark.usefixtures("sigterm")
def test_of_those_that_fail_in_the_same_second_one_that_was_killed_counts(monkeypatch, ends, code):
    """The times of torch are whole seconds; one that lost it, or that torch stopped for it, is no reason."""
    failures = {rank: errors.ProcessFailure(rank, 1000 + rank, end, "") for rank, (_, end) in enumerate(ends)}
    for rank, (seconds, _) in enumerate(ends):
        failures[rank].timestamp = seconds

    def launched(config, program):
        def run(*words):
            raise errors.ChildFailedError("script", failures)

        return run

    monkeypatch.setattr(api, "elastic_launch", launched)
    assert torchrun.main(os.devnull, "3", "script.py") == code


@pytest.mark.usefixtures("sigterm")
def test_torchrun_that_is_asked_to_end_says_so_in_its_log_alone(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(api, "elastic_launch", lambda *_: lambda *_: signal.raise_signal(signal.SIGTERM))
    assert torchrun.main(str(tmp_path / "log"), "2", "script.py") == 1
    assert "asked to end" in (tmp_path / "log").read_text() and capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("sigterm")
def test_torchrun_that_is_asked_to_end_as_all_have_ended_ends_as_they_did(monkeypatch):
    """It was told in a traceback, since its own folder was being removed."""
    real = torchrun.TemporaryDirectory.cleanup
    monkeypatch.setattr(api, "elastic_launch", lambda *_: lambda *_: None)
    monkeypatch.setattr(
        torchrun.TemporaryDirectory, "cleanup", lambda folder: [signal.raise_signal(signal.SIGTERM), real(folder)]
    )
    assert torchrun.main(os.devnull, "2", "script.py") == 0


def hide_torch(path):
    """A folder with a `torch.py`, which is not torch."""
    (path / "torch.py").write_text("raise SystemError('this is not torch')")
    return path


def start(made, program=forks.ForkedProgram):
    """Do the cell by the command, in a folder with a `torch.py`."""
    return program(
        [sys.executable, str(ROOT / "cli.py"), "cell", str(made.path)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=hide_torch(made.path.parent),
    )


def test_of_two_commands_one_works_and_the_other_finds_it_done(tmp_path):
    made = folder(tmp_path, "beside", number=1)
    both = [start(made), start(made)]
    said = [one.communicate(timeout=120) for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert len(made.rows()) == 1 and made.done


@pytest.mark.parametrize("error", [ProcessLookupError, PermissionError])
def test_a_number_that_is_nobodys_or_another_users_by_now_is_no_command_that_lives(monkeypatch, error):
    monkeypatch.setattr(os, "kill", mock.Mock(side_effect=error))
    monkeypatch.setattr(os, "_exit", mock.Mock(side_effect=SystemExit))
    with pytest.raises(SystemExit):
        several._watch(1)
    os._exit.assert_called_once_with(1)


def test_processes_end_with_the_command_that_started_them(tmp_path):
    made = folder(tmp_path, "beside", number=600)
    command = start(made, subprocess.Popen)  # new processes would find this `torch.py`, did they look where they are
    wait_for(lambda: len(made.rows()) == 1)
    assert len(processes_of(made)) > 2
    command.send_signal(signal.SIGKILL)
    command.communicate()
    wait_for(lambda: not processes_of(made))
    again = folder(tmp_path, "beside", number=600)
    again.event("still there")
    assert not again.done


def test_a_command_whose_torchrun_was_killed_starts_another(tmp_path):
    made = folder(tmp_path, "beside", number=3)
    command = start(made)
    wait_for(lambda: len(made.rows()) == 1)
    (starter,) = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
    os.kill(int(starter), signal.SIGKILL)
    said = command.communicate(timeout=60)
    assert command.returncode == 0, said
    events = (made.path / "events.jsonl").read_text()
    assert made.done and events.count('"begun work"') == 2, "once by each torchrun"
    assert len(made.rows()) == 1, "those of the broken attempt are not counted"


def begun(made):
    wait_for(lambda: all((made.path / f"begun-{rank}").exists() for rank in range(2)))


def saved(made):
    return sorted(path.name for path in made.path.glob("saved-*"))


@pytest.mark.usefixtures("heeded")
def test_an_interrupt_lets_the_processes_save_and_a_second_one_ends_them(tmp_path):
    made = folder(tmp_path, "saves", number=600)
    command = start(made)
    begun(made)
    command.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert len(processes_of(made)) > 2
    command.send_signal(signal.SIGINT)
    said = command.communicate(timeout=30)
    assert command.returncode == 130, said
    wait_for(lambda: not processes_of(made))
    assert not saved(made)


def test_slurm_asks_every_process_to_end_and_they_save(tmp_path):
    """So that those that others started are asked twice."""
    made = folder(tmp_path, "saves", number=1)
    command = start(made)
    begun(made)
    for number in processes_of(made):
        os.kill(int(number), signal.SIGTERM)
    _, err = command.communicate(timeout=60)
    assert command.returncode == 143, err
    assert saved(made) == ["saved-0", "saved-1"] and not made.failure and not made.done
    assert "saves: saved at half of it." in err and "Interrupted. The same command goes on" in err
    wait_for(lambda: not processes_of(made))


def processes_of(made):
    """The processes that work where the command was started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if path.readlink() == made.path.parent:
                found.append(path.parent.name)
    return found
