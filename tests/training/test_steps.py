"""Steps of both loops: what they need was found before them."""

import sys

import pytest
from making import NOWHERE

import classifiers._loop
import gans._loop
from snnl_core import products
from tasks import train_classifier, train_gan

LOOPS = {
    "gan": (gans._loop, train_gan, {"gan": "dcgan", "kimg": 1.0, "settings": {"width": 2, "latent": 4, "batch": 16}}),
    "classifier": (
        classifiers._loop,
        train_classifier,
        {"classifier": "mlp", "epochs": 1, "settings": {"width": 4, "batch": 16}},
    ),
}


class Asked(list):
    """A finder of modules that finds none, and has the names that it was asked for."""

    def find_spec(self, name, path=None, target=None):
        """Nothing."""
        self.append(name)


@pytest.mark.parametrize("kind", LOOPS)
def test_no_step_looks_for_a_module(monkeypatch, kind):
    """Of one that is not installed nobody remembers it: all folders are asked, of the disk, each time."""
    loop, task, values = LOOPS[kind]
    with products.restored():
        training = loop.begin(
            task.Config.parse({**values, "imageset": "digits", "device": "cpu", "precision": "float32"}), NOWHERE
        )
        loop.train_step(training)
        asked = Asked()
        monkeypatch.setattr(sys, "meta_path", [asked, *sys.meta_path])
        loop.train_step(training)
    assert not asked
