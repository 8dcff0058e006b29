"""Training a GAN and drawing from it, as people do."""

import json


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
    done = CliRunner().invoke(command, ["interpolate", str(weights), "--rows", "3", "--steps", "4", "--out", "i.png"])
    assert done.exit_code == 0 and Image.open("i.png").size == (4 * 16, 3 * 16), done.output
