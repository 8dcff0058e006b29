"""What becomes of cells where Slurm does not answer, refuses something or lets a job wait for ever, or a disk fails."""

import errno
import re
import shutil
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import pytest
from making import fake as cell
from slurm_queue import SOON, create, do

from lab.errors import UsageError, WorkbenchError
from lab.running import slurm
from lab.running.executors import slurm as executor
from lab.running.executors.slurm import Executor

pytestmark = pytest.mark.usefixtures("importable")


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


def test_what_slurm_refuses_fails_at_once_and_nothing_that_needs_it_is_put_there(tmp_path, queue):
    def refuse(folder):
        raise WorkbenchError("sbatch says: Invalid account or account/partition combination specified")

    folders = create([cell("double", 1, needs=(cell("double", 0),))], tmp_path)
    queue.becomes["double-0"] = refuse
    outcome = do(folders)
    assert len(queue.after) == 1 and "Invalid account" in str(outcome.common_cause)


def test_without_slurm_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="There is no sbatch here"):
        Executor()
