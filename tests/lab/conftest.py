"""What tests of cells and of reports use."""

import math
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from slurm_queue import Queue

import tasks
from lab.cells.failure import failure_of
from lab.cells.work import work
from lab.errors import WorkbenchError
from lab.reporting.pictures import png
from lab.reporting.plots import new_figure
from lab.reporting.report import Figure, Gallery, GalleryRow, Picture, Report, Section
from lab.reporting.statistics import Estimate
from lab.reporting.tables import Column, Table
from lab.reporting.verdicts import Claim, judge
from lab.running import schedule, slurm
from lab.running.executors import slurm as executor
from lab.running.schedule import Outcome

FAKES = Path(__file__).parent / "fakes"
HOSTILE = "<script>alert('x')</script> \"quoted\" & {{ 7 * 7 }} $\\no$"


@pytest.fixture
def importable(monkeypatch):
    """This process and those that it starts find the tasks in `fakes/tasks`."""
    monkeypatch.syspath_prepend(str(FAKES))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(FAKES / "tasks")])


@pytest.fixture
def in_this_process(monkeypatch):
    """Cells are done here, without workers, which take a while to start."""

    def do(folders, *others, **more):
        outcome = Outcome()
        for folder in folders:
            try:
                work(folder)
                outcome.done.append(folder.path)
            except WorkbenchError as error:
                outcome.broken[folder.path] = failure_of(error)
        return outcome

    monkeypatch.setattr(schedule, "do", do)


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


@pytest.fixture(scope="session")
def hostile():
    """A name that is code in HTML, in a template and in a figure."""
    return HOSTILE


@pytest.fixture(scope="session")
def make_report():
    """A function that makes a report, its verdicts and what is missing."""
    return make


@pytest.fixture
def report():
    """A report, its verdicts, and what is missing."""
    return make()


def make():
    figure = new_figure(3, 2)
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], label=HOSTILE)
    axis.set_title(HOSTILE)
    claim = Claim(HOSTILE, HOSTILE, 0.1, "exceeds", lambda table: None)
    table = Table("table", HOSTILE, [Column(HOSTILE), Column("x", "lower")], [[HOSTILE, Estimate(1.0, 0.5, 1.5, 3)]])
    effects = (Estimate(1.0, 0.5, 1.5, 3), None, Estimate(1, math.nan, math.nan, 1))
    report = Report(
        HOSTILE,
        HOSTILE,
        [
            Section(HOSTILE, HOSTILE, [Figure("figure", HOSTILE, figure, pd.DataFrame({"a": [1]})), table]),
            Section(
                "Pictures",
                "",
                [
                    Gallery(
                        HOSTILE,
                        [GalleryRow(HOSTILE, [Picture(HOSTILE, png(np.zeros((1, 4, 4), np.uint8)), [HOSTILE])])],
                    )
                ],
            ),
        ],
    )
    return report, [judge(claim, effect) for effect in effects], [HOSTILE]
