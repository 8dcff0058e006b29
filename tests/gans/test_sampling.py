"""Images drawn from a GAN by its training's folder or its weights alone, into a picture, files or arrays."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from pages import examples
from PIL import Image
from safetensors.torch import load_file, save_file

import imagesets
from evaluation.sources import open_images
from gans import _nearest, _trained
from gans._kept import NEAREST, grids
from gans._labels import drawn_labels
from gans._pictures import sheet
from gans._sampling import _filled, folders_of, kind_of, sample
from gans._snapshots import generate
from gans._trained import open_gan
from lab.errors import UsageError, WorkbenchError
from lab.files import read_arrays
from lab.reporting.pictures import tiles
from lab.running.one import do_cell
from lab.training.snapshots import snapshots
from tasks import train_gan

LOCAL = {"data": "nowhere", "download": False}
HOW = {"imageset": "digits", "precision": "float32", "device": "cpu", "kimg": 0.1, "snapshots": (0.05, 0.1)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folder of a training that was told of classes, and of one that was not."""
    runs, found = tmp_path_factory.mktemp("runs"), {}
    for conditional in (True, False):
        settings = {"width": 2, "latent": 4, "batch": 50, "conditional": conditional}
        config = train_gan.Config.parse({"gan": "dcgan", "settings": settings, **HOW})
        found[conditional] = do_cell(train_gan.cell(config, runs), runs, LOCAL).path
    return found


@pytest.fixture
def told(folders):
    return open_gan(folders[True])


@pytest.fixture
def plain(folders):
    return open_gan(folders[False])


def images_in(folder):
    return {
        path.relative_to(folder): torch.from_numpy(np.array(Image.open(path)))[None] for path in folder.rglob("*.png")
    }


def test_images_are_drawn_in_python_as_is_told(folders):
    (example,) = examples("docs", "gans.md")
    for folder in folders.values():
        told = {}
        exec(re.sub(r'"runs/.*?"', repr(str(folder)), example), told)
        assert told["images"].shape == (16, 1, 16, 16) and told["images"].dtype == torch.uint8


def test_opening_a_gan_leaves_the_random_numbers_of_a_script_alone(folders):
    before = torch.get_rng_state()
    open_gan(folders[False])
    assert torch.get_rng_state().equal(before)


def test_files_are_the_images_in_order(plain, tmp_path):
    sample(plain, 12, tmp_path / "new", seed=3)
    found = images_in(tmp_path / "new")
    assert sorted(map(str, found)) == [f"{i:02}.png" for i in range(12)]
    assert torch.stack([found[name] for name in sorted(found)]).equal(generate(plain.generator, 12, 4, 3))
    assert len([*(tmp_path / "new").iterdir()]) == 12, "nothing is left beside"


def test_files_of_a_conditional_gan_are_in_folders_of_their_classes(told, tmp_path):
    (tmp_path / "empty").mkdir()
    sample(told, 40, tmp_path / "empty", seed=3)
    found = images_in(tmp_path / "empty")
    images, labels = generate(told.generator, 40, 4, 3), drawn_labels(told.generator, 40, 3)
    assert set(found) == {Path(str(int(label)), f"{i:02}.png") for i, label in enumerate(labels)}
    assert all(image.equal(images[int(path.stem)]) for path, image in found.items())
    sample(told, 3, tmp_path / "sevens", label=7)
    assert {str(path.parent) for path in images_in(tmp_path / "sevens")} == {"7"}


def test_a_folder_of_others_is_not_touched(plain, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "00.png").write_text("mine")
    with pytest.raises(WorkbenchError, match="photos is not empty, and nothing in it is touched"):
        sample(plain, 12, tmp_path / "photos")
    assert [path.read_text() for path in (tmp_path / "photos").iterdir()] == ["mine"]
    with pytest.raises(UsageError, match=r"grid.jpg: name a .png"):
        kind_of(tmp_path / "grid.jpg")


def test_a_file_in_a_folders_place_is_refused_before_anything_is_drawn(plain, tmp_path, monkeypatch):
    """Whatever is there and is no folder, a link that leads nowhere, too; a picture takes another's place as before."""
    monkeypatch.setattr("gans._sampling.images_of", lambda *_: pytest.fail("it draws"))
    (tmp_path / "samples").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("samples", "link"):
        with pytest.raises(UsageError, match=rf"--out .*{name}: .* no folder.*name another"):
            sample(plain, 12, tmp_path / name)
    assert (tmp_path / "samples").read_text() == "mine" and not (tmp_path / "nowhere").exists()
    (tmp_path / "grid.png").write_text("old")
    assert kind_of(tmp_path / "grid.png") == ".png"


