"""The cells about classifiers: what decides them, what they refuse, and what evaluating finds."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import imagesets
from classifiers._snapshots import load_classifier
from imagesets import Spec, digits, mnist
from lab.cells.folder import CellFolder
from lab.cells.work import work
from lab.errors import UsageError, WorkbenchError
from lab.training.draws import carve
from lab.training.snapshots import snapshots
from tasks import evaluate_classifier, train_classifier

LOCAL = {"data": "nowhere", "download": False}
ALL = ("test", "validation", "train")


def training(data, name="cnn", **settings):
    given = {"classifier": name, "epochs": 1, "precision": "float32", "device": "cpu", **settings}
    return train_classifier.cell(train_classifier.Config.parse(given), data)


@pytest.fixture
def cell(tmp_path):
    """A function that plans a training on digits."""
    return lambda name="cnn", **settings: training(tmp_path, name, **settings)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A classifier that was trained for a second: its cell and its folder."""
    place = tmp_path_factory.mktemp("cells")
    planned = training(place, settings={"width": 4, "batch": 64}, validation=0.2, seed=3)
    folder = CellFolder.create(planned, place, LOCAL)
    work(folder)
    return planned, folder


def evaluating(trained, splits=("test",), images=None, data=None):
    """The folder of a cell that evaluates the trained classifier."""
    planned, folder = trained
    data = data or folder.path.parent
    found = evaluate_classifier.cell(planned, data, splits, images)
    return CellFolder.create(found, folder.path.parent, {**LOCAL, "data": str(data)})


def test_planning_needs_no_torch(python):
    code = (
        "import sys\nfrom pathlib import Path\nfrom tasks import evaluate_classifier, train_classifier\n"
        "config = train_classifier.Config.parse({'classifier': 'torchvision', 'alpha': -0.1})\n"
        "found = train_classifier.cell(config, Path('nowhere'))\n"
        "evaluate_classifier.cell(found, Path('nowhere'))\n"
        "assert 'torch' not in sys.modules\nprint(found.label, found.config.snnl_layers)"
    )
    assert python(code) == "classifier-torchvision-digits-a-0.1-s0 None"


def test_without_alpha_all_objectives_are_one_baseline(cell):
    base = cell()
    assert base.config.alpha == 0 and base.config.snnl_layers is None
    assert "snnl_core" not in base.versions and "snnl_core" in cell(alpha=-0.01).versions
    for objective in ({"alpha": -0.0}, {"snnl_layers": ("fc1",)}, {"temperature": "learn"}, {"distance": "cosine"}):
        assert cell(**objective).key == base.key
    assert base.label == cell(alpha=-0.0).label == "classifier-cnn-digits-a0-s0"


def test_what_decides_the_result_decides_the_key(cell):
    losses = [{}, {"snnl_layers": ("fc1",)}, {"temperature": "learn"}, {"temperature": 3}, {"distance": "cosine"}]
    others = [{"seed": 1}, {"epochs": 2}, {"validation": 0}, {"snapshots": (0,)}, {"settings": {"width": 8}}]
    changes = [*losses, *others, {"alpha": 0.01}]
    assert len({cell(**{"alpha": -0.01, **change}).key for change in changes}) == len(changes)


def test_one_thing_said_in_two_ways_is_one_cell(cell):
    base, known = cell(alpha=-0.01), ["conv1", "conv2", "fc1", "fc2"]
    assert base.config.temperature == "minimize"
    assert cell(alpha=-0.01, snnl_layers=[*reversed(known), "fc1"]).key == base.key
    assert cell(alpha=-0.01, snapshots=(1,)).key == base.key, "the last is always kept"
    assert cell(alpha=1, temperature=3).key == cell(alpha=1.0, temperature=3.0).key
    json.dumps(base.config.plain(), allow_nan=False)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"alpha": float("nan")}, "alpha: .*finite number"),
        ({"alpha": float("-inf")}, "alpha: .*finite number"),
        ({"snnl_layers": ("fc3",)}, "hidden layer 'fc3'; did you mean 'fc2'"),
        ({"alpha": 1.0, "snnl_layers": ()}, "layers: at least 1"),
        ({"temperature": "warm"}, "minimize, learn or a number above 0 is needed .got 'warm'"),
        ({"temperature": 0.0}, "above 0 is needed .got 0"),
        ({"temperature": float("nan")}, "above 0 is needed .got nan"),
        ({"distance": "euclid"}, "distance: .*'euclid'"),
        ({"epochs": 0}, "epochs: .*greater than or equal to 1"),
        ({"snapshots": (2,)}, "epoch 2 is not in 0 to 1"),
        ({"validation": 1.0}, "validation: .*less than 1"),
        ({"validation": -0.1}, "validation: .*greater than or equal to 0"),
        ({"validation": float("nan")}, "validation: .*finite number"),
        ({"validation": 0.0003}, "validation: a share of 0.0003 of 1297 images keeps none apart"),
        ({"settings": {"batch": 1298}}, "1298 is more than the 1167 images"),
        ({"settings": {"batch": 63}, "processes": 2}, "63 images cannot be shared by 2 processes"),
        ({"settings": {"colour": 1}}, "setting 'colour'"),
        ({"name": "cnm"}, "classifier 'cnm'; did you mean 'cnn'"),
        ({"imageset": "digit"}, "imageset 'digit'; did you mean 'digits'"),
    ],
)
def test_bad_input_is_refused_at_planning(cell, settings, message):
    with pytest.raises(UsageError, match=message):
        cell(**settings)


