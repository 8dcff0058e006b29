"""Cells as jobs of Slurm: what is asked of it, and what has become of a cell by its folder and by the queue."""

import errno
import os
import re
import shutil
import time
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import pytest
from making import fake as cell

from lab import locks
from lab.cells.cell import with_needs
from lab.cells.failure import LOST, Failure, keep_failure
from lab.cells.folder import CellFolder
from lab.errors import DivergedError, UsageError, WorkbenchError
from lab.interrupts import TIME_OVER, Interrupted
from lab.running import schedule, silence, slurm
from lab.running.executors import slurm as executor
from lab.running.executors.slurm import Executor
from lab.running.progress import Display
from lab.running.sbatch import Asked, job_options, write_script
from lab.running.slurm import Job

SOON = 5.0
"""Seconds in which a cell ends that is not waited for without end."""
LOCAL = {"data": "data", "download": False}
PROFILE = """
setup = ["module load python"]
options = {partition = "cpu", time = "1:00:00", exclusive = true}
[tasks.train-gan]
setup = ["module load cuda"]
options = {partition = "gpu", gpus-per-node = 1, exclusive = false}
"""
pytestmark = pytest.mark.usefixtures("importable")


def create(cells, tmp_path):
    return [CellFolder.create(one, tmp_path / "cells", LOCAL) for one in with_needs(cells)]


class Queue:
    """A queue of which a test says what becomes of a job that is put there; else it waits."""

    def __init__(self):
        self.jobs, self.after, self.cancelled, self.silent, self.becomes = {}, {}, [], 0, {}

    def look(self):
        if self.silent:
            self.silent -= 1
            raise slurm.Unreachable("squeue says: Unable to contact slurm controller")
        return dict(self.jobs)

    def submit(self, folder, asked, after):
        number = str(100 + len(self.after))
        self.after[number] = [*after]
        self.say(folder, "PENDING", "Resources", number)
        self.becomes.get(folder.label, lambda folder: None)(folder)
        return number

    def cancel(self, numbers):
        self.cancelled.extend(numbers)
        ended = {path: job for path, job in self.jobs.items() if job.number in self.cancelled}
        kept = {path: job for path, job in self.jobs.items() if {*self.after[job.number]} & {*self.cancelled}}
        self.jobs |= {path: Job(job.number, "CANCELLED", "None") for path, job in (ended | kept).items()}

    def say(self, folder, state, reason="None", number=None):
        path = folder.path.resolve()
        self.jobs[path] = Job(number or self.jobs[path].number, state, reason)

    def ends(self, state, failure=None, done=False, reason="None"):
        """What becomes of a job that comes to this state, and leaves that in its cell's folder."""

        def end(folder):
            if failure:
                keep_failure(folder.path, failure)
            if done:
                folder.mark_done(1.0)
            self.say(folder, state, reason)

        return end


@pytest.fixture
def queue(monkeypatch):
    """Slurm's queue as a test has it, looked at all the time."""
    made = Queue()
    monkeypatch.setattr(slurm, "check", lambda: None)
    monkeypatch.setattr(slurm, "queue", made.look)
    monkeypatch.setattr(slurm, "submit", made.submit)
    monkeypatch.setattr(slurm, "cancel", made.cancel)
    for name, seconds in {"SHORTEST": 0.005, "LONGEST": 0.01, "LATE": 0.05, "AGAIN_SECONDS": 0.0}.items():
        monkeypatch.setattr(executor, name, seconds)
    return made


def do(folders, **more):
    return schedule.do(folders, Executor(), len(folders), lambda folder: None, **more)


