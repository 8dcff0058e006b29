"""Measuring what was not made here."""

import json

import pytest

from commands import measure


def test_layers_of_a_foreign_network_are_printed(snnl):
    arguments = ["--imageset", "digits", "--size", "32", "--n", "60", "--max-features", "512", "--anchors", "40"]
    done = snnl("measure", "layers", "--model", "torchvision:resnet18", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    header, *rows, last = done.stdout.splitlines()
    assert header.split() == [
        "layer", "features", "score", "loss", "temperature", "bound", "at_limit", "n_valid", "stderr",
    ]  # fmt: skip
    found = json.loads(last)
    assert {key: value for key, value in found.items() if key != "layers"} == {
        "model": "torchvision:resnet18", "imageset": "digits", "split": "test", "n": 60, "seed": 0,
    }  # fmt: skip
    assert [row.split()[0] for row in rows] == [layer["layer"] for layer in found["layers"]]
    assert set(found["layers"][0]) == {*header.split()}
    assert found["layers"][0]["features"] == 64 * 2 * 2 and 0 < found["layers"][0]["score"] < 1
    assert "random weights (seed 0)" in done.stderr and "averaged to at most 512 features" in done.stderr


def test_features_of_a_file_are_printed(snnl, tmp_path):
    import numpy as np

    labels = np.arange(40) % 2
    x = np.random.default_rng(0).normal(size=(40, 3)) + 100 * labels[:, None]
    np.savez(tmp_path / "apart.npz", x=x, labels=labels)
    np.savez(tmp_path / "broken.npz", x=np.where(x > 101, np.nan, x), y=labels)
    done = snnl("measure", "features", tmp_path / "apart.npz", "--json")
    assert done.returncode == 0, done.stderr
    assert "40 points of 3 features, all anchors" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].split() == ["all", "0.000", "0.000", *lines[1].split()[3:]] and "cold" in lines[1]
    assert ["class", "1", "0.000", "1.000"] in [line.split() for line in lines]
    assert json.loads(lines[-1])["score"] == pytest.approx(0, abs=1e-6)
    refused = snnl("measure", "features", tmp_path / "broken.npz")
    assert refused.returncode == 1 and refused.stderr.startswith("Error: ") and refused.stderr.count("\n") == 1
    assert "has no array labels; it has: x, y" in refused.stderr


def test_the_limit_of_features_is_that_of_the_engine():
    from snnl_core.pooling import MAX_FEATURES

    option = next(o for o in measure.command.commands["layers"].params if o.name == "max_features")
    assert option.default == MAX_FEATURES
