"""Going on: from any whole checkpoint, and from a shorter run, without a bit of difference."""

import errno
import os
import shutil

import pytest

import gans._loop as loop
from gans import dcgan
from gans._snapshots import snapshots
from lab.cells.folder import CellFolder
from lab.errors import WorkbenchError
from lab.training import checkpoint
from lab.training.compute import Compute
from tasks.measure_gan import growing_schedule, training_cell

GANS = ("dcgan", "wgan-gp")


def cell(folder, gan="dcgan", kimg=0.64, minutes=0, first=0.064, **settings):
    """A training of 10 steps (64 images each) by default, whose generator is kept at 0, 1, 4, 9, ... steps."""
    work = training_cell(
        gan, "digits", seed=0, kimg=kimg, snapshots=growing_schedule(kimg, first),
        compute=Compute(precision="float32", device="cpu"),
        settings={"width": 2, "latent": 4, "batch": 64, **settings},
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
    """Do a cell; the step that it began at, and how many it took."""
    taken, step = [], loop.train_step
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", lambda training: (taken.append(training.state.step), step(training)))
        work.work()
    return taken


def whole(folder):
    """All that a training comes to."""
    last = checkpoint.newest_first(folder.path / "checkpoints")[0]
    files = [*folder.path.glob("snapshots/*"), *folder.path.glob("samples/*")]
    return {
        "rows": folder.rows(),
        "files": {path.name: path.read_bytes() for path in files},
        "checkpoint": checkpoint.read(last, folder.key).files,
    }


def warnings(folder):
    lines = (folder.path / "events.jsonl").read_text().splitlines()
    return [line for line in lines if '"warning"' in line]


@pytest.mark.parametrize("gan", GANS)
def test_how_often_checkpoints_are_saved_changes_nothing(tmp_path, gan):
    often, never = (train(tmp_path / name, gan, minutes=minutes) for name, minutes in (("often", 0), ("never", 99)))
    assert whole(often) == whole(never)
    assert len(checkpoint.newest_first(often.path / "checkpoints")) == 2
    assert len(checkpoint.newest_first(never.path / "checkpoints")) == 1


@pytest.mark.parametrize("gan", GANS)
def test_rows_lost_since_the_checkpoint_and_rows_too_many_make_no_difference(tmp_path, monkeypatch, gan):
    alone, broken = train(tmp_path / "alone", gan), cell(tmp_path / "broken", gan)
    stop_at(broken, monkeypatch, 6)
    broken.keep_rows(broken.rows()[:3])
    stop_at(broken, monkeypatch, 8)
    broken.row(metric="from after the checkpoint", value=1.0, step=9)
    broken.work()
    assert whole(broken) == whole(alone)


def damage(path):
    file = path / "ema.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"!")


@pytest.mark.parametrize("damaged, begun", [(1, 5), (2, 0)])
def test_a_damaged_checkpoint_is_told_of_and_the_one_before_is_taken(tmp_path, monkeypatch, capfd, damaged, begun):
    alone, broken = train(tmp_path / "alone"), cell(tmp_path / "broken")
    stop_at(broken, monkeypatch, 6)
    for path in checkpoint.newest_first(broken.path / "checkpoints")[:damaged]:
        damage(path)
    assert steps_of(broken, monkeypatch) == list(range(begun, 10))
    assert whole(broken) == whole(alone)
    assert len(warnings(broken)) == damaged
    assert "step-00000006 is damaged: ema.safetensors is not what was saved. It is skipped." in capfd.readouterr().err


def test_a_checkpoint_of_another_config_is_told_of_and_not_taken(tmp_path, monkeypatch, capfd):
    alone, other = train(tmp_path / "alone"), train(tmp_path / "other", learning_rate=1e-3)
    mine = cell(tmp_path / "mine")
    shutil.copytree(other.path / "checkpoints", mine.path / "checkpoints")
    (mine.path / "checkpoints" / "step-00000099").mkdir()
    assert steps_of(mine, monkeypatch)[0] == 0
    assert whole(mine) == whole(alone)
    said = capfd.readouterr().err
    assert "is the checkpoint of another cell" in said and "no checkpoint: it has no readable state.json" in said


def test_a_generator_removed_since_is_made_again(tmp_path, monkeypatch, capfd):
    alone, broken = train(tmp_path / "alone"), cell(tmp_path / "broken")
    stop_at(broken, monkeypatch, 4)
    snapshots(broken.path)[-1].path.unlink()
    assert steps_of(broken, monkeypatch)[0] == 3
    assert whole(broken) == whole(alone)
    assert "step-00000004 is skipped" in capfd.readouterr().err


def test_a_full_disk_ends_a_training_with_one_line_and_it_goes_on(tmp_path, monkeypatch):
    alone, broken, save = train(tmp_path / "alone"), cell(tmp_path / "broken"), checkpoint.save

    def full(folder, step, *rest):
        if step == 7:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(folder, step, *rest)

    with monkeypatch.context() as patch, pytest.raises(WorkbenchError, match=r"No room for .*same command goes on"):
        patch.setattr(checkpoint, "save", full)
        broken.work()
    assert "No room" in broken.failure
    assert steps_of(broken, monkeypatch) == [6, 7, 8, 9]
    assert whole(broken) == whole(alone)


@pytest.mark.parametrize("gan", GANS)
def test_a_longer_run_goes_on_from_a_shorter_one_and_equals_one_made_at_once(tmp_path, monkeypatch, gan):
    settings = {"minutes": 99, "first": 0.016, "batch": 16}
    at_once = train(tmp_path / "at once", gan, kimg=3.2, **settings)
    for kimg, begun in ((0.16, 0), (0.32, 10), (3.2, 20)):
        longer = cell(tmp_path / "longer", gan, kimg=kimg, **settings)
        assert steps_of(longer, monkeypatch)[0] == begun
    assert whole(longer) == whole(at_once)
    assert max(row["n"] for row in longer.rows() if "n" in row) == 2, "its windows are not those of the shorter runs"


def test_a_shorter_run_that_was_stopped_will_do_and_so_will_its_checkpoint_before(tmp_path, monkeypatch):
    at_once, shorter = train(tmp_path / "at once", kimg=1.28), cell(tmp_path / "longer")
    stop_at(shorter, monkeypatch, 6)
    damage(shorter.path / "checkpoints" / "step-00000006")
    longer = cell(tmp_path / "longer", kimg=1.28)
    stop_at(longer, monkeypatch, 5)
    assert steps_of(longer, monkeypatch)[0] == 5, "nothing of its own was saved yet"
    assert whole(longer) == whole(at_once)
    assert not (longer.path / "snapshots" / "kimg-0000000.640-step-00000010.safetensors").exists()


@pytest.mark.parametrize(
    "other",
    [
        {"learning_rate": 1e-3},
        {"gan": "wgan-gp"},
        {"kimg": 1.92},
        {"first": 0.128},
    ],
    ids=["another recipe", "another GAN", "longer than this", "other generators kept"],
)
def test_a_run_that_does_not_lead_to_this_one_is_not_gone_on_from(tmp_path, monkeypatch, other):
    train(tmp_path, **other)
    assert steps_of(cell(tmp_path, kimg=1.28), monkeypatch)[0] == 0


def test_a_recipe_that_depends_on_the_length_is_not_lengthened(tmp_path, monkeypatch):
    train(tmp_path)
    monkeypatch.setattr(dcgan, "DEPENDS_ON_LENGTH", True, raising=False)
    assert steps_of(cell(tmp_path, kimg=1.28), monkeypatch)[0] == 0