def test_who_gives_up_on_slurm_is_told_when_to_try_again(tmp_path, queue, monkeypatch):
    """At the beginning, and where it was silent for all tries; a command that goes on promises no end."""
    queue.silent = 1
    advice = r"says: Unable to contact slurm controller; squeue --me tells when Slurm answers again, for another try\.$"
    with pytest.raises(slurm.Unreachable, match=advice):
        Executor()
    monkeypatch.setattr(executor, "TRIES", 3)
    lost = Mock(side_effect=slurm.Unreachable("sbatch says: Unable to contact slurm controller"))
    monkeypatch.setattr(slurm, "submit", lost)
    outcome = do(create([cell("double", 0)], tmp_path))
    assert re.search(advice, str(outcome.common_cause)) and lost.call_count == 3


KEPT, NO_WORD = Failure(DivergedError.kind, "the loss is infinite"), Failure(LOST, "connection closed by peer")


@pytest.mark.parametrize(
    "state, left, words, kind",
    [
        ("FAILED", KEPT, "the loss is infinite", DivergedError.kind),
        ("OUT_OF_MEMORY", KEPT, "the loss is infinite", DivergedError.kind),
        ("OUT_OF_MEMORY", NO_WORD, "job 100 ran out of memory: ask for more by --slurm mem=", "error"),
        ("TIMEOUT", None, "time of its job 100 was over: ask for more by --slurm time=", "error"),
        ("NODE_FAIL", None, "node of its job 100 failed: the same command goes on", "error"),
        ("PREEMPTED", None, "job 100 had to make room", "error"),
        ("CANCELLED", None, "job 100 was cancelled: the same command goes on", "error"),
        ("FAILED", None, "job 100 ended without a word of why", "error"),
        ("COMPLETED", None, "job 100 ended without a word of why", "error"),
    ],
)
def test_what_became_of_a_cell_its_folder_says_first_and_then_slurm(tmp_path, queue, state, left, words, kind):
    (folder,) = create([cell("double", 0)], tmp_path)
    queue.becomes["double-0"] = queue.ends(state, left)
    failure = do([folder]).broken[folder.path]
    assert words in failure.message and failure.kind == kind
    assert folder.failure == failure, "whoever looks later is told the same"


@pytest.mark.parametrize("state", ["COMPLETED", "CANCELLED", "TIMEOUT", "RUNNING"])
def test_what_is_done_is_done_whatever_slurm_says(tmp_path, queue, state):
    (folder,) = create([cell("double", 0)], tmp_path)
    queue.becomes["double-0"] = queue.ends(state, done=True)
    assert do([folder]).done == [folder.path]


def test_a_job_that_slurm_has_lost_is_put_into_the_queue_again_unless_its_cell_is_done(tmp_path, queue):
    good, once, ever = create([cell("double", number) for number in range(3)], tmp_path)

    def lose(folder):
        del queue.jobs[folder.path.resolve()]

    def lose_once(folder):
        lose(folder)
        queue.becomes["double-1"] = queue.ends("COMPLETED", done=True)

    queue.becomes |= {"double-1": lose_once, "double-2": lose}
    queue.becomes["double-0"] = lambda folder: (folder.mark_done(1.0), lose(folder))
    outcome = do([good, once, ever])
    assert {*outcome.done} == {good.path, once.path} and "Slurm tells no more" in outcome.broken[ever.path].message
    assert len(queue.after) == 1 + 2 + 4


def test_a_job_that_its_node_failed_to_begin_is_let_go(tmp_path, queue, monkeypatch):
    """Slurm would hold it for ever."""
    (folder,) = create([cell("double", 0)], tmp_path)
    queue.becomes["double-0"] = queue.ends("PENDING", reason="launch failed requeued held")

    def release(number):
        assert number == "100"
        queue.ends("COMPLETED", done=True)(folder)

    monkeypatch.setattr(slurm, "release", release)
    assert do([folder]).done == [folder.path]


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


def test_a_cell_waits_for_the_jobs_in_the_queue_that_it_needs(tmp_path, queue):
    """Not for one that is done: Slurm may have forgotten its job, and would not begin."""
    ready, needed = cell("double", 0), cell("double", 1)
    last = cell("double", 2, needs=(ready, needed))
    folders = create([last], tmp_path)
    folders[0].mark_done(1.0)
    outcome = do(folders[1:], wait=False)
    assert queue.after == {"100": [], "101": ["100"]}
    assert outcome.left == [folder.path for folder in folders[1:]] and not outcome.failed


