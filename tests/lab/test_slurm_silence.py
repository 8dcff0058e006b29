"""Jobs that Slurm takes for ones at work though nothing is: how long they are silent, and what becomes of them."""

import os

import pytest
from making import fake as cell
from slurm_queue import create, do

from lab import locks
from lab.running import silence
from lab.running.slurm import Job

pytestmark = pytest.mark.usefixtures("importable")


@pytest.fixture
def clock(monkeypatch):
    """The seconds that pass between two looks at whether cells live; set `step`."""

    class Clock:
        now, step = 0.0, 30.0

        def monotonic(self):
            self.now += self.step
            return self.now

    made = Clock()
    monkeypatch.setattr(silence, "time", made)
    return made


def at_work_for_slurm_alone(queue, times, then):
    """Jobs of which Slurm says that they are at work, the first ones though nothing is."""
    left = [*range(times)]

    def run(folder):
        queue.say(folder, "RUNNING")
        if left:
            left.pop()
        else:
            then(folder)

    return run


def test_a_job_that_is_at_work_for_slurm_alone_is_cancelled_and_its_cell_done_anew(tmp_path, queue, clock, capsys):
    """What waits for it, which Slurm cancels with it, is put into the queue again, too."""
    first, last = create([cell("double", 1, needs=(cell("double", 0),))], tmp_path)
    finish = queue.ends("COMPLETED", done=True)
    queue.becomes["double-0"] = at_work_for_slurm_alone(queue, 1, finish)
    queue.becomes["double-1"] = lambda folder: finish(folder) if first.done else None
    outcome = do([first, last])
    assert outcome.done == [first.path, last.path] and queue.cancelled == ["100"]
    assert len(queue.after) == 4
    assert "double-0" in capsys.readouterr().err and not outcome.failed


def test_one_that_is_never_at_work_is_told(tmp_path, queue, clock):
    (folder,) = create([cell("double", 0)], tmp_path)
    queue.becomes["double-0"] = at_work_for_slurm_alone(queue, 9, lambda folder: None)
    failure = do([folder]).broken[folder.path]
    assert "showed no sign of life" in failure.message and len(queue.cancelled) == 4


def test_what_waits_for_a_done_cell_whose_job_does_not_end_is_begun(tmp_path, queue, clock):
    """As it is found by a later command, too, which has nothing to do with the cell that is done."""
    first, last = create([cell("double", 1, needs=(cell("double", 0),))], tmp_path)
    first.mark_done(1.0)
    queue.after |= {"7": [], "8": ["7"]}
    queue.say(first, "RUNNING", number="7")
    queue.say(last, "PENDING", "Dependency", number="8")
    queue.becomes["double-1"] = queue.ends("COMPLETED", done=True)
    assert do([last]).done == [last.path] and queue.cancelled == ["7"]


def jobs(folder, state="RUNNING", number="7"):
    return {folder.path: Job(number, state, "None")}


def looks(watched, count, found, upon=lambda number: None):
    """Whether any of so many looks finds a job gone."""
    gone = []
    for number in range(count):
        upon(number)
        gone += watched.look(found(number) if callable(found) else found)
    return bool(gone)


def test_silence_is_not_heard_of_who_lives_or_does_not_work(tmp_path, clock):
    """A limit of 100 s; looks at it every 30 s."""
    (folder,) = create([cell("double", 0)], tmp_path)
    beat = folder.path / "heartbeat"
    assert looks(silence.Silence(100), 5, jobs(folder)), "it has never shown any"
    beat.touch()
    assert not looks(silence.Silence(100), 9, jobs(folder), lambda number: os.utime(beat, ns=(number, number)))
    assert looks(silence.Silence(100), 5, jobs(folder)), "its heart has stopped"
    assert not looks(silence.Silence(100), 9, lambda n: jobs(folder, "SUSPENDED" if n % 3 else "RUNNING"))
    assert not looks(silence.Silence(100), 9, lambda n: jobs(folder, number=str(n // 3))), "begun again and again"
    with locks.exclusive(folder.path / "lock"):
        assert not looks(silence.Silence(100), 9, jobs(folder)), "a process lives"


def test_who_could_not_look_has_heard_no_silence(tmp_path, clock):
    (folder,) = create([cell("double", 0)], tmp_path)
    watched, clock.step = silence.Silence(600), 3600.0
    assert not looks(watched, 9, jobs(folder)) and looks(watched, 9, jobs(folder))


def test_a_job_that_is_gone_is_told_of_again_after_as_much_silence_again(tmp_path, clock):
    """It takes a while until Slurm has cancelled it."""
    (folder,) = create([cell("double", 0)], tmp_path)
    watched = silence.Silence(100)
    told = [bool(watched.look(jobs(folder))) for _ in range(10)]
    assert [number for number, one in enumerate(told) if one] == [4, 8]


def test_a_cell_that_is_done_needs_no_job_for_long(tmp_path, clock):
    (folder,) = create([cell("double", 0)], tmp_path)
    folder.mark_done(1.0)
    assert looks(silence.Silence(900), 4, jobs(folder))
    assert not looks(silence.Silence(900), 9, jobs(folder, "COMPLETING"))
