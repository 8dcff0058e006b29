"""A folder of one's own from the command line to the report."""

import json

import pytest
from PIL import Image

from lab.errors import WorkbenchError


def test_a_gan_learns_a_folder_and_is_found_done_where_the_folder_moved(snnl, tmp_path, write_folder):
    write_folder(tmp_path / "<b>'my' images", 12, ("a", "b & c"))
    arguments = ["--kimg", "0.3", "--width", "4", "--batch", "32", "--snapshot-kimg", "0.1", "--skip-bad", "--json"]
    first = snnl("gan", "train", "dcgan", "--imageset", "folder:<b>'my' images", *arguments, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "24 images" in first.stderr and "20 x 20 pixels" in first.stderr
    (tmp_path / "<b>'my' images").rename(tmp_path / "moved")
    second = snnl("gan", "train", "dcgan", "--imageset", "folder:moved", *arguments, cwd=tmp_path)
    assert second.returncode == 0 and second.stdout == first.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "moved", "runs"]
    cell = json.loads(first.stdout.splitlines()[-1])["folder"]
    assert str(tmp_path) not in cell and "moved" not in (tmp_path / cell / "config.json").read_text()
    (tmp_path / "data").rename(tmp_path / "gone")
    sampled = snnl("gan", "sample", cell, "-n", "4", cwd=tmp_path)
    assert sampled.returncode == 0, sampled.stderr
    assert Image.open(tmp_path / "grid.png").size == (40, 40)


def test_a_study_of_images_without_classes_is_redrawn_without_the_images(snnl, tmp_path, write_folder):
    write_folder(tmp_path / "images", 60, size=(16, 16), mode="L")
    arguments = ["--preset", "smoke", "--seeds", "1", "--gans", "dcgan", "--kimg", "0.3", "--points", "2", "--n", "10"]
    arguments += ["--executor", "here", "--svg-only"]
    done = snnl("study", "gan-entanglement", *arguments, "--imageset", "folder:images", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    page = (tmp_path / result["report"]).read_text(encoding="utf-8")
    assert "Real side by class" not in page and "coverage of classes" in page
    (tmp_path / "data").rename(tmp_path / "gone")
    again = snnl("report", tmp_path / result["folder"], "--svg-only", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / result["report"]).read_text(encoding="utf-8") == page


@pytest.mark.parametrize("classes, words", [(("",), "no labels"), (("one",), "all 2 are of one class")])
def test_layers_need_classes(opened, tmp_path, classes, words, write_folder):
    from outside.network import measure_network

    name = opened(write_folder(tmp_path / "images", 12, classes)).name
    with pytest.raises(WorkbenchError, match=words):
        measure_network("torchvision:resnet18", name, data=tmp_path / "data", size=32)


def test_layers_are_measured_at_the_size_that_the_images_were_decoded_to(snnl, tmp_path, write_folder):
    write_folder(tmp_path / "images", 12, ("a", "b"), size=(50, 40))
    arguments = ["--model", "torchvision:resnet18", "--layers", "fc", "--size", "36"]
    done = snnl("measure", "layers", *arguments, "--imageset", "folder:images", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "36 x 36 pixels, colour" in done.stderr and "4 of 4 images of images:" in done.stderr