def test_what_needs_a_cell_that_failed_has_not_failed_itself(tmp_path, queue):
    bad = cell("double", 0)
    folders = create([cell("double", 2, needs=(cell("double", 1, needs=(bad,)),))], tmp_path)
    queue.becomes |= {f"double-{number}": queue.ends("CANCELLED") for number in (1, 2)}
    queue.becomes["double-0"] = queue.ends("FAILED", KEPT)
    outcome = do(folders)
    assert outcome.broken == {folders[0].path: KEPT}
    assert [failure.message.partition(",")[2] for failure in outcome.blocked.values()] == [" which failed"] * 2
    assert not folders[1].failure


def test_what_is_in_the_queue_is_found_there_and_what_has_ended_is_put_there_again(tmp_path, queue):
    there, gone = create([cell("double", 0), cell("double", 1)], tmp_path)
    queue.say(there, "RUNNING", number="7")
    queue.say(gone, "TIMEOUT", number="8")
    keep_failure(gone.path, Failure("error", "its time was over"))
    outcome = do([there, gone], wait=False)
    assert queue.after == {"100": []} and len(outcome.left) == 2
    assert not gone.failure, "what an earlier job failed of is no reason of this one's"
    assert not queue.cancelled, "they go on without this command"


def test_who_leaves_the_queue_is_told_what_ended_as_it_was_put_there(tmp_path, queue):
    """Another command has done a cell since it was planned, and Slurm refuses one."""

    def refuse(folder):
        raise WorkbenchError("sbatch says: Invalid account or account/partition combination specified")

    done, refused, left = create([cell("double", number) for number in range(3)], tmp_path)
    done.mark_done(1.0)
    queue.becomes["double-1"] = refuse
    outcome = do([done, refused, left], wait=False)
    assert outcome.done == [done.path] and [*outcome.broken] == [refused.path] and outcome.left == [left.path]


@pytest.mark.parametrize("why, words", [("PartitionTimeLimit", "--slurm time="), ("InvalidAccount", "account=")])
def test_what_can_never_begin_is_taken_back(tmp_path, queue, why, words):
    (folder,) = create([cell("double", 0)], tmp_path)
    queue.becomes["double-0"] = queue.ends("PENDING", reason=why)
    assert words in do([folder]).broken[folder.path].message
    assert queue.cancelled == ["100"]


def test_a_partition_that_an_administrator_has_stopped_for_a_while_is_waited_for(tmp_path, queue):
    (folder,) = create([cell("double", 0)], tmp_path)
    with closing(Executor()) as place:
        waits = place.submit(folder)
        queue.say(folder, "PENDING", "PartitionInactive")
        with pytest.raises(TimeoutError):
            waits.exception(timeout=0.05)
        assert [*place.waiting.values()] == ["its partition takes no jobs for now"]
        queue.ends("COMPLETED", done=True)(folder)
        assert waits.result(SOON) is None and not queue.cancelled


def test_a_job_is_not_put_into_the_queue_twice_when_slurm_does_not_answer(tmp_path, queue):
    """It has taken the first one, and said so too late; while it is silent, nothing is given up."""
    lost, other = create([cell("double", 0), cell("double", 1)], tmp_path)

    def silence(folder):
        queue.silent = 3
        queue.becomes["double-0"] = lambda folder: None
        raise slurm.Unreachable("sbatch says: Socket timed out on send/recv operation")

    queue.becomes |= {"double-0": silence, "double-1": queue.ends("COMPLETED", done=True)}
    outcome = do([lost, other], wait=False)
    assert len(queue.after) == 2 and lost.path in outcome.left


