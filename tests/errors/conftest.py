"""Where the situations are found, and networks that were trained in a second."""

import sys
from functools import cache
from pathlib import Path

import pytest

from lab.running.one import do_cell
from tasks import train_classifier, train_gan

ROOT = Path(__file__).resolve().parents[2]
LOCAL = {"data": str(ROOT / "data"), "download": False}
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a GAN that was trained in a second."""
    settings = {"gan": "dcgan", "settings": {"width": 4, "batch": 50}, "kimg": 0.2, "snapshots": (0.2,)}
    config = train_gan.Config.parse({**settings, "precision": "float32", "device": "cpu"})
    return do_cell(train_gan.cell(config, ROOT / "data"), tmp_path_factory.mktemp("runs"), LOCAL).path


@pytest.fixture(scope="session")
def classifier(tmp_path_factory):
    """A function that gives the folder of a classifier that was trained in a second."""

    @cache
    def made(validation):
        settings = {"classifier": "cnn", "settings": {"width": 2}, "epochs": 1, "validation": validation}
        config = train_classifier.Config.parse({**settings, "precision": "float32", "device": "cpu"})
        return do_cell(train_classifier.cell(config, ROOT / "data"), tmp_path_factory.mktemp("runs"), LOCAL).path

    return made
