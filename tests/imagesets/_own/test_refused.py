"""Folders and files that will not do, each told in one line."""

import os
import stat
import sys
import zipfile

import pytest
from PIL import Image

import imagesets
from imagesets._own import pixels
from lab.errors import UsageError, WorkbenchError


@pytest.mark.parametrize(
    "images, words",
    [
        ({}, r"holds no image files \(1 of another kind left out\)"),
        ({"": 1}, "too small: 0 images to train on and 1 held out|too small: 1 images"),
        ({"": 7}, "too small: 6 images to train on and 1 held out"),
        ({"a": 18, "": 1}, "both in class folders and beside them, as '000"),
        ({"train/a": 9, "train/b": 9}, "images in train/ and none in test/"),
        ({"test": 18, "val": 18}, "images in test/ and none in train/"),
    ],
)
def test_folders_that_will_not_do(opened, tmp_path, write_folder, images, words):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.txt").write_text("")
    for place, n in images.items():
        write_folder(folder / place, n)
    with pytest.raises(WorkbenchError, match=words) as caught:
        opened(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_an_empty_folder(opened, tmp_path):
    with pytest.raises(WorkbenchError, match=r"holds no image files; they end in \.bmp"):
        opened(tmp_path)


def test_paths_that_are_not_there(opened, folder, tmp_path):
    for kind, path in (("folder", tmp_path / "no"), ("folder", folder / "000.png"), ("zip", folder), ("zip", "no.zip")):
        with pytest.raises(UsageError, match="is no f"):
            opened(path, kind)
    with pytest.raises(UsageError, match="is no zip archive"):
        opened(folder / "000.png", "zip")
    with pytest.raises(UsageError, match=r"~nobody-of-that-name/photos is no folder"):
        opened("~nobody-of-that-name/photos")


def test_the_name_of_a_folder_alone_is_told_how_to_be_named(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    for name in (str(folder), f"~/{folder.name}"):
        with pytest.raises(UsageError, match=f"{name} is no image set's name; write folder:{name}"):
            imagesets.check(name)
    with pytest.raises(UsageError, match="Unknown imageset"):
        imagesets.check("x" * 5000)  # longer than any path


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_no_path_is_not_the_folder_where_the_command_is(folder, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(folder)
    for ask in (lambda: imagesets.settle(f"{kind}:", tmp_path), lambda: imagesets.usual_side(f"{kind}:")):
        with pytest.raises(UsageError, match=f"^{kind}: names no place; write {kind}:PATH"):
            ask()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(opened, folder):
    (folder / "003.png").chmod(0)
    with pytest.raises(WorkbenchError, match=r"003.png' cannot be decoded: Permission denied"):
        opened(folder)
    assert sum(opened(folder, skip_bad=True).SPEC.n.values()) == 17
    (folder / "closed").mkdir(mode=0)
    with pytest.raises(WorkbenchError, match=r"closed cannot be read: Permission denied"):
        opened(folder)
    (folder / "closed").chmod(stat.S_IRWXU)


def cut_off(path):
    Image.effect_noise((64, 64), 50).save(path, quality=95)
    path.write_bytes(path.read_bytes()[:-500])


def bomb(path):
    Image.new("1", (20000, 10000)).save(path)


BAD = [
    ("cut.jpg", cut_off, "truncated"),
    ("fake.png", lambda path: path.write_text("this is no image"), "no image of JPEG, PNG, WEBP, GIF, BMP"),
    ("empty.png", lambda path: path.touch(), "no image of"),
    ("bomb.png", bomb, "Pillow's limit against decompression bombs"),
    ("other.png", lambda path: Image.effect_noise((20, 20), 50).save(path, format="TIFF"), "no image of"),
]


@pytest.mark.parametrize("name, make, words", BAD, ids=[name for name, *_ in BAD])
def test_a_bad_file_is_named_and_skipped_only_on_request(opened, folder, name, make, words, both):
    clean = opened(folder)
    make(folder / name)
    for _ in range(2):
        with pytest.raises(WorkbenchError, match=words) as caught:
            opened(folder)
        assert str(folder / name) in str(caught.value) and "--skip-bad" in str(caught.value)
    found = opened(folder, skip_bad=True)
    assert any(name in line and line.startswith("Left out") for line in found.said)
    assert "1 not to be decoded" in found.said[-1] and name not in found.names
    images = dict(zip(found.names, both(found)[0], strict=True))
    for known, image in zip(clean.names, both(clean)[0], strict=True):
        assert (images[known] == image).all()
    assert "1 not to be decoded" in opened(folder, skip_bad=True).said[-1]
    with pytest.raises(WorkbenchError, match=words):
        opened(folder)


def test_a_folder_of_bad_files_alone(opened, tmp_path):
    for i in range(15):
        (tmp_path / f"{i}.png").write_text("fake")
    with pytest.raises(WorkbenchError, match="too small: 0 images"):
        opened(tmp_path, skip_bad=True)
    assert not list((tmp_path / "data" / ".decoded").glob("[!m]*"))


def test_a_class_of_bad_files_alone_is_no_other_set_s(opened, tmp_path, write_folder, both):
    folder = write_folder(tmp_path / "images", 12, ("a", "c"))
    clean = opened(folder)
    (folder / "b").mkdir()
    (folder / "b" / "0.png").write_text("fake")
    skipped = opened(folder, skip_bad=True)
    assert clean.SPEC.classes == ("a", "c") and skipped.SPEC.classes == ("a", "b", "c")
    assert sorted(set(both(clean)[1])) == [0, 1] and sorted(set(both(skipped)[1])) == [0, 2]


def test_no_warning_of_pillow_reaches_the_user(opened, folder, recwarn):
    bomb(folder / "bomb.png")
    opened(folder, skip_bad=True)
    assert not [str(warning.message) for warning in recwarn if "decompression" in str(warning.message)]


def test_a_full_disk_is_no_bad_file(opened, folder, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pixels, "decode_part", full)
    with pytest.raises(OSError, match="No space left"):
        opened(folder, skip_bad=True)
    assert not list((folder.parent / "data" / ".decoded").glob("[!m]*"))


def test_options_of_own_images_are_refused_for_others(tmp_path):
    assert imagesets.settle("digits", tmp_path, size=16, channels=1) == "digits"
    for settings, words in (({"size": 32}, "digits has size 16"), ({"channels": 3}, "digits has channels 1")):
        with pytest.raises(UsageError, match=words):
            imagesets.settle("digits", tmp_path, **settings)
    with pytest.raises(UsageError, match="--skip-bad"):
        imagesets.settle("digits", tmp_path, skip_bad=True)
    with pytest.raises(UsageError, match="did you mean 'digits'"):
        imagesets.settle("digit", tmp_path)
    for name in ("images:0123", "images:", "images:../.."):
        with pytest.raises(WorkbenchError, match=f"{name} are not below"):
            imagesets.settle(name, tmp_path)


def test_decoding_needs_no_torch(python, folder, tmp_path):
    code = (
        "import sys; from pathlib import Path; import imagesets;"
        f"name = imagesets.settle({f'folder:{folder}'!r}, Path({str(tmp_path / 'data')!r}));"
        f"imagesets.spec(name, Path({str(tmp_path / 'data')!r})); print('torch' in sys.modules)"
    )
    assert python(code) == "False"


def test_a_set_is_called_by_its_folder_or_by_a_given_title(write_folder, tmp_path):
    write_folder(tmp_path / "my photos")
    data, place = tmp_path / "data", f"folder:{tmp_path / 'my photos'}"
    name = imagesets.settle(place, data)
    assert imagesets.titles([name, "digits"], data) == {name: "my photos"}
    assert imagesets.settle(place, data, title="Holidays") == name
    assert imagesets.titles([name], data) == {name: "Holidays"}
    assert imagesets.titles([name], tmp_path) == {name: name}, "nobody said"
    with pytest.raises(UsageError, match="--name is for folder:PATH"):
        imagesets.settle("digits", data, title="Digits")


def test_the_ending_of_an_archive_is_no_part_of_what_it_is_called_and_of_a_folder_there_is_none(write_folder, tmp_path):
    folder = write_folder(tmp_path / "faces-v1.5")
    with zipfile.ZipFile(tmp_path / "faces-v2.5.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    for place, called in ((f"folder:{folder}", "faces-v1.5"), (f"zip:{tmp_path / 'faces-v2.5.zip'}", "faces-v2.5")):
        name = imagesets.settle(place, tmp_path)
        assert imagesets.titles([name], tmp_path) == {name: called}


@pytest.mark.skipif(sys.platform != "linux", reason="its file systems take any bytes as names")
def test_a_folder_whose_name_is_no_text_is_called_in_signs_that_are(write_folder, tmp_path):
    folder = write_folder(tmp_path / os.fsdecode(b"caf\xe9"))
    name = imagesets.settle(f"folder:{folder}", tmp_path)
    assert imagesets.titles([name], tmp_path) == {name: "caf\\xe9"}


def test_sets_of_one_name_are_told_apart_by_their_keys(write_folder, tmp_path):
    for place, count in (("a/photos", 18), ("b/photos", 19), ("a/mnist", 20), ("a/others", 21)):
        write_folder(tmp_path / place, count)
    names = [imagesets.settle(f"folder:{path}", tmp_path) for path in sorted(tmp_path.glob("[ab]/*"))]
    found = imagesets.titles([*names, "digits"], tmp_path)
    called = [found[name].replace(name.removeprefix("images:")[:6], "KEY") for name in names]
    assert called == ["mnist (KEY)", "others", "photos (KEY)", "photos (KEY)"] and len({*found.values()}) == 4
