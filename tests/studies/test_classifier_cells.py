"""The cells about classifiers: what decides them, what they refuse, and what evaluating finds."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import imagesets
from classifiers._snapshots import load_classifier, snapshots
from lab.cells.folder import CellFolder
from lab.errors import UsageError, WorkbenchError
from lab.training.compute import Compute
from lab.training.draws import carve
from tasks import evaluate_classifier as cells

LOCAL = {"data": "nowhere", "download": False}
CPU = Compute(precision="float32", device="cpu")
ALL = ["conv1", "conv2", "fc1", "fc2"]


def cell(name="cnn", images="digits", **settings):
    return cells.training_cell(name, images, **{"seed": 0, "epochs": 1, "compute": CPU, **settings})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A classifier that was trained for a second: its cell and its folder."""
    work = cell(settings={"width": 4, "batch": 64}, validation=0.2)
    folder = CellFolder.create(work, tmp_path_factory.mktemp("cells"), LOCAL)
    folder.work()
    return work, folder


def test_planning_needs_no_torch(python):
    code = (
        "import sys\nfrom lab.compute import Compute\nfrom studies._classifier_cells import *\n"
        "found = training_cell('torchvision', 'digits', seed=0, epochs=1, compute=Compute(device='cpu'), alpha=-0.1)\n"
        "evaluating_cell(found)\nassert 'torch' not in sys.modules\nprint(found.label, found.config['layers'])"
    )
    assert python(code) == "classifier-torchvision-digits-a-0.1-s0 None"


def test_without_alpha_all_objectives_are_one_baseline():
    base = cell()
    assert base.config["alpha"] == 0 and base.config["layers"] == [] and "temperature" not in base.config
    assert "snnl_core" not in base.parts
    for objective in ({"alpha": -0.0}, {"layers": ("fc1",)}, {"temperature": "learn"}, {"distance": "cosine"}):
        assert cell(**objective).key == base.key
    assert base.label == cell(alpha=-0.0).label == "classifier-cnn-digits-a0-s0"


def test_what_decides_the_result_decides_the_key():
    changes = [
        {}, {"layers": ("fc1",)}, {"temperature": "learn"}, {"temperature": 3}, {"distance": "cosine"}, {"seed": 1},
        {"epochs": 2}, {"validation": 0}, {"snapshots": (0,)}, {"settings": {"width": 8}}, {"alpha": 0.01},
    ]  # fmt: skip
    assert len({cell(**{"alpha": -0.01, **change}).key for change in changes}) == len(changes)


def test_one_thing_said_in_two_ways_is_one_cell():
    base = cell(alpha=-0.01)
    assert base.config["layers"] == ALL and base.config["temperature"] == "minimize"
    assert cell(alpha=-0.01, layers=[*reversed(ALL), "fc1"]).key == base.key
    assert cell(alpha=-0.01, snapshots=(1,)).key == base.key, "the last is always kept"
    assert cell(alpha=1, temperature=3).key == cell(alpha=1.0, temperature=3.0).key
    json.dumps(dict(base.config), allow_nan=False)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"alpha": float("nan")}, "alpha: a finite number is needed"),
        ({"alpha": float("-inf")}, "alpha: a finite number is needed"),
        ({"layers": ("fc3",)}, "hidden layer 'fc3'; did you mean 'fc2'"),
        ({"alpha": 1.0, "layers": ()}, "layers: at least 1"),
        ({"temperature": "warm"}, "minimize, learn or a number above 0 is needed .got 'warm'"),
        ({"temperature": 0.0}, "above 0 is needed .got 0"),
        ({"temperature": float("nan")}, "above 0 is needed .got nan"),
        ({"distance": "euclid"}, "distance 'euclid'"),
        ({"epochs": 0}, "epochs: at least 1"),
        ({"snapshots": (2,)}, "epoch 2 is not in 0 to 1"),
        ({"validation": 1.0}, "validation: a share in"),
        ({"validation": -0.1}, "validation: a share in"),
        ({"validation": float("nan")}, "validation: a share in"),
        ({"validation": 0.0003}, "validation: a share of 0.0003 of 1297 images keeps none apart"),
        ({"settings": {"batch": 1298}}, "1298 is more than the 1167 images"),
        ({"settings": {"batch": 63}, "compute": Compute(processes=2)}, "63 images cannot be shared by 2 processes"),
        ({"settings": {"colour": 1}}, "setting 'colour'"),
        ({"name": "cnm"}, "classifier 'cnm'; did you mean 'cnn'"),
        ({"images": "digit"}, "imageset 'digit'; did you mean 'digits'"),
    ],
)
def test_bad_input_is_refused_at_planning(settings, message):
    with pytest.raises(UsageError, match=message):
        cell(**settings)


def images_like(monkeypatch, **values):
    digits = imagesets.spec("digits")
    monkeypatch.setattr(imageset, "spec", lambda name, root=None: imagesets.Spec(**{**vars(digits), **values}))


def test_images_without_classes_or_test_split_are_refused(monkeypatch):
    training = cell()
    images_like(monkeypatch, splits=("train",), n={"train": 1297})
    with pytest.raises(UsageError, match="digits has no test split"):
        cells.evaluating_cell(training)
    images_like(monkeypatch, classes=())
    with pytest.raises(UsageError, match="needs images of at least 2 classes; these have no"):
        cell()


