"""Going on: from a checkpoint, and from a shorter run, without a bit of difference."""

import pytest

import classifiers._loop as loop
from lab.cells.folder import CellFolder
from lab.training import checkpoint
from lab.training.compute import Compute
from tasks.evaluate_classifier import training_cell

FORMS = {
    "plain": {},
    "entangled": {"alpha": -0.01},
    "learned": {"alpha": 0.05, "temperature": "learn"},
    "sgd": {"settings": {"optimizer": "sgd", "schedule": "cosine", "augmentation": "flip-shift"}},
}


def cell(folder, epochs=2, minutes=0, name="cnn", settings=None, **objective):
    """A training of 9 steps (128 images each) an epoch, tested on 130 images."""
    work = training_cell(
        name, "digits", seed=0, epochs=epochs, compute=Compute(precision="float32", device="cpu"),
        settings={"width": 2, **(settings or {})} if name == "cnn" else settings, **objective,
    )  # fmt: skip
    return CellFolder.create(work, folder, {"data": str(folder), "download": False, "checkpoint_minutes": minutes})


def train(*arguments, **settings):
    made = cell(*arguments, **settings)
    made.work()
    return made


def stop_at(work, monkeypatch, stop):
    """Do a cell until so many steps are done."""
    step = loop.train_step

    def stops(training):
        if training.state.step == stop:
            raise KeyboardInterrupt
        step(training)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "train_step", stops)
        work.work()


def steps_of(work, monkeypatch):
    """Do a cell; the steps that it took."""
    taken, step = [], loop.train_step
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", lambda training: (taken.append(training.state.step), step(training)))
        work.work()
    return taken


def whole(folder):
    """All that a training comes to."""
    last = checkpoint.newest_first(folder.path / "checkpoints")[0]
    return {
        "rows": folder.rows(),
        "files": {path.name: path.read_bytes() for path in folder.path.glob("snapshots/*")},
        "checkpoint": checkpoint.read(last, folder.key).files,
    }


@pytest.mark.parametrize("form", FORMS)
def test_going_on_from_a_checkpoint_changes_no_bit(tmp_path, monkeypatch, form):
    alone, broken = (cell(tmp_path / place, snapshots=(1,), **FORMS[form]) for place in ("alone", "broken"))
    alone.work()
    stop_at(broken, monkeypatch, 5)
    broken.row(metric="from after the checkpoint", value=1.0, step=9)
    stop_at(broken, monkeypatch, 13)
    assert steps_of(broken, monkeypatch) == list(range(13, 18))
    assert whole(broken) == whole(alone)


def test_running_statistics_go_on_too(tmp_path, monkeypatch):
    settings = {"name": "resnet", "epochs": 1, "settings": {"depth": 1}, "validation": 0.6}
    alone, broken = train(tmp_path / "alone", **settings), cell(tmp_path / "broken", **settings)
    stop_at(broken, monkeypatch, 2)
    broken.work()
    assert whole(broken) == whole(alone)


def test_how_often_checkpoints_are_saved_changes_nothing(tmp_path):
    often, never = (train(tmp_path / name, minutes=minutes) for name, minutes in (("often", 0), ("never", 99)))
    assert whole(often) == whole(never)


@pytest.mark.parametrize("form", ["plain", "learned"])
def test_a_longer_run_goes_on_from_a_shorter_one_and_equals_one_made_at_once(tmp_path, monkeypatch, form):
    at_once = train(tmp_path / "at once", epochs=4, minutes=99, **FORMS[form])
    for epochs, begun in ((1, 0), (2, 9), (4, 18)):
        longer = cell(tmp_path / "longer", epochs=epochs, minutes=99, **FORMS[form])
        assert steps_of(longer, monkeypatch)[0] == begun
    assert whole(longer) == whole(at_once)


@pytest.mark.parametrize(
    "shorter",
    [{"settings": {"schedule": "cosine"}}, {"alpha": 0.01}, {"validation": 0.2}, {"settings": {"learning_rate": 0.1}}],
    ids=["its schedule depends on the length", "another objective", "other images", "another recipe"],
)
def test_a_run_that_does_not_lead_to_this_one_is_not_gone_on_from(tmp_path, monkeypatch, shorter):
    train(tmp_path, epochs=1, **shorter)
    longer = cell(tmp_path, **(shorter if "settings" in shorter and "schedule" in shorter["settings"] else {}))
    assert steps_of(longer, monkeypatch)[0] == 0
