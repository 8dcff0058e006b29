"""Who does a cell, and what is kept of a failure, where several commands or processes are at it."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from filelock import FileLock
from making import LOCAL, do, made
from waiting import wait_for

from lab.cells import environment, work
from lab.cells.failure import Failure, failure_of, keep_failure
from lab.cells.folder import CellFolder
from lab.errors import WorkbenchError

CELL = made("train", "name", {"seed": 3})


def test_of_two_commands_one_works_and_the_other_waits_and_says_so(tmp_path, monkeypatch, capfd):
    folder, times = CellFolder.create(CELL, tmp_path, LOCAL), []
    begun, go_on = threading.Event(), threading.Event()

    def works(cell):
        times.append(time.monotonic())
        begun.set()
        go_on.wait(60)

    targets = [lambda: do(CellFolder(folder.path), monkeypatch, works) for _ in range(2)]
    commands = [threading.Thread(target=target) for target in targets]
    commands[0].start()
    begun.wait(60)
    assert folder.held
    CellFolder.create(CELL, tmp_path, {"data": "/other", "download": False})
    assert folder.record["local"] == LOCAL
    commands[1].start()
    said = []

    def told():
        said.append(capfd.readouterr().err)
        return "another process is at work on it; waiting" in "".join(said)

    try:
        wait_for(told)
    finally:
        go_on.set()
    for command in commands:
        command.join(60)
    assert len(times) == 1 and folder.done and not folder.held


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_a_lock_left_by_a_dead_process_is_no_lock(tmp_path, monkeypatch):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)
    code = (
        "import sys, time; from pathlib import Path\n"
        "from lab.cells.folder import CellFolder; from lab.cells.work import alone\n"
        "with alone(CellFolder(Path(sys.argv[1]))): print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(folder.path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n" and folder.held
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (folder.path / "lock").exists() and not folder.held
    do(folder, monkeypatch, lambda cell: None)
    assert folder.done


@pytest.mark.parametrize("told, kept", [({}, "onednn"), ({"products": "mkl"}, "mkl")])
def test_the_library_of_products_is_what_the_work_says_and_else_what_this_process_asked(
    tmp_path, monkeypatch, told, kept
):
    """A training goes on with that which it began with, whatever else this process takes."""
    monkeypatch.setenv("SNNL_PRODUCTS", "onednn")
    folder = CellFolder.create(CELL, tmp_path, LOCAL)
    do(folder, monkeypatch, lambda cell: cell.note(**told))
    assert folder.environment["products"] == kept


@pytest.mark.parametrize(
    "said, told",
    [
        ({"rev-parse": "1f", "status": ""}, {"commit": "1f", "dirty": False}),
        ({"rev-parse": "1f", "status": " M lab/files.py"}, {"commit": "1f", "dirty": True}),
        ({}, {"commit": None, "dirty": None}),
    ],
)
def test_the_environment_tells_the_commit_and_whether_the_code_is_another(monkeypatch, said, told):
    monkeypatch.setattr(environment, "_git", lambda command, *more: said.get(command))
    assert environment.git_state.__wrapped__() == told


def test_code_that_was_changed_since_its_process_began_is_none_of_the_commit(tmp_path, monkeypatch, capsys):
    """A checkout may be brought up to date while cells are at work; what they import then is of another version."""
    monkeypatch.setattr(environment, "git_state", lambda: {"commit": "1f", "dirty": False})
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    (tmp_path / "their_code.py").touch()
    os.utime(tmp_path / "their_code.py", (environment.BEGUN - 9,) * 2)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("their_code")

    def environment_of(seed, change):
        folder = CellFolder.create(made("train", "name", {"seed": seed}), tmp_path, LOCAL)
        do(folder, monkeypatch, lambda cell: (tmp_path / "their_code.py").touch() if change else None)
        return folder.environment["dirty"]

    assert environment_of(1, change=False) is False and not capsys.readouterr().err
    assert environment_of(2, change=True) is True
    assert "changed since this command began" in capsys.readouterr().err
    assert environment.describe({})["dirty"] is True


@pytest.mark.skipif(not shutil.which("git"), reason="there is no git here")
def test_the_environment_leaves_the_users_checkout_as_it_is(tmp_path, monkeypatch):
    """Jobs by the hundred look at it, and git locks what it writes, also against the user."""
    who = ("-c", "user.email=me@here", "-c", "user.name=me")
    for words in (("init", "-q"), ("add", "a.py"), (*who, "commit", "-qm", "a")):
        (tmp_path / "a.py").touch()
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    os.utime(tmp_path / "a.py", (0, 0))  # git would write down that it is the same all the same
    before = (tmp_path / ".git" / "index").stat().st_ino
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    assert environment.git_state.__wrapped__()["dirty"] is False
    assert (tmp_path / ".git" / "index").stat().st_ino == before


def several(monkeypatch, rank):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", str(rank))


def together(tmp_path):
    return CellFolder.create(made("run", "two", processes=2), tmp_path, LOCAL)


@pytest.mark.parametrize("rank", [0, 1])
def test_no_process_begins_what_is_done(tmp_path, monkeypatch, rank):
    """The others would wait for the first one, which has nothing to do."""
    folder, begun = together(tmp_path), []
    (folder.path / "DONE").write_text("{}")
    several(monkeypatch, rank)
    do(folder, monkeypatch, begun.append)
    assert not begun


def test_the_first_of_several_processes_fails_where_another_command_was_faster(tmp_path, monkeypatch):
    folder = together(tmp_path)
    several(monkeypatch, 0)
    real = work.alone

    def finished_meanwhile(at, **settings):
        (folder.path / "DONE").write_text("{}")
        return real(at, **settings)

    monkeypatch.setattr(work, "alone", finished_meanwhile)
    with pytest.raises(WorkbenchError, match="finished by another command"):
        do(folder, monkeypatch, lambda cell: None)


TRUE = "ValueError: negative width (traceback.txt tells where)"
LOST = [
    "RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:4",
    "RuntimeError: Application timeout caused pair closure",
    "DistBackendError: NCCL error: remote process exited or there was a network error",
    "DistNetworkError: failed to recv, got 0 bytes",
    "ConnectionResetError: [Errno 104] Connection reset by peer",
    "RuntimeError: Broken pipe",
]


@pytest.mark.parametrize("lost", LOST)
def test_the_loss_of_another_process_is_no_reason_beside_a_true_one(tmp_path, lost):
    for number, reasons in enumerate([[lost, TRUE, LOST[0]], [TRUE, lost, "ValueError: later"]]):
        folder = CellFolder.create(made("run", f"two-{number}", processes=2), tmp_path, LOCAL)
        for reason in reasons:
            keep_failure(folder.path, failure_of(WorkbenchError(reason)))
        assert str(folder.failure) == TRUE
    alone = together(tmp_path)
    keep_failure(alone.path, failure_of(WorkbenchError(lost)))
    keep_failure(alone.path, failure_of(WorkbenchError(LOST[0])))
    assert alone.failure == Failure("lost", lost)


def test_a_look_at_the_lock_does_not_end_the_work_of_several_processes(tmp_path, monkeypatch):
    folder = together(tmp_path)
    several(monkeypatch, 0)
    looks = FileLock(folder.path / "lock", thread_local=False)
    looks.acquire()
    threading.Timer(0.1, looks.release).start()
    do(folder, monkeypatch, lambda cell: None)
    assert folder.done
