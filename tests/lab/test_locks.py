"""Who is at work in a folder."""

import subprocess
import sys

import pytest
from filelock import FileLock

from lab import locks

HOLDS = """
import sys, time; from pathlib import Path; from lab import locks
with locks.at_work(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)
"""


@pytest.fixture
def command(tmp_path):
    """A function that starts a process which is at work in the folder."""
    started = []

    def start():
        started.append(subprocess.Popen([sys.executable, "-c", HOLDS, tmp_path], stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "held\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_any_number_of_commands_are_at_work_until_the_last_ends(tmp_path, command):
    assert not locks.is_at_work(tmp_path)
    first, second = command(), command()
    with locks.at_work(tmp_path):
        assert locks.is_at_work(tmp_path) and not locks.is_locked(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    for process in (first, second):
        assert locks.is_at_work(tmp_path)
        process.kill()
        process.wait()
    assert not locks.is_at_work(tmp_path)
    with locks.at_work(tmp_path):
        assert len(list(tmp_path.iterdir())) == 3, "what a dead command held is held again"


def test_an_error_ends_the_work(tmp_path):
    with pytest.raises(ZeroDivisionError), locks.at_work(tmp_path):
        raise ZeroDivisionError
    assert not locks.is_at_work(tmp_path)


def test_the_lock_is_another_thing(tmp_path):
    with FileLock(tmp_path / "lock"):
        assert locks.is_locked(tmp_path) and not locks.is_at_work(tmp_path)
    assert not locks.is_locked(tmp_path)
