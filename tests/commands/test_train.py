"""What the options of a training become: the settings of a cell, and where it is done."""

import os
from pathlib import Path

import pytest

from commands import _train, classifier, gan
from lab.errors import UsageError


@pytest.fixture
def cell(monkeypatch, tmp_path):
    """A function that gives the cell of a command line, its folder of runs and what its folder would say beside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SNNL_DATA", raising=False)
    monkeypatch.setattr(_train, "do_cell", lambda cell, runs, local, place, wait: (cell, runs, local))
    monkeypatch.setattr(_train, "print_cell", lambda planned, *_: seen.append(planned))
    seen = []

    def of(group, line):
        before = dict(os.environ)
        group.command(["train", *line.split()], standalone_mode=False)
        assert dict(os.environ) == before
        return seen.pop()

    return of


def test_a_gan_gets_what_was_given_and_else_its_defaults(cell):
    made, runs, local = cell(gan, "dcgan --kimg 3 --snapshot-kimg 2 --width 4 --batch 50 --precision float32 --seed 7")
    assert made.task == "train-gan" and runs == Path("runs")
    given = {"kimg": 3.0, "snapshot_kimg": 2.0, "precision": "float32", "seed": 7}
    assert made.config.changed() == {**given, "gan": "dcgan", "settings": {"width": 4, "batch": 50}}
    assert made.config.kept_at == (0.0, 2.0, 3.0)
    assert local == {"data": str(Path("data").resolve()), "download": True, "checkpoint_minutes": 5.0}


def test_what_was_given_as_it_is_anyway_makes_no_other_cell(cell):
    plain, *_ = cell(gan, "dcgan")
    given, *_ = cell(gan, "dcgan --kimg 100 --latent 100 --imageset digits --no-compile --processes 1")
    assert plain.key == given.key and plain.folder_name == given.folder_name


@pytest.mark.parametrize("snapshots", ["--snapshot 3 --snapshot 5", "--snapshots 5,3", "--snapshots 3 --snapshot 5"])
def test_a_classifier_gets_what_was_given(cell, snapshots):
    line = f"cnn --alpha -0.01 --snnl-layers fc1,conv2 --temperature 0.5 --distance cosine {snapshots} --optimizer sgd"
    config = cell(classifier, line)[0].config
    assert config.snapshots == (3, 5) and config.snnl_layers == ("conv2", "fc1")
    assert (config.alpha, config.temperature, config.distance) == (-0.01, 0.5, "cosine")
    assert config.settings.changed() == {"optimizer": "sgd"}


def test_what_is_said_beside_is_no_part_of_the_cell(cell):
    one, runs, local = cell(gan, "dcgan --data there --no-download --checkpoint-minutes 0 --runs here")
    assert runs == Path("here") and local["data"] == str(Path("there").resolve())
    assert not local["download"] and local["checkpoint_minutes"] == 0
    assert one.key == cell(gan, "dcgan")[0].key


def test_data_are_where_the_variable_says(cell, monkeypatch):
    monkeypatch.setenv("SNNL_DATA", "elsewhere")
    assert cell(gan, "dcgan")[2]["data"] == str(Path("elsewhere").resolve())
    assert cell(gan, "dcgan --data there")[2]["data"] == str(Path("there").resolve())


@pytest.mark.parametrize(
    "line, words", [("dcgan --beta1 1", "beta1"), ("dcgan --kimg -1", "kimg"), ("dcgan --size 32", "--size 32 is for")]
)
def test_what_is_impossible_is_refused_before_a_cell_is_made(cell, line, words):
    with pytest.raises(UsageError, match=words):
        cell(gan, line)
