"""Which folders are splits, which are classes, and what is said of both; for folders and archives alike."""

import unicodedata
import zipfile

import numpy as np
import pytest

from imagesets._own.classes import one_spelling
from lab.errors import WorkbenchError


@pytest.fixture
def tree(tmp_path, write_image):
    """Write images of noise in the folders named, so many in each; gives the folder above."""

    def write(images, top="images"):
        for place, n in images.items():
            for i in range(n):
                write_image(tmp_path / top / place / f"{i:02}.bmp", (16, 16))
        return tmp_path / top

    return write


def zipped(folder, path, prefix=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


SPLITS = [
    ("Training", "Testing"),
    ("Train", "Test"),
    ("TRAIN", "test"),
    ("seg_train", "seg_test"),
    ("asl_alphabet_train", "asl_alphabet_test"),
    ("training_set", "test_set"),
    ("TrainImages", "TestImages"),
    ("train", "Testing"),
    ("train2017", "val2017"),
    ("train", "val"),
    ("Train", "Validation"),
    ("trainval", "test"),
    ("train", "holdout"),
]


@pytest.mark.parametrize("train, test, kind", [(*pair, "folder") for pair in SPLITS] + [(*SPLITS[0], "zip")])
def test_usual_spellings_of_splits(opened, tree, tmp_path, train, test, kind):
    folder = tree({f"{train}/a": 3, f"{train}/b": 3, f"{test}/a": 2, f"{test}/b": 2})
    path = folder if kind == "folder" else zipped(folder, tmp_path / "images.zip", "archive/")
    found = opened(path, kind)
    assert found.SPEC.classes == ("a", "b") and found.SPEC.n == {"train": 6, "test": 4}
    assert all(name.startswith(f"{train}/") == (row < 6) for row, name in enumerate(found.names))
    assert f"6 to train on ({train}/) and 4 held out ({test}/), 2 classes (a 5, b 5)" in found.said[-1]


def test_splits_without_classes_are_splits_too(opened, tree):
    found = opened(tree({"Training": 4, "Testing": 3}))
    assert found.SPEC.classes == () and found.SPEC.n == {"train": 4, "test": 3}


def test_beside_a_test_split_validation_and_all_else_is_left_out_and_counted(opened, tree):
    found = opened(tree({"Train/a": 3, "Test/a": 2, "valid/a": 2, "seg_pred": 1}))
    assert found.SPEC.n == {"train": 3, "test": 2} and "3 beside Train/ and Test/" in found.said[-1]


@pytest.mark.parametrize("images", [{"bus": 6, "Train": 6}, {"test": 6, "control": 6}, {"valid": 6, "invalid": 6}])
def test_a_class_may_be_called_like_one_split(opened, tree, images):
    assert opened(tree(images)).SPEC.classes == tuple(sorted(images))


@pytest.mark.parametrize("images", [{"train_station": 6, "test_tube": 6}, {"cat": 6, "trainer": 6, "tester": 6}])
def test_other_names_are_classes(opened, tree, images):
    assert opened(tree(images)).SPEC.classes == tuple(sorted(images))


@pytest.mark.parametrize(
    "images, words",
    [
        ({"Training/a": 3, "Training/b": 3}, r"images in Training/ and none in test/: add some, or name .*Training"),
        ({"seg/train/a": 3, "seg/train/b": 3}, r"images in train/ and none in test/: add some, or name .*seg/train\."),
        ({"Testing": 3, "dev": 3}, r"images in Testing/ and none in train/"),
        ({"val/a": 3, "val/b": 3}, r"images in val/ and none in train/"),
        ({"Train": 3, "training": 3, "Test": 3}, r"Test/ as test, Train/ as train, training/ as train"),
        ({"cats_train": 3, "cats_test": 3, "dogs_train": 3, "dogs_test": 3}, r"cats_test/ as test, cats_train/ as tra"),
        ({"train": 3, "my_test": 3}, r"my_test/ as test, train/ as train.*keep one train/ and one test/"),
        ({"a/train": 3, "a/test": 3, "b/train": 3, "b/test": 3}, r"splits within class folders \(a/test and a/train\)"),
    ],
)
def test_what_is_not_plain_is_refused_with_what_was_taken_for_what(opened, tree, images, words):
    with pytest.raises(WorkbenchError, match=words) as caught:
        opened(tree(images))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("top", ["train", "Train", "data/train"])
def test_an_archive_of_one_split_alone_is_refused_as_a_folder_is(opened, tree, tmp_path, top):
    folder = tree({f"{top}/a": 6, f"{top}/b": 6})
    for path, kind in ((folder, "folder"), (zipped(folder, tmp_path / "images.zip"), "zip")):
        with pytest.raises(WorkbenchError, match=r"images in [tT]rain/ and none in test/"):
            opened(path, kind)
    with pytest.raises(WorkbenchError, match=r"unpack it and name the folder [tT]rain\."):
        opened(tmp_path / "images.zip", "zip")


def test_folders_that_hold_a_whole_split_are_no_classes(opened, tree):
    images = {
        "seg_train/seg_train/a": 3,
        "seg_train/seg_train/b": 3,
        "seg_test/seg_test/a": 2,
        "seg_test/seg_test/b": 2,
    }
    assert opened(tree(images, "intel")).SPEC.classes == ("a", "b")
    inner = {"train/images/a": 3, "train/images/b": 3, "test/images/a": 2, "test/images/b": 2}
    assert opened(tree(inner, "inner")).SPEC.classes == ("a", "b")
    assert opened(tree({"train/one": 3, "test/one": 2}, "one")).SPEC.classes == ("one",)
    assert opened(tree({"train/a/x": 3, "train/b": 3, "test/a/y": 2}, "deep")).SPEC.classes == ("a", "b")


@pytest.mark.parametrize("top", ["archive", "a/b/c"])
def test_one_folder_too_high_is_the_same_set(opened, tree, tmp_path, both, top):
    meant = opened(tree({f"{top}/a": 6, f"{top}/b": 6}) / top)
    found = opened(tmp_path / "images")
    assert found.name == meant.name and found.SPEC.classes == ("a", "b")
    assert str(tmp_path / "images" / top) in found.said[-1]
    other = opened(zipped(tmp_path / "images", tmp_path / "images.zip", "x/"), "zip", data=tmp_path / "other")
    assert other.name == meant.name and (both(other)[0] == both(meant)[0]).all()


def test_what_lies_beside_the_splits_is_told_of_a_folder_that_moved_too(opened, tree, tmp_path):
    folder = tree({"train": 6, "test": 3, "extra": 2})
    first = opened(folder)
    second = opened(folder.rename(tmp_path / "moved"))
    tree({"extra": 3}, "moved")
    third = opened(tmp_path / "moved")
    assert first.name == second.name == third.name and len(second.said) == len(third.said) == 1
    told = [found.said[-1].partition("Left out: ")[2] for found in (first, second, third)]
    assert told == [f"{count} beside train/ and test/." for count in (2, 2, 3)]


def test_a_bad_file_below_the_folder_that_holds_all_is_named_by_its_whole_path(opened, tree):
    folder = tree({"archive/a": 6, "archive/b": 6})
    (folder / "archive" / "a" / "03.bmp").write_text("fake")
    with pytest.raises(WorkbenchError, match=f"'{folder}/archive/a/03.bmp' cannot be decoded"):
        opened(folder)


def test_a_single_class_stays_one_and_is_named(opened, tree, tmp_path):
    folder = tree({"one": 12})
    assert "1 class (one 12)" in opened(folder).said[-1]
    assert opened(folder).SPEC.classes == ("one",)
    assert opened(zipped(folder, tmp_path / "images.zip"), "zip").SPEC.classes == ()  # as archives of a folder are


def test_names_in_an_archive_may_begin_at_its_folder(opened, tree, tmp_path):
    folder = tree({"a": 6, "b": 6})
    meant = opened(folder)
    for prefix in ("./photos/", "./", "photos//"):
        found = opened(zipped(folder, tmp_path / "images.zip", prefix), "zip", data=tmp_path / "other")
        assert found.name == meant.name and found.SPEC.classes == ("a", "b")


def test_classes_are_the_same_across_splits_whatever_their_case(opened, tree, both):
    found = opened(tree({"train/Cat": 3, "train/dog": 3, "test/cat": 2, "test/DOG": 2}))
    assert found.SPEC.classes == ("Cat", "dog")
    assert both(found)[1].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 0, 0]  # DOG comes before cat


