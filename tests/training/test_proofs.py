"""Weights and artifacts that are not what a cell kept are refused by whoever reads them; older cells are accepted."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from making import LOCAL, do, made
from safetensors.torch import load_file, save_file

from gans._trained import open_gan
from lab.cells import layout
from lab.cells.export import export
from lab.cells.folder import CellFolder
from lab.cells.kept import PNG
from lab.cells.proofs import check_artifacts, known_hashes
from lab.cells.record import recorded_cell
from lab.cells.work import work
from lab.errors import WorkbenchError
from lab.files import write_arrays
from lab.hashing import file_hash
from tasks import evaluate_classifier, measure_gan, train_classifier, train_gan

HERE = {"data": "nowhere", "download": False}  # the digits come with scikit-learn
HOW = {"imageset": "digits", "precision": "float32", "device": "cpu"}
GAN = {"gan": "dcgan", "settings": {"width": 2, "latent": 4, "batch": 50}, "kimg": 0.1, "snapshots": (0, 0.05, 0.1)}
CLASSIFIER = {"classifier": "cnn", "settings": {"width": 2, "batch": 512}, "epochs": 1, "snapshots": (0,)}
READERS = {
    "gan": (train_gan, GAN, lambda training: measure_gan.cell(training, 20)),
    "classifier": (train_classifier, CLASSIFIER, lambda training: evaluate_classifier.cell(training, Path("nowhere"))),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a finished training of each kind, and its path."""
    found = {}
    for kind, (task, settings, _) in READERS.items():
        place = tmp_path_factory.mktemp(kind)
        folder = CellFolder.create(task.cell(task.Config.parse({**settings, **HOW}), place), place, HERE)
        work(folder)
        found[kind] = folder.path
    return found


@pytest.fixture(params=READERS)
def training(request, finished, tmp_path):
    """A copy of a finished training, and the cell that reads it."""
    path = shutil.copytree(finished[request.param], tmp_path / finished[request.param].name)
    task, _, reader = READERS[request.param]
    return path, CellFolder.create(reader(recorded_cell(path, task.Config)), tmp_path, HERE)


def weights(path):
    return sorted(path.glob("snapshots/*"))


def flip(file):
    data = bytearray(file.read_bytes())
    data[-40:] = bytes(byte ^ 255 for byte in data[-40:])
    file.write_bytes(data)


def swap(path):
    first, *_, last = weights(path)
    kept = first.read_bytes()
    first.write_bytes(last.read_bytes())
    last.write_bytes(kept)


def edit(path, **changes):
    """Change the mark of a cell's end, or take entries out of it."""
    end = json.loads((path / "DONE").read_text()) | changes
    (path / "DONE").write_text(json.dumps({name: value for name, value in end.items() if value is not None}))


def diverge(path, number=float("nan")):
    """As where the last step of a training made weights that are not finite, which its loss did not tell."""
    last = weights(path)[-1]
    state = load_file(last)
    state[next(reversed(state))].view(-1)[0] = number
    save_file(state, last)
    edit(path, files=known_hashes(path) | {f"snapshots/{last.name}": file_hash(last)})


DAMAGES = {
    "flipped": (lambda path: flip(weights(path)[-1]), "is not what the cell kept: remove the cell's folder"),
    "swapped": (swap, "is not what the cell kept"),
    "of another run": (lambda path: save_file({}, weights(path)[-1]), "is not what the cell kept"),
    "missing": (lambda path: weights(path)[0].unlink(), r"lacks snapshots/.*: remove the cell's folder"),
    "not a number": (diverge, r"holds weights that are not finite \(.*\): the training has diverged"),
    "infinite": (lambda path: diverge(path, float("inf")), "holds weights that are not finite"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_weights_that_are_not_what_was_kept_are_not_measured(training, damage):
    (path, reader), (break_it, words) = training, DAMAGES[damage]
    break_it(path)
    with pytest.raises(WorkbenchError, match=words) as refused:
        work(reader)
    assert not reader.done and "\n" not in str(refused.value)
    if "gan" in path.name:
        with pytest.raises(WorkbenchError, match=words):
            open_gan(path, kimg=0 if damage == "swapped" else None)


def test_a_training_that_was_finished_before_there_were_hashes_is_read(training):
    """Its weights have to be finite all the same."""
    path, reader = training
    edit(path, files=None)
    work(reader)
    assert reader.done
    diverge(path)
    edit(path, files=None)
    (reader.path / "DONE").unlink()
    with pytest.raises(WorkbenchError, match="not finite"):
        work(reader)


def test_what_lies_beside_the_weights_is_not_read(training):
    path, reader = training
    shutil.copy(weights(path)[0], path / "snapshots" / "kimg-0000009.000-step-00000900.safetensors")
    work(reader)
    assert 900 not in {row["step"] for row in reader.rows()}


def test_a_mark_that_makes_no_sense_is_damaged(training):
    path, reader = training
    edit(path, files=["snapshots"])
    with pytest.raises(WorkbenchError, match=r"is damaged \(DONE\): remove it"):
        work(reader)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A finished cell with arrays, a picture and weights."""

    def keeps(folder):
        write_arrays(folder.path / "embedding.npz", {"x": torch.arange(3).numpy()})
        begin, end = PNG
        for place, name in ((layout.SAMPLES, "grid.png"), (layout.SNAPSHOTS, "last.safetensors")):
            (folder.path / place).mkdir()
            (folder.path / place / name).write_bytes(begin + b"kept" * 20 + end)

    folder = CellFolder.create(made("embed", "kept"), tmp_path / "runs" / "cells", LOCAL)
    do(folder, monkeypatch, keeps)
    return folder.path


@pytest.mark.parametrize("name", ["embedding.npz", "samples/grid.png"])
@pytest.mark.parametrize("how", [flip, Path.unlink])
def test_artifacts_that_are_not_what_was_kept_are_neither_drawn_nor_exported(tmp_path, kept, name, how):
    check_artifacts(kept)
    assert check_artifacts(export(kept, tmp_path / "results")) is None, "weights stay at home"
    shutil.rmtree(tmp_path / "results")
    how(kept / name)
    words = f"{name} is not what the cell kept" if how is flip else f"lacks {name}: remove"
    for reading in (check_artifacts, lambda cell: export(cell, tmp_path / "results")):
        with pytest.raises(WorkbenchError, match=words):
            reading(kept)
    edit(kept, files=None)
    check_artifacts(kept)


def test_published_cells_are_what_they_were():
    for cell in layout.cells(layout.PUBLISHED).iterdir():
        check_artifacts(cell)
