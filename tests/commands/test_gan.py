"""Training a GAN and drawing from it, as people do."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest


def test_samples_of_a_trained_gan(study, snnl):
    from PIL import Image

    home, *_ = study
    cell = next((home / "my runs" / "cells").glob("gan-dcgan-digits-s0-*"))
    done = snnl("gan", "sample", cell, "-n", 9, "--out", home / "my runs" / "grid.png", cwd=home)
    assert done.returncode == 0, done.stderr
    assert Image.open(home / "my runs" / "grid.png").size == (48, 48)
    (home / "my runs" / "grid.png").unlink()


def test_one_gan_is_trained_once(snnl, tmp_path):
    arguments = ["gan", "train", "wgan-gp", "--kimg", "1", "--width", "4", "--runs", "here", "--json"]
    first, second = (snnl(*arguments, cwd=tmp_path) for _ in range(2))
    one, two = (json.loads(done.stdout.splitlines()[-1]) for done in (first, second))
    assert one == two and one["rows"] > 10
    assert "gan sample" in first.stderr
    done = snnl("cell", one["folder"], cwd=tmp_path)
    assert done.returncode == 0 and "Done" in done.stderr


def test_gans_are_compared_and_their_ways_drawn(study, tmp_path, monkeypatch):
    """By the folder of one and the weights alone of the other."""
    from click.testing import CliRunner
    from PIL import Image

    from commands.gan import command

    home, *_ = study
    monkeypatch.chdir(tmp_path)
    folders = [next((home / "my runs" / "cells").glob(f"gan-{name}-digits-s0-*")) for name in ("dcgan", "wgan-gp")]
    weights = tmp_path / "alone.safetensors"
    weights.write_bytes(sorted(folders[1].glob("snapshots/*"))[-1].read_bytes())
    asked = ["compare", str(folders[0]), str(weights), "--features", "pixels", "--n", "20", "--out", "page.html"]
    done = CliRunner().invoke(command, [*asked, "--json"])
    assert done.exit_code == 0, done.output
    header, *rows, last = done.stdout.splitlines()
    assert header.split() == ["measure", "side", "dcgan", "wgan-gp", "floor"] and len(rows) > 20
    assert [one["gan"] for one in json.loads(last)["gans"]] == ["dcgan", "wgan-gp"]
    assert f"wgan-gp: {weights} after" in done.stderr and (tmp_path / "page.html").is_file()
    assert "in the space pixels." in done.stderr and not Path("runs").exists(), "no classifier is trained"
    done = CliRunner().invoke(command, ["interpolate", str(weights), "--rows", "3", "--steps", "4", "--out", "i.png"])
    assert done.exit_code == 0 and Image.open("i.png").size == (4 * 16, 3 * 16), done.output


def test_the_classifier_to_compare_by_is_trained_on_the_data_at_hand(monkeypatch):
    from commands import _comparing

    trained = []
    monkeypatch.setattr("evaluation.named.space_called", lambda reference, **given: (reference, given["data"]))
    monkeypatch.setattr(_comparing, "do_cell", lambda *given: trained.append(given) or SimpleNamespace(path="made"))
    about = {"weights": None, "size": None, "normalize": None, "data": Path("here"), "download": False}
    assert _comparing.space_named(None, [None, "digits"], Path("runs"), **about) == ("made", Path("here"))
    ((cell, runs, local),) = trained
    assert (cell.config.imageset, runs, local) == ("digits", Path("runs"), {"data": "here", "download": False})


@pytest.fixture
def learned(tmp_path, monkeypatch):
    """The folder of a GAN that learned the folder `photos`, 60 images, of which 10 are held out."""
    from PIL import Image

    import imagesets
    from lab.running.one import do_cell
    from tasks import train_gan

    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    values = np.random.default_rng(0).integers(0, 256, (60, 20, 20), np.uint8)
    for number, image in enumerate(values):
        Image.fromarray(image).save(f"photos/{number}.png")
    name = imagesets.settle("folder:photos", Path("data"), size=16)
    quick = {"settings": {"width": 4, "batch": 10}, "kimg": 0.02, "precision": "float32", "device": "cpu"}
    cell = train_gan.cell(train_gan.Config.parse({"gan": "dcgan", "imageset": name, **quick}), Path("data"))
    return do_cell(cell, Path("runs"), {"data": "data", "download": False}).path


def test_gans_that_learned_a_folder_are_compared_with_its_held_out_images(learned):
    """And not with the images that they were trained on."""
    from click.testing import CliRunner

    import imagesets
    from commands.gan import command
    from evaluation.measured import measure_images
    from evaluation.sources import Images, generated
    from evaluation.spaces import pixels
    from gans._trained import open_gan

    done = CliRunner().invoke(command, ["compare", str(learned), str(learned), "--features", "pixels", "--json"])
    assert done.exit_code == 0, done.output
    assert "5 of 10 real and 5 of 5 generated images" in done.stderr
    gan = open_gan(learned)
    held = imagesets.load(gan.run.imageset, "test", root=Path("data")).images
    made = generated(gan, 5, seed=0, data=Path("data"), download=False)
    alone = measure_images(Images(gan.run.imageset, held), made, pixels()).plain()
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(made.trained) == 50 and told["floor"] == alone["floor"]
    assert all(one["rows"] == alone["rows"] for one in told["gans"])


@pytest.mark.parametrize("turned", [False, True])
def test_a_gan_is_measured_against_the_held_out_images_of_the_folder_that_it_learned(learned, turned):
    """Whatever the size in which it learned them."""
    from click.testing import CliRunner

    from commands.measure import command

    pair = ["folder:photos", str(learned)]
    asked = ["images", *(reversed(pair) if turned else pair), "--features", "pixels", "--json"]
    done = CliRunner().invoke(command, asked)
    assert done.exit_code == 0, done.output
    assert f"folder:photos: 10 of its 60 images are taken, those held out from what {learned} learned." in done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["n"] == 5 and not any("are copies" in text for text in found["remarks"])
    assert {row["metric"] for row in found["rows"]} > {"memorized", "entanglement_gap"}