def test_names_that_read_the_same_are_one_class(opened, tree, both):
    composed, parted = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    across = opened(tree({f"train/{composed}": 3, "train/b": 2, f"test/{parted}": 2, "test/b": 2}, "across"))
    assert across.SPEC.classes == ("b", composed) and len(across.said) == 2
    within = opened(tree({composed: 6, parted: 6, "b": 6}, "within"))
    assert len(within.SPEC.classes) == 2 and np.bincount(both(within)[1]).tolist() == [6, 12]


def test_within_a_split_case_tells_classes_apart(opened, tree):
    assert opened(tree({"a": 6, "A": 6}, "alone")).SPEC.classes == ("A", "a")
    letters = {f"{split}/{letter}": 2 for split in ("train", "test") for letter in "aAb"}
    assert opened(tree(letters, "splits")).SPEC.classes == ("A", "a", "b")
    with pytest.raises(WorkbenchError, match=r"which class of those to train on, 'CAT' or 'Cat', is 'cat'\?"):
        opened(tree({"train/Cat": 2, "train/CAT": 2, "test/cat": 2}, "several"))


def test_which_class_is_meant_is_asked_from_either_side_and_letters_that_are_two_in_capitals_are_known(tmp_path):
    with pytest.raises(WorkbenchError, match=r"which class of those to train on, 'Cat', is 'CAT' or 'cat'\?"):
        one_spelling(["Cat"], ["cat", "CAT"], tmp_path)
    assert one_spelling(["Straße"], ["STRASSE"], tmp_path) == {"Straße": "Straße", "STRASSE": "Straße"}