@pytest.mark.parametrize(
    "asked, why", [("release", "launch failed requeued held"), ("cancel", "InvalidAccount"), ("submit", None)]
)
def test_what_slurm_refuses_of_one_cell_later_ends_that_and_holds_up_no_other(tmp_path, queue, monkeypatch, asked, why):
    """To let its job go, to take it back, or to take it again where it was lost."""
    bad, good = create([cell("double", 0), cell("double", 1)], tmp_path)
    with closing(Executor()) as place:
        refused, done = place.submit(bad), place.submit(good)
        monkeypatch.setattr(slurm, asked, Mock(side_effect=WorkbenchError("Slurm says: Access/permission denied")))
        queue.ends("COMPLETED", done=True)(good)
        if why:
            queue.say(bad, "PENDING", why)
        else:
            queue.jobs.pop(bad.path.resolve())
        assert "permission denied" in str(refused.exception(SOON)) and done.result(SOON) is None


def test_who_does_not_answer_refuses_nothing(tmp_path, queue, monkeypatch):
    (folder,) = create([cell("double", 0)], tmp_path)
    release = Mock(side_effect=[slurm.Unreachable("scontrol says: Unable to contact slurm controller"), None])
    monkeypatch.setattr(slurm, "release", release)
    monkeypatch.setattr(executor, "SHORTEST", 60.0)
    with closing(Executor()) as place:
        waits = place.submit(folder)
        queue.say(folder, "PENDING", "launch failed requeued held")
        with pytest.raises(slurm.Unreachable):
            place._look()
        place._look()
        assert release.call_count == 2 and not waits.done()


def test_a_cell_whose_folder_has_gone_or_cannot_be_read_holds_up_no_other(tmp_path, queue, monkeypatch):
    gone, away, good = create([cell("double", number) for number in range(3)], tmp_path)
    iterdir, trouble = Path.iterdir, {away.path.resolve(): OSError(errno.ESTALE, "Stale file handle")}

    def read(path):
        if path in trouble:
            raise trouble[path]
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", read)
    with closing(Executor()) as place:
        lost, waits, done = (place.submit(folder) for folder in (gone, away, good))
        shutil.rmtree(gone.path)
        queue.jobs.pop(gone.path.resolve())
        for folder in (away, good):
            queue.ends("COMPLETED", done=True)(folder)
        assert done.result(SOON) is None and "has gone" in str(lost.exception(SOON)) and not waits.done()
        trouble.clear()
        assert waits.result(SOON) is None, "it is looked at again once the disk is back"


def test_an_error_that_nobody_foresaw_ends_the_wait(tmp_path, queue, monkeypatch):
    (folder,) = create([cell("double", 0)], tmp_path)
    with closing(Executor()) as place:
        waits = place.submit(folder)
        monkeypatch.setattr(slurm, "queue", Mock(side_effect=ZeroDivisionError))
        assert isinstance(waits.exception(SOON), ZeroDivisionError)


def test_after_such_an_error_it_is_looked_for_what_is_put_there_later(tmp_path, queue, monkeypatch):
    first, last = create([cell("double", 0), cell("double", 1)], tmp_path)
    queue.becomes["double-1"] = queue.ends("COMPLETED", done=True)
    with closing(Executor()) as place:
        broken = place.submit(first)
        monkeypatch.setattr(slurm, "queue", Mock(side_effect=ZeroDivisionError))
        assert broken.exception(SOON)
        place._thread.join(SOON)
        monkeypatch.setattr(slurm, "queue", queue.look)
        assert place.submit(last).result(SOON) is None


def test_a_job_finds_a_folder_whose_name_is_no_text(tmp_path):
    (folder,) = create([cell("double", 1)], tmp_path / os.fsdecode(b"\xff"))
    assert os.fsencode(folder.path) in write_script(folder, []).read_bytes()


