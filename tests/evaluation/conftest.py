"""Networks that were trained in a second, and real and made-up images."""

from pathlib import Path

import pytest
import torch

import imagesets
from lab.cells.folder import CellFolder
from lab.running.one import do_cell
from tasks import train_classifier, train_gan

DATA = Path("data")
LOCAL = {"data": str(DATA), "download": False}
QUICK = {"precision": "float32", "device": "cpu"}


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder of runs."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def gan(runs):
    """The cell of a GAN's training that is done, with two snapshots."""
    settings = {"gan": "dcgan", "settings": {"width": 4, "batch": 50}, "kimg": 0.2, "snapshots": (0.0, 0.2), **QUICK}
    cell = train_gan.cell(train_gan.Config.parse(settings), DATA)
    do_cell(cell, runs, LOCAL)
    return cell


@pytest.fixture(scope="session")
def classifier(runs):
    """The cell of a classifier's training that is done."""
    settings = {"classifier": "cnn", "settings": {"width": 2}, "epochs": 1, **QUICK}
    cell = train_classifier.cell(train_classifier.Config.parse(settings), DATA)
    do_cell(cell, runs, LOCAL)
    return cell


@pytest.fixture(scope="session")
def folder_of(runs):
    """The folder of a cell that is done."""
    return lambda cell: CellFolder(runs / "cells" / cell.folder_name)


@pytest.fixture(scope="session")
def digits():
    """The held-out digits."""
    return imagesets.load("digits", "test", root=DATA)


@pytest.fixture
def random_images():
    """A function that makes uint8 images."""

    def make(n, channels=1, size=16, seed=0):
        shape = (n, channels, size, size)
        return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)

    return make
