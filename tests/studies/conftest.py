"""A small training and its credibility, and a small study of planted faults, for the tests of what is measured."""

import shutil
from pathlib import Path

import pytest

import imagesets
from classifiers._credibility import Observer
from classifiers._snapshots import load_classifier
from lab.cells.folder import CellFolder
from lab.cells.work import work
from lab.training.draws import subset
from lab.training.snapshots import snapshots
from snnl_core import DeepKNN
from tasks import _foreign, _neighbors, measure_credibility, train_classifier

LOCAL = {"data": "nowhere", "download": False}
SMALL = {"classifier": "mlp", "settings": {"width": 16, "depth": 2}, "seed": 3, "epochs": 2, "validation": 0.2}
TRAINING = train_classifier.cell(
    train_classifier.Config.parse({**SMALL, "precision": "float32", "device": "cpu"}), Path("nowhere")
)
MEASURE = measure_credibility.Config(foreign=("rotated-45", "noise"), n=120, k=9, pictures=True)


@pytest.fixture(scope="module")
def finished(once, tmp_path_factory):
    """A small training and the measurement of its credibility, done once: the module's own copies."""

    def make(home):
        cells = TRAINING, measure_credibility.cell(TRAINING, MEASURE, Path("nowhere"))
        folders = [CellFolder.create(cell, home, LOCAL) for cell in cells]
        for folder in folders:
            work(folder)
        return [folder.path.relative_to(home) for folder in folders]

    home, places = once("credibility", make)
    copied = shutil.copytree(home, tmp_path_factory.mktemp("calibration") / "home")
    return [CellFolder(copied / place) for place in places]


@pytest.fixture(scope="module")
def observed(finished, tmp_path_factory):
    """The same network observed anew, step by step: (observer, test images, labels, foreign images by name)."""
    training, measuring = finished
    network = load_classifier(snapshots(training.path, "classifier")[-1], TRAINING.config)
    source, test = (imagesets.load("digits", split, **measuring.data) for split in ("train", "test"))
    parts = _neighbors.split(len(source), MEASURE, 0.2, 3)
    observer = Observer(network, DeepKNN(9), 4096, tmp_path_factory.mktemp("scratch"))
    observer.fit(source.pixels(parts.bank), source.classes(parts.bank))
    observer.calibrate(source.pixels(parts.calibration), source.classes(parts.calibration))
    picked = subset(len(test), 120, 0, "measured", "test")
    images = test.pixels(picked)
    foreign = {name: _foreign.load(name, images, measuring, 3) for name in MEASURE.foreign}
    return observer, images, test.classes(picked), foreign


@pytest.fixture(scope="session")
def planted(snnl, once):
    """A small study of what measures see, run once: (home, the finished process)."""
    arguments = ["--n", "24", "--spaces", "pixels", "--faults", "noise,copies", "--draws", "4", "--training", "60"]

    def make(home):
        place = ["--executor", "here", "--svg-only", "--json"]
        done = snnl("study", "measures", "--preset", "smoke", *arguments, *place, cwd=home)
        assert done.returncode == 0, done.stderr
        return done

    return once("planted", make)