def test_two_commands_that_fill_the_queue_at_once_put_each_cell_there_once(tmp_path, queue, monkeypatch):
    """The queue is looked at again for what was put there since, and not for each cell that was there some day."""
    monkeypatch.setattr(executor, "SHORTEST", 60.0)
    folders = create([cell("double", number) for number in range(4)], tmp_path)
    os.utime(write_script(folders[2], []), (0, 0))
    os.utime(write_script(folders[3], []), (late := time.time() - 2, late))
    queue.becomes = {folder.label: lambda folder: write_script(folder, []) for folder in folders[:2]}
    looks, look = [], queue.look
    monkeypatch.setattr(slurm, "queue", lambda: looks.append(1) or look())
    with closing(Executor()) as one, closing(Executor()) as other:
        for place in (one, other):
            place.submit(folders[0])
        for place in (other, one):
            place.submit(folders[1])
        one.submit(folders[2])
        assert len(looks) == 4
        one.submit(folders[3])
    assert [*queue.after] == ["100", "101", "102", "103"] and len(looks) == 5, "the clock of the disk may be behind"
    assert not [path for folder in folders for path in folder.path.glob("*lock")]


def test_a_job_that_begins_again_has_its_time_anew_to_be_seen_as_done(tmp_path, queue, monkeypatch):
    """And a later job of the cell, which another command may have put there, is the one that is told of."""
    done, failed = create([cell("double", 0), cell("double", 1)], tmp_path)
    monkeypatch.setattr(executor, "SHORTEST", 60.0)
    monkeypatch.setattr(executor, "time", clock := Mock(time=Mock(return_value=0.0)))
    with closing(Executor()) as place:
        first, second = place.submit(done), place.submit(failed)
        for seconds, state in ((1, "NODE_FAIL"), (2, "RUNNING"), (1 + executor.LATE, "COMPLETED")):
            clock.monotonic.return_value = seconds
            queue.say(done, state)
            queue.say(failed, state, number="107")
            place._look()
        assert not first.done() and not second.done()
        done.mark_done(1.0)
        clock.monotonic.return_value += executor.LATE
        place._look()
    assert first.result(SOON) is None and "its job 107 ended" in str(second.exception(SOON))


def test_the_queue_is_looked_at_less_often_while_nothing_happens_there(queue, monkeypatch):
    monkeypatch.setattr(executor, "SHORTEST", 1.0)
    monkeypatch.setattr(executor, "LONGEST", 5.0)
    place, pauses = Executor(), []

    def wait(pause):
        pauses.append(pause)
        if len(pauses) == 7:
            queue.jobs[Path("other")] = Job("7", "PENDING", "None")
        return len(pauses) == 9

    place._closed = Mock(wait=wait)
    place._look_again_and_again()
    assert pauses == [1.0, 1.5, 2.25, 3.375, 5.0, 5.0, 5.0, 1.0, 1.5]


def test_what_slurm_refuses_fails_at_once_and_nothing_that_needs_it_is_put_there(tmp_path, queue):
    def refuse(folder):
        raise WorkbenchError("sbatch says: Invalid account or account/partition combination specified")

    folders = create([cell("double", 1, needs=(cell("double", 0),))], tmp_path)
    queue.becomes["double-0"] = refuse
    outcome = do(folders)
    assert len(queue.after) == 1 and "Invalid account" in str(outcome.common_cause)


def test_the_display_tells_what_waits_for_what(tmp_path, queue):
    folders = create([cell("double", number) for number in range(4)], tmp_path)
    place = Executor()
    with Display({folder.path: 1.0 for folder in folders}, 4, known=False, queue=place) as display:
        for folder in folders:
            place.submit(folder)
            display.started(folder)
        queue.say(folders[0], "RUNNING")
        queue.say(folders[1], "PENDING", "AssocGrpCpuLimit")
        folders[0].event("progress", done=1, total=2, text="half")
        display.ended(folders[3], True)
        place._known = queue.look()
        line = display._line()
    place.close()
    assert "1 done, 0 failed, 1 running" in line and "double-0: half" in line
    assert "waits for free nodes: 2" in line and "waits: AssocGrpCpuLimit: 1" in line


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


def test_without_slurm_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="There is no sbatch here"):
        Executor()