def test_files_that_were_broken_off_leave_nothing(plain, tmp_path, monkeypatch):
    saved = []

    def breaks(self, path):
        saved.append(path)
        if len(saved) > 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", breaks)
    (tmp_path / "there").mkdir()
    for name in ("new", "there"):
        with pytest.raises(KeyboardInterrupt):
            sample(plain, 12, tmp_path / name)
    assert [*tmp_path.rglob("*")] == [tmp_path / "there"]


def test_two_that_draw_into_one_folder_do_not_share_what_is_aside(tmp_path, monkeypatch):
    """On two machines, or in two containers, whose processes have the same number."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with _filled(tmp_path / "new") as one, _filled(tmp_path / "new") as other:
        (other / "other.png").touch()
        assert not [*one.iterdir()]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["other.png"]


def test_arrays_are_read_again_as_images(told, plain, tmp_path):
    for name, gan in (("told", told), ("plain", plain)):
        sample(gan, 20, tmp_path / f"{name}.npz", seed=2)
        found = open_images(str(tmp_path / f"{name}.npz"), data=tmp_path)
        assert found.images.equal(generate(gan.generator, 20, 4, 2))
        assert (found.labels is None) == (name == "plain")
    assert np.load(tmp_path / "told.npz")["images"].shape == (20, 16, 16, 1)
    assert np.load(tmp_path / "told.npz")["labels"].tolist() == drawn_labels(told.generator, 20, 2).tolist()


def test_a_picture_has_a_row_for_each_class_or_one_class_alone(told, plain, tmp_path):
    sizes = {}
    for name, gan, label in (("told", told, None), ("one", told, 2), ("plain", plain, None)):
        sample(gan, 25, tmp_path / f"{name}.png", label=label)
        sizes[name] = Image.open(tmp_path / f"{name}.png").size
    assert sizes == {"told": (3 * 16, 10 * 16), "one": (80, 80), "plain": (80, 80)}
    one = torch.from_numpy(np.array(Image.open(tmp_path / "one.png")))[None]
    assert one.equal(sheet(generate(told.generator, 25, 4, 0, labels=torch.full((25,), 2)).split(5)))
    rows = torch.from_numpy(np.array(Image.open(tmp_path / "told.png")))
    third = generate(
        told.generator, 25, 4, 0, labels=torch.arange(10).repeat_interleave(torch.tensor([3] * 5 + [2] * 5))
    )
    assert rows[48:64, :48].equal(sheet([third[9:12]])[0]) and not rows[-16:, 32:].any()


def test_classes_are_chosen_by_name_or_number(told, plain):
    assert (told.label("7"), told.classes) == (7, tuple("0123456789"))
    for odd in ("10", "-1", "seven", "", "²"):
        with pytest.raises(UsageError, match="Unknown class"):
            told.label(odd)
    with pytest.raises(UsageError, match="was told of no classes"):
        plain.label("7")


@pytest.mark.parametrize(
    "classes, folders",
    [
        (("ankle boot", "t-shirt"), ["ankle boot", "t-shirt"]),
        (("T-shirt/top", "bag"), ["T-shirt-top", "bag"]),
        (("../../etc", "."), ["0--..-etc", "1"]),
        (("a/b", "a-b", "ä"), ["0-a-b", "1-a-b", "2-ä"]),
        (("Cat", "cat"), ["0-Cat", "1-cat"]),
    ],
)
def test_folders_of_classes_lie_where_they_should(classes, folders):
    assert folders_of(classes) == folders
    assert all(Path(name).name == name for name in folders)


def test_weights_alone_give_what_the_folder_gives(folders, told, tmp_path):
    for snapshot in snapshots(folders[True], "generator"):
        alone = tmp_path / "moved.safetensors"
        alone.write_bytes(snapshot.path.read_bytes())
        gan, same = open_gan(alone), open_gan(folders[True], kimg=snapshot.kimg)
        assert (gan.kimg, gan.seed, gan.classes) == (snapshot.kimg, 0, same.classes)
        assert generate(gan.generator, 9, 4, 1).equal(generate(same.generator, 9, 4, 1))
    found = open_images(str(alone), data=tmp_path, count=9, seed=1)
    assert found.images.equal(generate(told.generator, 9, 4, 1)) and len(found.trained) == 1297


def test_weights_that_are_written_anew_are_not_taken_for_the_network_of_before(folders, tmp_path, monkeypatch):
    """What they say of themselves, their time and seed, is read before they are."""
    (first, *_, last), alone = snapshots(folders[False], "generator"), tmp_path / "moved.safetensors"
    alone.write_bytes(first.path.read_bytes())
    about = _trained.weights_about

    def told(path):
        found = about(path)
        alone.write_bytes(last.path.read_bytes())
        return found

    monkeypatch.setattr(_trained, "weights_about", told)
    with pytest.raises(WorkbenchError, match="has changed while it was read"):
        open_gan(alone)


@pytest.mark.parametrize("asked, nearest", [(0, 0.05), (0.06, 0.05), (0.09, 0.1), (9, 0.1), (None, 0.1)])
def test_of_several_generators_the_nearest_to_a_time_is_taken(folders, asked, nearest):
    assert open_gan(folders[False], kimg=asked).kimg == nearest


def test_weights_that_say_nothing_need_the_settings(folders, plain, tmp_path):
    """As those that were kept before files told of their network."""
    alone, config = tmp_path / "old.safetensors", folders[False] / "config.json"
    save_file(load_file(snapshots(folders[False], "generator")[-1].path), alone)
    with pytest.raises(UsageError, match="does not say what network it is of"):
        open_gan(alone)
    gan = open_gan(alone, config=config)
    assert generate(gan.generator, 9, 4, 1).equal(generate(plain.generator, 9, 4, 1))
    assert gan.kimg is None and gan.when == ""
    with pytest.raises(WorkbenchError, match=r"of another network .*config.json with --config"):
        open_gan(alone, config=folders[True] / "config.json")
    for text, words in (("[]", "cannot be read"), ("{}", "does not describe a GAN"), ('{"config": {"gan": "x"}}', "x")):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises((UsageError, WorkbenchError), match=words):
            open_gan(alone, config=tmp_path / "config.json")
    about = json.loads(config.read_text())
    spec = {"channels": -1, "size": 16, "classes": [], "splits": ["test"], "n": {"test": 9}}
    for changed, words in (({"kimg": "x"}, "does not describe a GAN"), ({"config": {"spec": spec}}, "spec.channels")):
        told = {**about, **changed, "config": {**about["config"], **changed.get("config", {})}}
        (tmp_path / "config.json").write_text(json.dumps(told))
        with pytest.raises(UsageError, match=words):
            open_gan(alone, config=tmp_path / "config.json")


def test_what_belongs_to_folders_is_refused_of_files_and_the_other_way_round(folders, tmp_path):
    alone = snapshots(folders[False], "generator")[-1].path
    with pytest.raises(UsageError, match="--kimg chooses among"):
        open_gan(alone, kimg=0.05)
    with pytest.raises(UsageError, match="--config is for weights alone"):
        open_gan(folders[False], config=folders[False] / "config.json")
    (tmp_path / "no.safetensors").write_text(json.dumps({}))
    with pytest.raises(WorkbenchError, match=r"is damaged, or no \.safetensors of weights"):
        open_gan(tmp_path / "no.safetensors")


def test_a_training_keeps_the_nearest_training_images_of_its_last_grid(folders):
    """Unless it is conditional: there the rows of the grid are told by their classes."""
    known = imagesets.load("digits", "train", root=Path("nowhere"), download=False)
    found = read_arrays(folders[False] / NEAREST)
    shown = tiles(grids(folders[False])[-1][1], 16)
    distances = torch.cdist(torch.tensor(shown).flatten(1).double(), known.images.flatten(1).double())
    assert found["position"].tolist() == distances.argmin(1).tolist()
    assert (found["images"] == known.images[found["position"]].numpy()).all()
    assert (found["labels"] == known.labels[found["position"]].numpy()).all()
    assert not (folders[True] / NEAREST).exists()


def test_the_nearest_image_is_found_across_the_parts_of_a_set(monkeypatch):
    monkeypatch.setattr(_nearest, "CHUNK", 7)
    images = torch.randint(0, 256, (40, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    known = imagesets.ImageSet(torch.cat([images, images]))
    assert _nearest.nearest(images, known).tolist() == [*range(40)], "of two copies the first"
