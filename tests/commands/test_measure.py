"""Measuring what was not made here."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import imagesets
from commands import _comparing, measure
from outside import network, own, points


def test_layers_of_a_foreign_network_are_printed(snnl):
    arguments = ["--imageset", "digits", "--size", "32", "--n", "60", "--max-features", "512", "--anchors", "40"]
    done = snnl("measure", "layers", "--model", "torchvision:resnet18", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    header, *rows, last = done.stdout.splitlines()
    assert header.split() == [
        "layer",
        "features",
        "score",
        "loss",
        "temperature",
        "bound",
        "at_limit",
        "n_valid",
        "stderr",
    ]
    found = json.loads(last)
    assert {key: value for key, value in found.items() if key != "layers"} == {
        "model": "torchvision:resnet18",
        "imageset": "digits",
        "split": "test",
        "n": 60,
        "seed": 0,
    }
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


@pytest.mark.parametrize("classes, anchors", [(20, None), (21, 50)])
def test_classes_stand_beside_classes_up_to_20_and_estimates_have_an_error(monkeypatch, tmp_path, classes, anchors):
    found = SimpleNamespace(
        rows=[{"anchors": "all", **dict.fromkeys(measure.MEASURED, 0.5), "temperature": 12345.6}],
        pairs=[{"anchors": "0"} | dict.fromkeys(map(str, range(classes)), 0.5)],
        classes=range(classes),
        whole=SimpleNamespace(stderr=0.01234, at_limit="cold" if classes == 21 else "none"),
        plain=dict,
    )
    monkeypatch.setattr(points, "measure_file", lambda file, **settings: found)
    (tmp_path / "points.npz").touch()
    words = ["features", str(tmp_path / "points.npz"), *(["--anchors", str(anchors)] if anchors else [])]
    done = CliRunner().invoke(measure.command, words, catch_exceptions=False)
    assert ("Mean softmax mass" in done.stdout) is (classes == 20) and "1.235e+04" in done.stdout
    assert ("Standard error of the loss of all, from the choice of anchors: 0.0123." in done.stderr) is bool(anchors)
    assert ("At the cold end it tells nothing of the other points" in done.stderr) is bool(anchors)


def test_the_error_of_too_few_anchors_is_not_known(tmp_path):
    import numpy as np

    np.savez(tmp_path / "points.npz", x=np.arange(8.0)[:, None], labels=np.arange(8) % 2)
    done = CliRunner().invoke(measure.command, ["features", str(tmp_path / "points.npz"), "--anchors", "1"])
    assert done.exit_code == 0 and "from the choice of anchors: not known, as fewer than two" in done.stderr


@pytest.mark.parametrize("anchors, limit", [(50, "cold"), (50, "none"), (None, "cold")])
def test_of_layers_too_an_error_at_the_cold_end_is_said_to_tell_nothing(monkeypatch, anchors, limit):
    row = SimpleNamespace(layer="fc", features=9, stderr=0.0, **dict.fromkeys(measure.MEASURED, 0.5))
    row.at_limit = limit
    monkeypatch.setattr(own, "build", lambda *given: None)
    monkeypatch.setattr(network, "measure_network", lambda **given: SimpleNamespace(layers=[row], plain=dict))
    estimated = ["--anchors", "50"] if anchors else []
    words = ["layers", "--model", "torchvision:resnet18", "--imageset", "digits", *estimated]
    done = CliRunner().invoke(measure.command, words, catch_exceptions=False)
    assert ("At the cold end it tells nothing of the other points" in done.stderr) is bool(anchors and limit == "cold")


def test_the_credibility_of_points_in_files_is_printed(snnl, tmp_path):
    import numpy as np

    labels, names = np.arange(100) % 2, ("train", "calibrate", "test")
    x = np.random.default_rng(0).normal(size=(100, 3)) + 3 * labels[:, None]
    for name, part in zip(names, np.split(np.arange(100), [60, 90]), strict=True):
        np.savez(tmp_path / f"{name}.npz", x=x[part], labels=labels[part])
    command = ["measure", "credibility", *(word for name in names for word in (f"--{name}", f"{name}.npz"))]
    done = snnl(*command, "--k", "5", "--out", "found.npz", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["accuracy", "credibility", "confidence", "n"] and lines[1].split()[-1] == "10"
    assert [line.split()[0] for line in lines[5:10]] == ["0.010", "0.050", "0.100", "0.200", "0.500"]
    assert lines[12].split() == ["input", "prediction", "label", "credibility", "confidence"]
    assert [line.split()[0] for line in lines[13:23]] == [str(i) for i in range(10)] and len(lines) == 24
    found = json.loads(lines[-1])
    assert found["accuracy"] == float(lines[1].split()[0]) and (found["n"], found["k"]) == (10, 5)
    with np.load(tmp_path / "found.npz") as kept:
        assert kept["neighbors/x"].shape == (10, 5)
        assert kept["credibility"].tolist() == [row["credibility"] for row in found["inputs"]]
    refused = snnl(*command, "--k", "61", "--out", "other.npz", cwd=tmp_path)
    assert refused.returncode == 1 and not refused.stdout
    assert refused.stderr.splitlines()[-1].startswith("Error: train.npz: k = 61 neighbours of 60")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["found.npz", *(f"{name}.npz" for name in names)])


def test_a_network_of_ones_own_is_measured_and_the_help_says_that_it_is_run(snnl, tmp_path):
    layers = "nn.Flatten(), nn.Linear(256, 9), nn.ReLU(), nn.Linear(9, 10)"
    (tmp_path / "my.py").write_text(f"from torch import nn\nnet = lambda: nn.Sequential({layers})")
    command = ["measure", "layers", "--model", "my.py:net", "--imageset", "digits", "--n", "60", "--out", "my.npz"]
    done = snnl(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [
        ["0", "256"],
        ["1", "9"],
        ["2", "9"],
        ["3", "10"],
    ]
    parts = (word for part in ("--train", "--calibrate", "--test") for word in (part, "my.npz"))
    done = snnl("measure", "credibility", *parts, "--k", "1", "--allow-overlap", "--json", cwd=tmp_path)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["accuracy"] == 1 and found["layers"] == ["0", "1", "2", "3"] and found["n"] == 60
    assert "code that you ask to run" in " ".join(snnl("measure", "layers", "--help").stdout.split())


def test_the_limit_of_features_is_that_of_the_engine():
    from snnl_core.pooling import MAX_FEATURES

    option = next(o for o in measure.command.commands["layers"].params if o.name == "max_features")
    assert f"[default: {MAX_FEATURES}, or one a channel" in option.help


def test_real_and_generated_images_are_compared_in_the_features_of_a_classifier(tmp_path, monkeypatch):
    import numpy as np
    from click.testing import CliRunner

    from imagesets import load
    from tasks import _spaces

    quick = {"classifier": "cnn", "settings": {"width": 2}, "epochs": 1, "precision": "float32", "device": "cpu"}
    monkeypatch.setattr(_spaces, "EVALUATOR", quick)
    monkeypatch.chdir(tmp_path)
    np.savez("made.npz", images=load("digits", "train", root=tmp_path).images[:60].numpy())
    asked = ["images", "digits", "made.npz", "--out", "page", "--json"]
    done = CliRunner().invoke(measure.command, asked)
    assert done.exit_code == 0, done.output
    assert "60 of 500 real and 60 of 60 generated images, in the space cnn-" in done.stderr
    header, *rows, last = done.stdout.splitlines()
    found = json.loads(last)
    assert header.split() == ["measure", "side", "value", "floor", "gap"]
    told = {tuple(row.split()[:2]): row.split()[2:] for row in rows}
    assert float(told["entanglement", "joint"][0]) == pytest.approx(found["score"], rel=1e-3)
    assert float(told["coverage", "real"][1]) == pytest.approx(found["floor"]["coverage"], rel=1e-3)
    wanted = "score loss temperature bound one_nn_accuracy precision recall density coverage fid kid floor n".split()
    assert set(wanted) <= set(found) and (found["n"], found["layer"]) == (60, "fc2")
    assert found["memorized"] == 1, "they are training images"
    assert (tmp_path / "page" / "report.html").is_file() and "page/report.html" in done.stderr
    made = (tmp_path / "page" / "tables" / "environment.csv").read_text(encoding="utf-8").splitlines()
    assert made[:4] == ["what,value", "real,digits", "generated,made.npz", f"space,{found['space']} fc2"]
    assert {"images a side,60", "seed,0", f"numpy,{np.__version__}"} <= {*made}, "what a methods section needs"
    again = CliRunner().invoke(measure.command, [*asked[:3], "--json"])
    assert json.loads(again.stdout.splitlines()[-1]) == found, "the classifier and the features are found again"


def test_images_that_are_too_few_for_a_classifier_are_compared_in_pixels(tmp_path, capsys):
    for number in range(40):
        path = tmp_path / "photos" / f"class {number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16), number, np.uint8)).save(path)
    known = imagesets.settle(f"folder:{tmp_path / 'photos'}", tmp_path)
    local = {"data": str(tmp_path), "download": False}
    assert _comparing._default_space([known], tmp_path / "runs", local) == "pixels"
    assert "more than the" in capsys.readouterr().err and not (tmp_path / "runs").exists()
