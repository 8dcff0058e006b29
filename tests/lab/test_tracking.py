"""Trackers are told what the rows say, each step once, and write below the cell's folder."""

import os
from pathlib import Path

import forks
import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS
from accelerate.utils import LoggerType

import gans._loop as loop
from lab.cells import layout
from lab.cells.folder import CellFolder
from lab.cells.work import work as do
from lab.errors import UsageError
from lab.training import checkpoint, tracking
from tasks import train_gan

KIMG = 0.64


def cell(folder, *trackers, processes=1):
    settings = {"gan": "dcgan", "settings": {"width": 4, "latent": 8, "batch": 64}, "kimg": KIMG}
    config = train_gan.Config.parse({**settings, "snapshots": (0, KIMG), "device": "cpu", "processes": processes})
    local = {
        "data": str(folder),
        "download": False,
        "checkpoint_minutes": 0,
        **({"trackers": list(trackers)} if trackers else {}),
    }
    return CellFolder.create(train_gan.cell(config, folder), folder, local)


def told(folder):
    """(metric, step, value) of every event that TensorBoard shows."""
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = event_accumulator.EventAccumulator(str(folder.path / "trackers" / "snnl"))
    events.Reload()
    return sorted((tag, e.step, e.value) for tag in events.Tags()["scalars"] for e in events.Scalars(tag))


def rows(folder):
    return sorted((row["metric"], row["step"], row["value"]) for row in folder.rows() if row["step"])


def same(one, other):
    assert [event[:2] for event in one] == [event[:2] for event in other]
    assert [event[2] for event in one] == pytest.approx([event[2] for event in other], rel=1e-6)


def test_tensorboard_is_told_what_the_rows_say_and_results_are_the_same(tmp_path):
    pytest.importorskip("tensorboard")
    with_it, without = cell(tmp_path / "a", "tensorboard"), cell(tmp_path / "b")
    assert with_it.path.name == without.path.name
    do(with_it)
    do(without)
    assert len(told(with_it)) == 4 * 10
    same(told(with_it), rows(with_it))
    assert with_it.rows() == without.rows()
    assert not (without.path / "trackers").exists()


def test_after_going_on_each_step_is_there_once(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    work = cell(tmp_path, "tensorboard")
    step, save = loop.train_step, checkpoint.save

    def breaks_off(training):
        if training.state.step == 7:
            raise KeyboardInterrupt
        step(training)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", lambda to, at, *rest: save(to, at, *rest) if at == 4 else None)
        patch.setattr(loop, "train_step", breaks_off)
        with pytest.raises(KeyboardInterrupt):
            do(work)
    assert max(event[1] for event in told(work)) == 7
    do(work)
    assert len(list((work.path / "trackers" / "snnl").iterdir())) == 2
    same(told(work), rows(work))
    assert {event[1] for event in told(work)} == set(range(1, 11))


def test_a_tracker_that_comes_later_is_told_the_steps_before(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    step = loop.train_step

    def breaks_off(training):
        if training.state.step == 5:
            raise KeyboardInterrupt
        step(training)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", breaks_off)
        with pytest.raises(KeyboardInterrupt):
            do(cell(tmp_path))
    work = cell(tmp_path, "tensorboard")
    do(work)
    same(told(work), rows(work))


def work_together(path):
    """Do a cell, as one of several processes."""
    do(CellFolder(path))


def test_the_first_of_several_processes_alone_tells(tmp_path):
    pytest.importorskip("tensorboard")
    work = cell(tmp_path, "tensorboard", processes=2)
    forks.together(__file__, "work_together", 2, work.path)
    assert len(list((work.path / "trackers" / "snnl").iterdir())) == 1
    same(told(work), rows(work))


def test_trackers_know_their_cell_and_stay_offline_unless_told_otherwise(tmp_path, monkeypatch):
    """W&B's part is played by a class that notes what it is given."""
    seen = {}

    class Notes(LOGGER_TYPE_TO_CLASS["wandb"]):
        def start(self):
            seen["made with"], seen["mode"] = self.init_kwargs, os.environ["WANDB_MODE"]
            seen["cache"] = os.environ["WANDB_CACHE_DIR"]

        def log(self, values, step=None, **kwargs):
            seen.setdefault("steps", []).append(step)

        def finish(self):
            seen["finished"] = True

    monkeypatch.setattr("accelerate.tracking._available_trackers", [LoggerType.WANDB])
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "wandb", Notes)
    monkeypatch.setattr(tracking, "find_spec", lambda name: name)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    work = cell(tmp_path / "a", "wandb")
    do(work)
    trackers = str(work.path / "trackers")
    monkeypatch.chdir(tmp_path)
    assert str(tracking._folder(CellFolder(Path("a") / work.path.name))) == trackers, "wherever work goes on"
    assert seen["mode"] == "offline" and seen["cache"].startswith(trackers)
    assert seen["made with"] == {
        "dir": trackers,
        "id": work.record["key"],
        "name": "gan-dcgan-digits-s0",
        "resume": "allow",
    }
    assert seen["steps"] == list(range(1, 11)) and seen["finished"]
    assert not {"WANDB_MODE", "WANDB_CACHE_DIR"} & set(os.environ)

    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(loop, "train_step", lambda training: 1 / 0)
    seen.clear()
    with pytest.raises(Exception, match="ZeroDivisionError"):
        do(cell(tmp_path / "b", "wandb"))
    assert seen["mode"] == "online" and seen["finished"] and os.environ["WANDB_MODE"] == "online"


def test_trackers_write_where_links_are_not_looked_for(tmp_path, monkeypatch):
    """Some link there; elsewhere in a cell's folder links are refused."""
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(layout, "TRACKERS", "theirs")
    work = cell(tmp_path, "tensorboard")
    assert tracking.accelerator_settings(work)["project_dir"] == str(work.path / "theirs")
    (work.path / "theirs").mkdir()
    (work.path / "theirs" / "latest").symlink_to(tmp_path)
    layout.check_plain(work.path)


def test_only_known_and_installed_trackers_are_taken(monkeypatch):
    assert set(tracking.TRACKERS) <= set(LOGGER_TYPE_TO_CLASS)
    with pytest.raises(UsageError, match="did you mean 'tensorboard'"):
        tracking.check_trackers(["tensorbord"])
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'snnl-workbench\[tensorboard\]'"):
        tracking.check_trackers(["tensorboard"])
    with pytest.raises(UsageError, match=r"needs its package: pip install mlflow\.$"):
        tracking.check_trackers(["mlflow"])


def test_a_missing_package_stops_a_cell_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="tensorboard"):
        do(cell(tmp_path, "tensorboard"))
