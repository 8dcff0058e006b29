"""Going on: from any whole checkpoint, and from a shorter run, without a bit of difference, in both loops."""

import errno
import gc
import math
import os
import shutil
import signal
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import torch

import classifiers._loop
import gans._loop
from lab import registry
from lab.cells.events import last
from lab.cells.folder import CellFolder
from lab.cells.work import work
from lab.errors import WorkbenchError
from lab.training import checkpoint, resume
from lab.training.snapshots import snapshots
from snnl_core import products
from tasks import train_classifier, train_gan


@dataclass
class Form:
    """A training of `steps` steps a unit of its length."""

    loop: ModuleType
    task: ModuleType
    values: dict
    steps: int

    def config(self, length, **changes):
        settings = {**self.values["settings"], **changes.pop("settings", {})}
        far = {"kimg": 0.64 * length} if self.task is train_gan else {"epochs": length}
        own = {"imageset": "digits", "precision": "float32", "device": "cpu", "settings": settings}
        return self.task.Config.parse({**self.values, **far, **own, **changes})


def gan(name, **settings):
    """Steps of 64 images; the generator is kept at 0, 1, 4, 9, ... of them."""
    settings = {"width": 2, "latent": 4, "batch": 64, **settings}
    return Form(gans._loop, train_gan, {"gan": name, "snapshot_kimg": 0.064, "settings": settings}, 10)


def classifier(name, settings, **values):
    """Steps of 128 of 1,167 images; 130 are validated on."""
    return Form(classifiers._loop, train_classifier, {"classifier": name, "settings": settings, **values}, 9)


SGD = {"optimizer": "sgd", "schedule": "cosine", "augmentation": "flip-shift"}
FORMS = {
    "dcgan": gan("dcgan"),
    "wgan-gp": gan("wgan-gp"),
    "spectral": gan("sngan"),
    "conditional": gan("dcgan", conditional=True),
    "no discriminator": gan("snnl-gan"),
    "plain": classifier("cnn", {"width": 2}),
    "entangled": classifier("cnn", {"width": 2}, alpha=-0.01),
    "learned": classifier("cnn", {"width": 2}, alpha=0.05, temperature="learn"),
    "sgd": classifier("cnn", {"width": 2, **SGD}),
    "norms": classifier("resnet", {"depth": 1}),
}


def cell(folder, form="dcgan", length=1, minutes=0, **changes):
    """A training that is yet to be done, which saves a checkpoint after every step by default."""
    local = {"data": str(folder), "download": False, "checkpoint_minutes": minutes}
    return CellFolder.create(FORMS[form].task.cell(FORMS[form].config(length, **changes), folder), folder, local)


def train(*arguments, **settings):
    made = cell(*arguments, **settings)
    work(made)
    return made


def stop_at(made, monkeypatch, stop, form="dcgan"):
    """Do a cell until so many steps are done."""
    step = FORMS[form].loop.train_step

    def stops(training):
        if training.step == stop:
            raise KeyboardInterrupt
        step(training)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(FORMS[form].loop, "train_step", stops)
        work(made)


def steps_of(made, monkeypatch, form="dcgan"):
    """Do a cell; the steps that it took."""
    taken, step = [], FORMS[form].loop.train_step
    with monkeypatch.context() as patch:
        patch.setattr(FORMS[form].loop, "train_step", lambda training: (taken.append(training.step), step(training)))
        work(made)
    return taken


def first_step_of(made, monkeypatch, form="dcgan"):
    """Do a cell until its first step, which is given."""
    taken = []

    def notes(training):
        taken.append(training.step)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(FORMS[form].loop, "train_step", notes)
        work(made)
    return taken[0]


