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
    first, second = (snnl(*arguments, cwd=tmp_path, anew=anew) for anew in (True, False))
    one, two = (json.loads(done.stdout.splitlines()[-1]) for done in (first, second))
    assert one == two and one["rows"] > 10
    assert "gan sample" in first.stderr
    done = snnl("cell", one["folder"], cwd=tmp_path)
    assert done.returncode == 0 and "Done" in done.stderr