def test_classes_that_a_split_lacks_are_named(opened, tree):
    found = opened(tree({"train/a": 3, "train/bird": 3, "test/a": 3, "test/birds": 3}))
    assert "No images to train on are of birds." in found.said and "No images held out are of bird." in found.said


def test_held_out_files_that_are_trained_on_are_told(opened, tree):
    folder = tree({"train/a": 4, "test/a": 3})
    (folder / "test" / "a" / "00.bmp").write_bytes((folder / "train" / "a" / "02.bmp").read_bytes())
    assert opened(folder).said[-1] == "1 of the held-out files are, byte for byte, among those to train on."
    (folder / "test" / "a" / "01.bmp").write_bytes((folder / "train" / "a" / "02.bmp").read_bytes())
    assert opened(folder).said[-1] == "2 of the held-out files are, byte for byte, among those to train on."


def test_many_classes_are_not_all_named(opened, tree):
    found = opened(tree({f"c{i:02}": 2 for i in range(12)}))
    assert "12 classes (c00 2, " in found.said[-1] and "c09 2 and 2 more)" in found.said[-1]


def test_fingerprints_of_layouts_that_are_as_they_were(opened, tmp_path):
    """Keys that published results name follow from these."""
    image = bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
        "3a7e9b550000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
    )
    places = {
        "flat": [f"{i}.png" for i in range(12)],
        "classes": [f"{c}/{i}.png" for c in ("b", "a", "Café") for i in range(6)],
        "splits": [f"{s}/{c}/{i}.png" for s in ("train", "test") for c in "ba" for i in range(3)],
        "one": [f"one/{i}.png" for i in range(12)],
        "named": [f"{c}/{i}.png" for c in ("bus", "train") for i in range(6)],
    }
    found = {}
    for place, names in places.items():
        for i, name in enumerate(names):
            file = tmp_path / place / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(image + bytes([i]))
        found[place] = opened(tmp_path / place).name
    assert found == {
        "flat": "images:be9443ddbe02",
        "classes": "images:4ea71be2165a",
        "splits": "images:db3f4e4e84d9",
        "one": "images:3a0669dc5e4c",
        "named": "images:e53db12a2345",
    }
