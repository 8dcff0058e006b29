"""Which files of a folder are taken, their classes and splits, and the one size and number of channels for all."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from imagesets._own import decode, store
from imagesets._own.layout import arrange


def test_a_flat_folder_has_no_labels_and_one_in_six_is_held_out(opened, folder, both):
    found = opened(folder)
    assert found.SPEC.plain() == {
        "stretch": None,
        "channels": 3,
        "size": 20,
        "classes": [],
        "splits": ["train", "test"],
        "n": {"train": 15, "test": 3},
    }
    images, labels = both(found)
    assert labels is None and len(set(found.names)) == 18
    for name, image in zip(found.names, images, strict=True):
        assert (image == np.asarray(Image.open(folder / name)).transpose(2, 0, 1)).all()


def test_subfolders_are_classes_in_order_of_their_names_and_each_is_split(opened, tmp_path, write_folder, both):
    classes = ("zebra", "Kätzchen und 犬", "<b>'\"$x$")
    found = opened(write_folder(tmp_path / "images", 13, classes))
    assert found.SPEC.classes == tuple(sorted(classes)) and found.SPEC.n == {"train": 33, "test": 6}
    _, labels = both(found)
    assert [found.SPEC.classes[label] for label in labels] == [name.partition("/")[0] for name in found.names]
    assert np.bincount(labels[33:]).tolist() == [2, 2, 2]


def test_of_two_images_of_a_class_one_is_held_out_and_of_one_none(tmp_path):
    found = arrange([f"{name}/{i:02}.png" for name, n in (("a", 13), ("b", 2), ("c", 1)) for i in range(n)], tmp_path)
    assert found.counts() == {"train": [11, 1, 1], "test": [2, 1, 0]}


def test_deeper_folders_belong_to_their_class(opened, tmp_path, write_folder):
    write_folder(tmp_path / "images", 6, ("a/x", "a/y", "b"))
    assert opened(tmp_path / "images").SPEC.classes == ("a", "b")


@pytest.mark.parametrize("classes", [("",), ("a", "b")])
def test_train_and_test_are_the_splits(opened, tmp_path, classes, write_image, write_folder):
    for name in classes:
        write_folder(tmp_path / "images" / "train" / name, 4)
        write_folder(tmp_path / "images" / "test" / name, 3)
    write_folder(tmp_path / "images" / "val", 2)
    write_image(tmp_path / "images" / "logo.png")
    found = opened(tmp_path / "images")
    assert found.SPEC.n == {"train": 4 * len(classes), "test": 3 * len(classes)}
    assert all(name.startswith("train/") == (i < found.SPEC.n["train"]) for i, name in enumerate(found.names))
    assert found.SPEC.classes == tuple(name for name in classes if name)
    assert "(train/)" in found.said[-1] and "(test/)" in found.said[-1]
    assert "3 beside train/ and test/" in found.said[-1]


def test_a_class_may_be_called_train(opened, tmp_path, write_folder):
    found = opened(write_folder(tmp_path / "images", 6, ("bus", "train")))
    assert found.SPEC.classes == ("bus", "train")


def test_the_split_does_not_depend_on_other_classes_or_the_place(opened, tmp_path, write_folder):
    one = opened(write_folder(tmp_path / "one", 12, ("a", "b")))
    two = opened(write_folder(tmp_path / "two", 12, ("a", "b", "c")))
    assert set(one.names[one.SPEC.n["train"] :]) <= set(two.names[two.SPEC.n["train"] :])


def test_hidden_other_and_outside_files_are_left_out_and_counted(opened, folder, tmp_path, write_image):
    write_image(tmp_path / "elsewhere" / "secret.png")
    write_image(folder / ".hidden.png")
    write_image(folder / ".thumbnails" / "1.png")
    (folder / "notes.txt").write_text("not an image")
    (folder / "outside.png").symlink_to(tmp_path / "elsewhere" / "secret.png")
    (folder / "way out").symlink_to(tmp_path / "elsewhere")
    (folder / "round").symlink_to(folder)
    (folder / "broken.png").symlink_to(folder / "gone.png")
    (folder / "within.png").symlink_to(folder / "000.png")
    found = opened(folder)
    assert sorted(found.names) == [*(f"{i:03}.png" for i in range(18)), "within.png"]
    assert "2 hidden, 2 linked from outside, 1 linked to a folder, 1 linked to nothing" in found.said[-1]
    assert "1 of another kind" in found.said[-1]
    assert "--follow-links takes what is linked" in found.said[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_of_any_bytes(opened, folder, write_image):
    for name in (b"\xff\xfe.png", b"two\nlines.png", "日本語 'x'.PNG".encode()):
        write_image(Path(os.fsdecode(os.fsencode(folder) + b"/" + name)), format="PNG")
    found = opened(folder)
    assert len(found.names) == 21 and "two\nlines.png" in found.names
    assert opened(folder).name == found.name


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_classes_of_any_bytes(opened, tmp_path, write_folder):
    folder = write_folder(tmp_path / "images", 6, ("b", os.fsdecode(b"caf\xe9")))
    found = opened(folder)
    assert found.SPEC.classes == ("b", "caf\\xe9") and found.SPEC.n == {"train": 10, "test": 2}


def test_a_set_is_on_the_disk_before_it_has_its_name(opened, folder, monkeypatch):
    events, rename = [], Path.rename
    monkeypatch.setattr(store, "sync_file", lambda path: events.append(path.name))
    monkeypatch.setattr(Path, "rename", lambda path, to: (events.append("named"), rename(path, to))[1])
    opened(folder)
    assert {"images.npy", "names"} <= set(events[: events.index("named")])


def test_the_size_is_the_nearest_buildable_one(opened, tmp_path, write_image):
    folder = tmp_path / "images"
    for i, size in enumerate([(30, 90), (31, 31), (47, 33), (200, 100), (12, 12)] * 3):
        write_image(folder / f"{i}.png", size)
    found = opened(folder)
    assert found.SPEC.size == 28 and "28 x 28 pixels (3 enlarged)" in found.said[-1]
    assert opened(folder, size=16).SPEC.size == 16


@pytest.mark.parametrize("n", [1, 31, 32, 33, 63, 64, 1000])
def test_files_are_looked_at_from_the_first_to_the_last_evenly(n, monkeypatch):
    monkeypatch.setattr(decode.pixels, "look", lambda data: (data, True))
    listing = SimpleNamespace(addresses=list, reader=SimpleNamespace(read=int))
    rows, grey = decode.look(listing, np.arange(n)[::-1])
    assert grey and (rows[0], rows[-1], len(rows)) == (0, n - 1, min(n, 32))
    assert n == 1 or np.ptp(np.diff(rows)) <= 1


def test_grey_is_decided_once_for_the_set(opened, tmp_path, write_image, write_folder, both, monkeypatch):
    monkeypatch.setattr(decode, "SAMPLED", 4)
    folder = write_folder(tmp_path / "images", 40, mode="L")
    found = opened(folder)
    assert found.SPEC.channels == 1 and "grey" in found.said[-1]
    write_image(folder / "001.png")  # not one of those that are looked at before
    mixed = opened(folder)
    assert mixed.SPEC.channels == 3 and "colour" in mixed.said[-1]
    images, _ = both(mixed)
    assert sum((image[0] != image[1]).any() for image in images) == 1
    assert opened(folder, channels=1).SPEC.channels == 1
    assert opened(write_folder(tmp_path / "grey", 12, mode="L"), channels=3).SPEC.channels == 3
