"""Cells as jobs of Slurm: when they are put into its queue, and what has become of one by its folder and by it."""

import os
import time
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import pytest
from making import fake as cell
from slurm_queue import SOON, create, do

from lab.cells.failure import LOST, Failure, keep_failure
from lab.errors import DivergedError
from lab.running import slurm
from lab.running.executors import slurm as executor
from lab.running.executors.slurm import Executor
from lab.running.progress import Display
from lab.running.sbatch import write_script
from lab.running.slurm import Job

pytestmark = pytest.mark.usefixtures("importable")

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
