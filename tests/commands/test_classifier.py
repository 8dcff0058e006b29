"""Training a classifier, evaluating it, and asking which images support it, as people do."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

import imagesets
from classifiers._trained import trained_here
from commands.classifier import evaluate, tell_of_names
from lab.errors import UsageError, WorkbenchError
from lab.training.draws import carve


@pytest.fixture(scope="module")
def trained(snnl, tmp_path_factory):
    """(home, folder, what was said) of a classifier that was trained for a second."""
    home = tmp_path_factory.mktemp("home")
    train = ["classifier", "train", "cnn", "--width", "4", "--epochs", "1", "--alpha", "-0.01", "--snnl-layers", "fc1"]
    done = snnl(*train, "--temperature", "20", "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    return home, json.loads(done.stdout.splitlines()[-1])["folder"], done.stderr


def test_a_classifier_is_trained_and_evaluated(snnl, trained):
    tmp_path, folder, said = trained
    assert f"Next: snnl classifier evaluate {folder}" in said
    done = snnl("classifier", "evaluate", folder, "--splits", "test,validation", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    header, *rows, last = done.stdout.splitlines()
    assert header.split() == ["split", "accuracy", "nll", "ece", "n"]
    assert [(row.split()[0], row.split()[-1]) for row in rows] == [("test", "500"), ("validation", "130")]
    found = json.loads(last)["splits"]["test"]
    assert 0 <= found["accuracy"] <= 1 and found["nll"] > 0 and found["n"] == 500


def test_an_evaluation_that_never_began_leaves_no_folder(trained, tmp_path, monkeypatch):
    """Its weights are damaged; one that is done stays, whatever becomes of them later."""
    home, made, _ = trained
    folder = shutil.copytree(home / made, tmp_path / "cells" / Path(made).name)
    (weights,) = (folder / "snapshots").iterdir()
    whole = weights.read_bytes()
    weights.write_bytes(whole[:99])
    command = [str(folder), "--data", str(tmp_path)]
    with pytest.raises(WorkbenchError, match="is not what the cell kept"):
        evaluate.main(command, standalone_mode=False)
    assert [*folder.parent.iterdir()] == [folder]
    weights.write_bytes(whole)
    evaluate.main(command, standalone_mode=False)
    (done,) = folder.parent.glob("evaluate-*")
    weights.write_bytes(b"")
    evaluate.main(command, standalone_mode=False)
    assert (done / "DONE").is_file()
    with pytest.raises(UsageError, match="mnist"):
        evaluate.main([*command, "--imageset", "mnist"], standalone_mode=False)


def test_the_nearest_training_image_of_a_training_image_is_itself(snnl, trained, tmp_path):
    """Written to a file and read again, in grey and, twice as large, in colour."""
    home, folder, _ = trained
    digits = imagesets.load("digits", "train", root=tmp_path)
    index = int(carve(len(digits), 0.1, 0)[0][7])
    label, picture = str(int(digits.labels[index])), Image.fromarray(digits.images[index, 0].numpy())
    picture.save(tmp_path / "<b>same.png")
    picture.resize((33, 32), Image.Resampling.NEAREST).convert("RGB").save(tmp_path / "large.bmp")
    files = [str(tmp_path / name) for name in ("<b>same.png", "large.bmp")]
    page = tmp_path / "page.html"
    done = snnl("classifier", "credibility", folder, *files, "--k", "9", "--out", page, "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "1167 of 1167 training images are searched, 130 of 130 validation images calibrate." in done.stderr
    same, large = json.loads(done.stdout.splitlines()[-1])["images"]
    assert list(same["neighbors"]) == ["conv1", "conv2", "fc1", "fc2"] and 0 < same["credibility"] <= 1
    for near in same["neighbors"].values():
        assert len(near) == 9 and near[0] == {"index": index, "label": label, "distance": pytest.approx(0, abs=1e-6)}
    assert large["neighbors"]["conv1"][0]["index"] == index
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["image", "prediction", "network", "credibility", "confidence"]
    assert lines[6].split()[:4] == [files[0], "conv1", str(index), f"({label}),"]
    text = page.read_text()
    assert "<b>" not in text and "&lt;b&gt;same.png" in text and "http:" not in text and "https:" not in text
    assert text.count("data:image/png;base64,") == 2 * (1 + 4 * 8)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def test_what_calibrates_took_no_part_in_the_training(trained):
    home, folder, _ = trained
    found, train = trained_here(home / folder, data=home, download=False), imagesets.load("digits", "train", root=home)
    fitted, kept = carve(1297, 0.1, 0)
    assert torch.equal(found.fitted, fitted) and torch.equal(found.held_out.images, train.pixels(kept))
    assert torch.equal(found.held_out.classes(slice(None)), train.classes(kept)) and len(kept) == 130


def test_fewer_training_images_can_be_searched(snnl, trained, tmp_path):
    home, folder, _ = trained
    red = tmp_path / os.fsdecode(b"no \xff character.jpg")
    Image.new("RGB", (40, 50), "red").save(red)
    command = ["classifier", "credibility", folder, red, "--out", tmp_path / "p.html", "--json", "--n-bank"]
    done = snnl(*command, "60", cwd=home)
    assert done.returncode == 0 and "60 of 1167 training images are searched" in done.stderr
    assert "k: 60, since there are no more images to search." in done.stderr
    assert "(see --n-bank and --k): k = 60 is every fitted row: all inputs have the same neighbours" in done.stderr
    (found,) = json.loads(done.stdout.splitlines()[-1])["images"]
    assert found["image"].endswith("no ? character.jpg")
    fitted = set(carve(1297, 0.1, 0)[0].tolist())
    assert {one["index"] for near in found["neighbors"].values() for one in near} <= fitted
    few = snnl(*command, "3", cwd=home)
    assert few.returncode == 1 and not few.stdout
    assert few.stderr.splitlines()[-1].startswith("Error: of 10 classes the 3 images to search have ")


def test_a_classifier_and_its_neighbours_are_attacked(snnl, trained, tmp_path):
    """PGD comes with the attack on neighbours, which is never weaker than its transfer."""
    home, folder, _ = trained
    page = tmp_path / "page.html"
    command = ["classifier", "attack", folder, "--n", "40", "--settings", "queries=20,steps=8,step=0.3", "--json"]
    done = snnl(*command, "--attack", "neighbor,square", "--eps", "0.2,0.1", "--out", page, cwd=home)
    assert done.returncode == 0, done.stderr
    assert "40 of 500 images are attacked; eps is the largest change of a value" in done.stderr
    assert "Gradients of the cross-entropy: 0.0% of the images have none" in done.stderr
    *lines, last = done.stdout.splitlines()
    header = ["attack", "eps", "accuracy", "success", "dknn_accuracy", "dknn_success", "credibility"]
    assert lines[0].split() == header and lines[1].split()[:2] == ["none", "0"] and len(lines) == 8
    found = {(row["attack"], row["eps"]): row for row in json.loads(last)["attacks"]}
    assert [*found][1:] == [(name, eps) for name in ("neighbor", "square", "pgd") for eps in (0.2, 0.1)]
    assert found["none", 0]["success"] == found["none", 0]["dknn_success"] == 0
    for eps in (0.1, 0.2):
        assert found["neighbor", eps]["dknn_accuracy"] < found["none", 0]["dknn_accuracy"]
        assert found["neighbor", eps]["dknn_success"] >= found["pgd", eps]["dknn_success"]
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 6 * 3 * 5 and "http:" not in text and "https:" not in text
    noise = snnl(*command, "--attack", "noise", "--eps", "0", "--norm", "l2", "--settings", "steps=3", cwd=home)
    assert noise.returncode == 2 and "Unknown setting of these attacks 'queries'. Known: none." in noise.stderr
    plain = ["classifier", "attack", folder, "--n", "500", "--attack", "noise", "--eps", "0", "--norm", "l2", "--json"]
    first, same = json.loads(snnl(*plain, cwd=home).stdout.splitlines()[-1])["attacks"]
    assert {**same, "attack": "none"} == first
    evaluated = snnl("classifier", "evaluate", folder, "--json", cwd=home).stdout.splitlines()[-1]
    assert first["accuracy"] == pytest.approx(json.loads(evaluated)["splits"]["test"]["accuracy"], abs=1e-9)


def test_the_help_says_in_words_what_alpha_does(snnl):
    text = " ".join(snnl("classifier", "train", "cnn", "--help").stdout.split())
    assert "negative entangles the classes there, as in the paper; positive disentangles them" in text


def test_classes_of_other_names_are_told(capsys):
    tell_of_names([*"abc"], [*"abc"])
    assert not capsys.readouterr().err
    tell_of_names(["a", "b", "c", "d", "e"], ["a", "two", "three", "four", "five"])
    told = "Warning: classes are matched by their order, not by name: b is two, c is three, d is four, ...\n"
    assert capsys.readouterr().err == told
