"""Who is at work in a folder."""

import errno
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import Mock

import pytest
from filelock import FileLock, Timeout

from lab import locks

if os.name == "posix":
    import fcntl

POSIX = pytest.mark.skipif(os.name != "posix", reason="the system keeps an open file")
ROUNDS = 300
TAKES = """
import os, sys; from pathlib import Path; from lab import locks
folder, left = Path(sys.argv[1]), int(sys.argv[2])
count, inside = folder / 'count', folder / 'inside'
while left:
    try:
        with locks.exclusive(folder / 'lock', 0):
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # an error if another is here
            count.write_text(str(int(count.read_text() if count.exists() else 0) + 1))
            inside.unlink()
            left -= 1
    except locks.Taken:
        pass
"""
LOOKS = """
import sys; from pathlib import Path; from lab import locks
for _ in range(10 * int(sys.argv[2])): locks.is_locked(Path(sys.argv[1]))
"""
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
    assert not list(tmp_path.iterdir()), "a look removes what a dead command held"


def test_the_end_of_the_work_removes_what_dead_commands_left(tmp_path, command):
    for process in [command() for _ in range(3)]:
        process.kill()
        process.wait()
    (tmp_path / "rows.csv").touch()
    assert len(list(tmp_path.iterdir())) == 4
    with locks.at_work(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_a_look_takes_nothing_of_another_name_for_a_commands(tmp_path, command):
    """Nor does the end of the work."""
    theirs = ["at-work-notes", "at-work-", "at-work-1.txt", "at-work-1a", "my-at-work-1"]
    for name in theirs:
        (tmp_path / name).touch()
    process = command()
    process.kill()
    process.wait()
    assert not locks.is_at_work(tmp_path)
    with locks.at_work(tmp_path):
        assert locks.is_at_work(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(theirs)


def test_a_look_at_a_folder_of_peoples_leaves_a_free_lock_there(tmp_path):
    (tmp_path / "lock").touch()
    assert not locks.is_locked(tmp_path, keep=True) and (tmp_path / "lock").exists()
    with locks.exclusive(tmp_path / "lock"):
        assert locks.is_locked(tmp_path, keep=True)
    assert not locks.is_locked(tmp_path, keep=True) and not (tmp_path / "lock").exists()


@POSIX
def test_a_look_sees_a_lock_whose_file_another_user_alone_may_write(tmp_path, monkeypatch):
    """It is not theirs to take, and so not to remove where nobody holds it."""

    def refuse(lock, *others):
        raise PermissionError(errno.EACCES, "Permission denied", lock.lock_file)

    with locks.exclusive(tmp_path / "lock"), locks.at_work(tmp_path), monkeypatch.context() as patch:
        patch.setattr(FileLock, "acquire", refuse)
        assert locks.is_locked(tmp_path) and locks.is_at_work(tmp_path)
    for name in ("lock", "at-work-1"):
        (tmp_path / name).touch()
    monkeypatch.setattr(FileLock, "acquire", refuse)
    assert not locks.is_locked(tmp_path) and not locks.is_at_work(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(Path, "open", Mock(side_effect=PermissionError))
    assert not locks.is_locked(tmp_path)


def test_an_error_ends_the_work(tmp_path):
    with pytest.raises(ZeroDivisionError), locks.at_work(tmp_path):
        raise ZeroDivisionError
    assert not locks.is_at_work(tmp_path)


def test_what_the_work_itself_finds_taken_is_told(tmp_path):
    with pytest.raises(locks.Taken, match="the work's own"), locks.at_work(tmp_path):
        raise locks.Taken("the work's own")


def test_the_lock_is_another_thing(tmp_path):
    with FileLock(tmp_path / "lock"):
        assert locks.is_locked(tmp_path) and not locks.is_at_work(tmp_path)
    assert not locks.is_locked(tmp_path)


def test_a_lock_is_a_file_for_as_long_as_it_is_held(tmp_path):
    lock = tmp_path / "lock"
    with locks.exclusive(lock):
        assert locks.is_locked(tmp_path) and lock.exists()
        with pytest.raises(locks.Taken, match="lock is held"), locks.exclusive(lock, 0.05):
            pass
        with pytest.raises(Timeout):
            FileLock(lock).acquire(timeout=0)
    assert not locks.is_locked(tmp_path) and not lock.exists()


@POSIX
def test_whoever_waits_for_a_lock_that_is_removed_takes_the_next_one(tmp_path, monkeypatch):
    """Between opening the file and locking it, its holder ends and another one comes."""
    lock, flock, others = tmp_path / "lock", fcntl.flock, ExitStack()
    first = ExitStack()
    first.enter_context(locks.exclusive(lock))

    def meanwhile(descriptor, operation):
        monkeypatch.setattr(fcntl, "flock", flock)
        first.close()
        others.enter_context(locks.exclusive(lock, 5))
        return flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", meanwhile)
    with pytest.raises(locks.Taken), locks.exclusive(lock, 0):
        pass
    assert lock.exists() and locks.is_locked(tmp_path), "the other's is left alone"
    others.close()
    assert not lock.exists()


@POSIX
def test_who_frees_a_lock_leaves_another_ones_file(tmp_path):
    """A folder may be removed, and made anew, under whoever holds its lock."""
    lock, first = tmp_path / "lock", ExitStack()
    first.enter_context(locks.exclusive(lock))
    lock.unlink()
    with locks.exclusive(lock, 5):
        first.close()
        assert locks.is_locked(tmp_path)
    assert not lock.exists()


def test_a_folder_that_is_gone_is_not_made_anew_for_its_lock(tmp_path):
    with pytest.raises(FileNotFoundError), locks.exclusive(tmp_path / "gone" / "lock"):
        pass
    assert not (tmp_path / "gone").exists()


def test_at_no_time_do_two_hold_a_lock(tmp_path):
    """Processes take it in turn as fast as they can, while others look at it, and each looks for another inside."""
    codes = [TAKES, TAKES, TAKES, LOOKS]
    command = [[sys.executable, "-c", code, str(tmp_path), str(ROUNDS)] for code in codes]
    started = [subprocess.Popen(each, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for each in command]
    try:
        for process in started:
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, out + err
    finally:
        for process in started:
            process.kill()
    assert (tmp_path / "count").read_text() == str(3 * ROUNDS), "none was lost, as it is where two read the same"
    assert {path.name for path in tmp_path.iterdir()} == {"count"}