def test_only_splits_that_are_there_are_evaluated():
    with pytest.raises(UsageError, match="split 'tset'; did you mean 'test'"):
        cells.evaluating_cell(cell(), ("tset",))
    with pytest.raises(UsageError, match="No images were kept apart to validate on"):
        cells.evaluating_cell(cell(validation=0), ("validation",))


def test_evaluating_tells_what_the_last_weights_say_of_each_split(trained, tmp_path):
    work, folder = trained
    evaluated = CellFolder(cells.evaluating_folder(folder.path, ("test", "validation", "train"), LOCAL))
    evaluated.work()
    assert evaluated.record["key"] == cells.evaluating_cell(work, ("test", "validation", "train")).key
    network = load_classifier(snapshots(folder.path)[-1], folder.config)
    fit, held = carve(1297, 0.2, seed=0)
    for split, picked in {"test": torch.arange(500), "validation": held, "train": fit}.items():
        images = imagesets.load("digits", "test" if split == "test" else "train", root=tmp_path)
        with torch.no_grad():
            logits, labels = network(images.batch(picked))[0], images.labels[picked]
        rows = [row for row in evaluated.rows() if row["split"] == split]
        found = {row["metric"]: row["value"] for row in rows}
        assert found.keys() == {"accuracy", "nll", "ece"}
        assert found["accuracy"] == (logits.argmax(1) == labels).double().mean().item()
        assert found["nll"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-4)
        assert {(row["n"], row["kind"], row["setting"], row["step"]) for row in rows} == {
            (len(picked), "classifier", "alpha=0", 16)
        }


def test_a_broken_attempt_to_evaluate_is_not_counted_twice(trained, monkeypatch):
    folder = CellFolder(cells.evaluating_folder(trained[1].path, ("test", "train"), LOCAL))
    row, written = CellFolder.row, []

    def breaks(self, **fields):
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(fields)
        row(self, **fields)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CellFolder, "row", breaks)
        folder.work()
    folder.work()
    assert [row["metric"] for row in folder.rows()] == 2 * ["accuracy", "nll", "ece"]


def test_only_a_classifiers_folder_with_weights_is_evaluated(trained, tmp_path):
    evaluating = CellFolder.create(cells.evaluating_cell(trained[0]), tmp_path, LOCAL)
    with pytest.raises(UsageError, match="is not the folder of a classifier in training"):
        cells.evaluating_folder(evaluating.path, ("test",), LOCAL)
    untrained = CellFolder.create(cell(seed=5), tmp_path, LOCAL)
    with pytest.raises(WorkbenchError, match="holds no classifier: train it first"):
        cells.evaluating_folder(untrained.path, ("test",), LOCAL)
    with pytest.raises(UsageError, match="splits: at least 1"):
        cells.evaluating_folder(trained[1].path, (), LOCAL)


def test_another_image_set_must_be_of_such_images_and_as_many_classes(trained, monkeypatch, tmp_path):
    work, folder = trained
    assert cells.evaluating_cell(work, images="digits").key == cells.evaluating_cell(work).key
    with pytest.raises(UsageError, match="takes grey images of 16 x 16; cifar10 has colour images of 32 x 32"):
        cells.evaluating_cell(work, images="cifar10")
    digits = imagesets.spec("digits")
    other = imagesets.Spec(**{**vars(digits), "classes": digits.classes[:5]})
    spec = imagesets.spec
    monkeypatch.setattr(imageset, "spec", lambda name, root=None: other if name == "mnist" else spec(name))
    with pytest.raises(UsageError, match="tells 10 classes apart; mnist has 5"):
        cells.evaluating_cell(work, images="mnist")
    other = digits
    with pytest.raises(UsageError, match="Of mnist, which it was not trained on, only the test split"):
        cells.evaluating_cell(work, ("test", "train"), images="mnist")
    load, read = imagesets.load, []
    monkeypatch.setattr(
        imageset, "load", lambda name, split, **k: (read.append((name, split)), load("digits", split, **k))[1]
    )
    evaluated = CellFolder(cells.evaluating_folder(folder.path, ("test",), LOCAL, "mnist"))
    evaluated.work()
    assert read == [("mnist", "test")] and {row["imageset"] for row in evaluated.rows()} == {"mnist"}


def test_images_of_ones_own_are_decoded_to_what_the_network_takes(trained, tmp_path):
    for label in range(10):
        (tmp_path / "photos" / "test" / str(label)).mkdir(parents=True)
        (tmp_path / "photos" / "train" / str(label)).mkdir(parents=True)
        for split in ("test", "train"):
            for i in range(2):
                pixels = np.random.default_rng(i).integers(0, 256, (40, 40, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / "photos" / split / str(label) / f"{i}.png")
    local = {"data": str(tmp_path / "data"), "download": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNNL_DATA", local["data"])
        source = f"folder:{tmp_path / 'photos'}"
        evaluated = CellFolder(cells.evaluating_folder(trained[1].path, ("test",), local, source))
        evaluated.work()
    assert {row["n"] for row in evaluated.rows()} == {20}
    assert evaluated.config["spec"]["channels"] == 1 and evaluated.config["spec"]["size"] == 16
