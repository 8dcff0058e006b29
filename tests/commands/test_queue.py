"""What is asked after Ctrl-C of cells that wait in a queue, or are done on other machines."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path

import click
import pytest

from commands import tune
from commands._queue import asking, print_queued
from lab.cells import layout
from lab.cells.failure import Failure
from lab.interrupts import Interrupted
from lab.running import slurm
from lab.running.place import SLOTS, Place
from lab.running.schedule import Outcome
from lab.running.slurm import Job

CELLS = [Path("one"), Path("two")]


@pytest.fixture
def cancelled(monkeypatch):
    """The jobs that are taken back; there is one of each cell."""
    found = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(slurm, "live", lambda cells: {cell: Job(str(cell), "PENDING", "None") for cell in cells})
    monkeypatch.setattr(slurm, "cancel", found.extend)
    return found


def interrupted(place=Place("slurm"), cells=CELLS, error=KeyboardInterrupt):  # noqa: B008
    with pytest.raises(KeyboardInterrupt), asking(place, lambda: cells):
        raise error


def test_what_a_search_has_planned_by_then_is_asked_of_and_nothing_else(cancelled, monkeypatch, tmp_path):
    """Not the cells of others, of which the folder of runs is full, though they wait in the same queue."""
    others, own = (layout.cell(tmp_path / "runs", name) for name in ("study-0", "trial-0"))
    others.mkdir(parents=True)

    def search(*words, planned, **settings):
        own.mkdir()
        planned([own])
        raise KeyboardInterrupt

    monkeypatch.setattr(tune, "search", search)
    monkeypatch.setattr(click, "confirm", lambda *words, **settings: True)
    monkeypatch.setattr(Place, "queues", True)
    command = tune.command.get_command(None, "classifier-regularization")
    with pytest.raises((KeyboardInterrupt, click.Abort)):
        command.main(["--runs", str(tmp_path / "runs"), "--data", str(tmp_path)], standalone_mode=False)
    assert cancelled == [str(own)]


def abort(*words, **settings):
    raise click.Abort


@pytest.mark.parametrize(
    "answer, told", [(True, "Cancelled: 2 jobs; trainings save."), (False, "Left in"), (None, "Left")]
)
def test_they_are_cancelled_if_that_is_the_answer_and_left_if_there_is_none(
    cancelled, monkeypatch, capsys, answer, told
):
    asked = []
    monkeypatch.setattr(click, "confirm", abort if answer is None else lambda text, **_: asked.append(text) or answer)
    interrupted()
    assert cancelled == (["one", "two"] if answer else []) and told in capsys.readouterr().err
    assert answer is None or asked == ["In Slurm's queue, or at work: 2 jobs. Cancel? Otherwise work goes on."]


@pytest.mark.parametrize(
    "given, told",
    [
        ({"place": SLOTS}, ""),
        ({"cells": []}, ""),
        ({"cells": CELLS[:1], "error": Interrupted}, "Left in the queue, or at work: 1 job."),
    ],
)
def test_nobody_is_asked_of_what_is_not_there_or_who_is_not(cancelled, monkeypatch, capsys, given, told):
    """As Slurm, which sends SIGTERM, is not."""
    monkeypatch.setattr(click, "confirm", abort)
    interrupted(**given)
    said = capsys.readouterr().err
    assert not cancelled and (said.startswith(told) if told else not said)


@pytest.mark.parametrize("failed, code", [({}, 0), ({Path("bad"): Failure("error", "sbatch says: no")}, 3)])
def test_what_is_left_in_the_queue_is_printed_and_who_was_refused_ends_with_3(capsys, failed, code):
    with pytest.raises(SystemExit) if code else nullcontext() as end:
        print_queued("x", Path("runs/studies/x/my 1f"), Outcome(left=CELLS, broken=failed), as_json=True)
    assert (end.value.code if end else 0) == code
    out, err = capsys.readouterr()
    assert json.loads(out) == {"folder": "runs/studies/x/my 1f", "queued": ["one", "two"], "failed": len(failed)}
    assert ("failed: bad: sbatch says: no\n" in err) == bool(failed) and "In Slurm's queue: 2 cells of x." in err
    assert "snnl runs cancel 'runs/studies/x/my 1f'" in err