def whole(made):
    """All that a training comes to."""
    last = checkpoint.newest_first(made.path / "checkpoints")[0]
    files = [*made.path.glob("snapshots/*"), *made.path.glob("samples/*")]
    return {
        "rows": made.rows(),
        "files": {path.name: path.read_bytes() for path in files},
        "checkpoint": checkpoint.read(last, made.key).files,
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A function that gives all that a training comes to which nothing disturbs; each is done once."""
    return cache(lambda *arguments: whole(train(tmp_path_factory.mktemp("alone"), *arguments)))


def warnings(made):
    return [line for line in (made.path / "events.jsonl").read_text().splitlines() if '"warning"' in line]


@pytest.mark.parametrize("form", FORMS)
def test_going_on_from_a_checkpoint_changes_no_bit(tmp_path, monkeypatch, undisturbed, form):
    """Rows that were lost since the checkpoint, and rows too many, make no difference."""
    alone, broken = undisturbed(form, 2, 99), cell(tmp_path / "broken", form, 2)
    stop_at(broken, monkeypatch, 5, form)
    broken.keep_rows(broken.rows()[:3])
    stop_at(broken, monkeypatch, 13, form)
    assert not broken.done
    broken.row(metric="from after the checkpoint", value=1.0, step=9)
    assert steps_of(broken, monkeypatch, form) == list(range(13, 2 * FORMS[form].steps))
    assert whole(broken) == alone


def test_temperatures_that_are_infinite_or_not_there_change_nothing(tmp_path, monkeypatch):
    """They are null in the rows, also in those that are taken over from a checkpoint."""
    step = classifiers._loop.train_step

    def odd(training):
        step(training)
        (curve,) = (curve for curve in training.losses[-1] if curve[0] == "temperature" and curve[1] == "conv1")
        training.losses[-1][curve] = torch.tensor([math.inf, math.nan, 0.1][training.step % 3])

    monkeypatch.setattr(classifiers._loop, "train_step", odd)
    alone, broken = train(tmp_path / "alone", "entangled", 2, 99), cell(tmp_path / "broken", "entangled", 2)
    stop_at(broken, monkeypatch, 13, "entangled")
    work(broken)
    assert whole(broken) == whole(alone)
    assert [row["value"] for row in alone.rows() if row["metric"] == "temperature"].count(None) > 3


@pytest.mark.parametrize("form", ["dcgan", "wgan-gp", "no discriminator", "learned", "norms"])
def test_a_step_leaves_no_garbage_in_cycles(tmp_path, monkeypatch, form):
    """For which a command seldom looks."""
    left, step = [], FORMS[form].loop.train_step

    def counted(training):
        gc.collect()
        step(training)
        left.append(gc.collect())

    made = cell(tmp_path, form, 1, 99)
    with monkeypatch.context() as patch:
        patch.setattr(FORMS[form].loop, "train_step", counted)
        stop_at(made, monkeypatch, 4, form)
    assert left[1:] == [0, 0, 0]


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("form", ["dcgan", "entangled"])
def test_a_signal_saves_the_step_at_hand_and_changes_no_bit(tmp_path, monkeypatch, undisturbed, form):
    alone, broken = undisturbed(form, 2, 99), cell(tmp_path / "broken", form, 2, 99)
    step = FORMS[form].loop.train_step
    for number, stop in ((signal.SIGINT, 3), (signal.SIGTERM, 11)):

        def sends(training, number=number, stop=stop):
            if training.step == stop:
                signal.raise_signal(number)
            step(training)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(FORMS[form].loop, "train_step", sends)
            work(broken)
        newest = checkpoint.newest_first(broken.path / "checkpoints")[0]
        assert checkpoint.step_of(newest) == last(broken.path, "stopped")["step"] == stop + 1
        assert not broken.done and not broken.failure
    assert steps_of(broken, monkeypatch, form) == list(range(12, 2 * FORMS[form].steps))
    assert whole(broken) == alone


@pytest.mark.parametrize("form", ["dcgan", "wgan-gp", "plain"])
def test_how_often_checkpoints_are_saved_changes_nothing(tmp_path, form):
    often, never = (train(tmp_path / str(minutes), form, minutes=minutes) for minutes in (0, 99))
    assert whole(often) == whole(never)
    assert len(checkpoint.newest_first(often.path / "checkpoints")) == 2
    assert len(checkpoint.newest_first(never.path / "checkpoints")) == 1


@pytest.mark.parametrize("form", ["dcgan", "wgan-gp", "plain", "learned"])
def test_a_longer_run_goes_on_from_a_shorter_one_and_equals_one_made_at_once(tmp_path, monkeypatch, form):
    monkeypatch.setattr("lab.training.frame.WINDOWS", 15)
    at_once, begun = train(tmp_path / "at once", form, 4, 99), []
    for length in (1, 2, 4):
        longer = cell(tmp_path / "longer", form, length, 99)
        begun.append(steps_of(longer, monkeypatch, form)[0])
    assert begun == [0, FORMS[form].steps, 2 * FORMS[form].steps]
    assert whole(longer) == whole(at_once)
    seen = [row["n"] for row in longer.rows() if "n" in row and row["split"] == "train"]
    assert max(seen) == 2, "its windows are not those of the shorter runs"


def test_a_shorter_run_that_was_stopped_will_do_and_so_will_its_checkpoint_before(tmp_path, monkeypatch):
    at_once, shorter = train(tmp_path / "at once", length=2), cell(tmp_path / "longer")
    stop_at(shorter, monkeypatch, 6)
    damage(shorter.path / "checkpoints" / "step-00000006")
    longer = cell(tmp_path / "longer", length=2)
    stop_at(longer, monkeypatch, 5)
    assert steps_of(longer, monkeypatch)[0] == 5, "nothing of its own was saved yet"
    assert whole(longer) == whole(at_once)
    assert not (longer.path / "snapshots" / "kimg-0000000.640-step-00000010.safetensors").exists()


COSINE = {"settings": {"schedule": "cosine"}}


@pytest.mark.parametrize(
    "form, shorter, longer",
    [
        ("dcgan", {"settings": {"learning_rate": 1e-3}}, {}),
        ("dcgan", {"gan": "wgan-gp"}, {}),
        ("dcgan", {"length": 3}, {}),
        ("dcgan", {"snapshot_kimg": 0.128}, {}),
        ("plain", {"settings": {"learning_rate": 0.1}}, {}),
        ("plain", {"alpha": 0.01}, {}),
        ("plain", {"validation": 0.2}, {}),
        ("plain", {"precision": "bf16"}, {}),
        ("plain", COSINE, COSINE),
    ],
    ids=[
        *("another recipe", "another GAN", "longer than this", "other generators kept", "another classifier's recipe"),
        *("another objective", "other images", "another precision", "its schedule depends on the length"),
    ],
)
def test_a_run_that_does_not_lead_to_this_one_is_not_gone_on_from(tmp_path, monkeypatch, form, shorter, longer):
    train(tmp_path, form, minutes=99, **shorter)
    assert first_step_of(cell(tmp_path, form, 2, **longer), monkeypatch, form) == 0


def test_a_recipe_that_depends_on_the_length_is_not_lengthened(tmp_path, monkeypatch):
    train(tmp_path)
    monkeypatch.setattr(registry.config_class("gans", "dcgan"), "DEPENDS_ON_LENGTH", True)
    assert first_step_of(cell(tmp_path, length=2), monkeypatch) == 0


def damage(path):
    file = path / "ema.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"!")


@pytest.mark.parametrize("form", ["no discriminator", "entangled"])
def test_it_goes_on_with_the_products_that_it_began_with(tmp_path, monkeypatch, form):
    """Though another library would be taken here by now; and what comes after it takes that."""
    made, taken, step = cell(tmp_path, form), set(), FORMS[form].loop.train_step
    monkeypatch.setenv(products.VARIABLE, "onednn")
    stop_at(made, monkeypatch, 2, form)
    monkeypatch.setenv(products.VARIABLE, "mkl")
    monkeypatch.setattr(FORMS[form].loop, "train_step", lambda training: (taken.add(products.way()), step(training)))
    work(made)
    assert taken == {"onednn"} == {made.environment["products"]}
    assert products.way() == "mkl"


@pytest.mark.parametrize("damaged, begun", [(1, 5), (2, 0)])
def test_a_damaged_checkpoint_is_told_of_and_the_one_before_is_taken(
    tmp_path, monkeypatch, undisturbed, capfd, damaged, begun
):
    alone, broken = undisturbed(), cell(tmp_path / "broken")
    stop_at(broken, monkeypatch, 6)
    for path in checkpoint.newest_first(broken.path / "checkpoints")[:damaged]:
        damage(path)
    assert steps_of(broken, monkeypatch) == list(range(begun, 10))
    assert whole(broken) == alone
    assert len(warnings(broken)) == damaged
    assert "step-00000006 is damaged: ema.safetensors is not what was saved. It is skipped." in capfd.readouterr().err


def test_a_checkpoint_of_another_config_is_told_of_and_not_taken(tmp_path, monkeypatch, undisturbed, capfd):
    alone, other = undisturbed(), train(tmp_path / "other", settings={"learning_rate": 1e-3})
    mine = cell(tmp_path / "mine")
    shutil.copytree(other.path / "checkpoints", mine.path / "checkpoints")
    (mine.path / "checkpoints" / "step-00000099").mkdir()
    assert steps_of(mine, monkeypatch)[0] == 0
    assert whole(mine) == alone
    said = capfd.readouterr().err
    assert "is the checkpoint of another cell" in said and "no checkpoint: it has no readable state.json" in said


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"damaged")], ids=["removed", "damaged"])
def test_a_generator_lost_since_is_made_again(tmp_path, monkeypatch, undisturbed, capfd, lose):
    alone, broken = undisturbed(), cell(tmp_path / "broken")
    stop_at(broken, monkeypatch, 4)
    lose(snapshots(broken.path, "generator")[-1].path)
    assert steps_of(broken, monkeypatch)[0] == 3
    assert whole(broken) == alone
    assert "step-00000004 is skipped" in capfd.readouterr().err


def test_a_training_that_was_begun_before_there_were_hashes_goes_on(tmp_path, monkeypatch, undisturbed):
    """What it had kept by then is taken as it is."""
    alone, broken = undisturbed(), cell(tmp_path / "broken")
    stop_at(broken, monkeypatch, 5)
    newest = checkpoint.read(checkpoint.newest_first(broken.path / "checkpoints")[0], broken.key)
    files = {name: data for name, data in newest.files.items() if name != resume.KEPT}
    checkpoint.save(broken.path / "checkpoints", newest.step, broken.key, newest.arithmetic, files)
    assert steps_of(broken, monkeypatch)[0] == 5
    assert whole(broken) == alone


def test_a_full_disk_ends_a_training_with_one_line_and_it_goes_on(tmp_path, monkeypatch, undisturbed):
    alone, broken, save = undisturbed(), cell(tmp_path / "broken"), checkpoint.save

    def full(folder, step, *rest):
        if step == 7:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(folder, step, *rest)

    with monkeypatch.context() as patch, pytest.raises(WorkbenchError, match=r"No room for .*same command goes on"):
        patch.setattr(checkpoint, "save", full)
        work(broken)
    assert "No room" in broken.failure.message
    assert steps_of(broken, monkeypatch) == [6, 7, 8, 9]
    assert whole(broken) == alone