def images_like(monkeypatch, **values):
    monkeypatch.setattr(digits, "SPEC", Spec(**{**vars(digits.SPEC), **values}))


def test_images_without_classes_or_test_split_are_refused(cell, monkeypatch, tmp_path):
    planned = cell()
    images_like(monkeypatch, splits=("train",), n={"train": 1297})
    with pytest.raises(UsageError, match="digits has no test split"):
        evaluate_classifier.cell(planned, tmp_path)
    images_like(monkeypatch, classes=())
    with pytest.raises(UsageError, match="needs images of at least 2 classes; these have no"):
        cell()


@pytest.mark.parametrize(
    "splits, message",
    [
        (("tset",), "splits.0: .*'test', 'train' or 'validation' .got 'tset'"),
        ((), "splits: at least 1"),
        (("validation",), "No images were kept apart to validate on"),
    ],
)
def test_only_splits_that_are_there_are_evaluated(cell, tmp_path, splits, message):
    with pytest.raises(UsageError, match=message):
        evaluate_classifier.cell(cell(validation=0), tmp_path, splits)


def test_evaluating_tells_what_the_last_weights_say_of_each_split(trained, tmp_path):
    planned, folder = trained
    evaluated = evaluating(trained, ALL)
    work(evaluated)
    network = load_classifier(snapshots(folder.path, "classifier")[-1], planned.config)
    fit, held = carve(1297, 0.2, seed=3)  # as the training did, whatever its seed
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
    folder = evaluating(trained, ("test", "train"))
    row, written = CellFolder.row, []

    def breaks(self, **fields):
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(fields)
        row(self, **fields)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CellFolder, "row", breaks)
        work(folder)
    work(folder)
    assert [row["metric"] for row in folder.rows()] == 2 * ["accuracy", "nll", "ece"]


def test_only_a_classifiers_folder_with_weights_is_evaluated(trained, tmp_path, snnl):
    planned, _ = trained
    other = evaluating(trained)
    refused = snnl("classifier", "evaluate", other.path)
    assert refused.returncode == 2 and "is not the folder of a classifier's training" in refused.stderr
    untrained = CellFolder.create(planned, tmp_path, LOCAL)
    refused = snnl("classifier", "evaluate", untrained.path)
    assert refused.returncode == 1 and "holds no classifier: train it first" in refused.stderr


def test_a_classifier_without_weights_is_not_evaluated(trained, tmp_path):
    planned, _ = trained
    CellFolder.create(planned, tmp_path, LOCAL)
    alone = CellFolder.create(evaluate_classifier.cell(planned, tmp_path), tmp_path, LOCAL)
    with pytest.raises(WorkbenchError, match="holds no classifier: train it first"):
        work(alone)


def test_another_image_set_must_be_of_such_images_and_as_many_classes(trained, monkeypatch, tmp_path):
    planned, _ = trained
    same = evaluate_classifier.cell(planned, tmp_path, images="digits")
    assert same.key == evaluate_classifier.cell(planned, tmp_path).key
    with pytest.raises(UsageError, match="takes grey images of 16 x 16; cifar10 has colour images of 32 x 32"):
        evaluate_classifier.cell(planned, tmp_path, images="cifar10")
    monkeypatch.setattr(mnist, "SPEC", Spec(**{**vars(digits.SPEC), "classes": digits.SPEC.classes[:5]}))
    with pytest.raises(UsageError, match="tells 10 classes apart; mnist has 5"):
        evaluate_classifier.cell(planned, tmp_path, images="mnist")
    turned = (*digits.SPEC.classes[1:], "0")
    monkeypatch.setattr(mnist, "SPEC", Spec(**{**vars(digits.SPEC), "classes": turned}))
    with pytest.raises(
        UsageError, match="The class '1' of mnist is its number 0, and the network's number 1: bring them in"
    ):
        evaluate_classifier.cell(planned, tmp_path, images="mnist")
    monkeypatch.setattr(mnist, "SPEC", digits.SPEC)
    with pytest.raises(UsageError, match="Of mnist, which it was not trained on, only the test split"):
        evaluate_classifier.cell(planned, tmp_path, ("test", "train"), "mnist")
    load, read = imagesets.load, []
    monkeypatch.setattr(
        imagesets, "load", lambda name, split, **k: (read.append((name, split)), load("digits", split, **k))[1]
    )
    evaluated = evaluating(trained, images="mnist")
    work(evaluated)
    assert read == [("mnist", "test")] and {row["imageset"] for row in evaluated.rows()} == {"mnist"}


def test_images_of_ones_own_are_evaluated_as_the_network_takes_them(trained, tmp_path):
    for split in ("train", "test"):
        for label in range(10):
            (tmp_path / "photos" / split / str(label)).mkdir(parents=True)
            for i in range(2):
                pixels = np.random.default_rng(i).integers(0, 256, (40, 40, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / "photos" / split / str(label) / f"{i}.png")
    data = tmp_path / "data"
    key = imagesets.settle(f"folder:{tmp_path / 'photos'}", data, size=16, channels=1)
    evaluated = evaluating(trained, images=key, data=data)
    work(evaluated)
    assert {row["n"] for row in evaluated.rows()} == {20}
    assert evaluated.config["spec"]["channels"] == 1 and evaluated.config["spec"]["size"] == 16
    assert evaluated.config["imageset"] == key
