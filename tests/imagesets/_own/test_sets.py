"""Folders and archives of images: the files taken, their classes and splits, keys, caches, and what is refused."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import imagesets
from imagesets._own import decode, parallel, pixels, sets
from lab.errors import UsageError, WorkbenchError

ROOT = Path(__file__).resolve().parents[3]
RANDOM = np.random.default_rng(0)


def write_image(path, size=(20, 20), mode="RGB", **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    Image.fromarray(RANDOM.integers(0, 256, shape, dtype=np.uint8)).save(path, **settings)


def write_folder(folder, n=18, classes=("",), **settings):
    for name in classes:
        for i in range(n):
            write_image(folder / name / f"{i:03}.png", **settings)
    return folder


@pytest.fixture
def opened(tmp_path):
    """Open a folder or archive; gives the set, with its messages as `said`."""

    def open_one(path, kind="folder", data=tmp_path / "data", **settings):
        said = []
        name = imagesets.settle(f"{kind}:{path}", data, say=said.append, **settings)
        found = sets.OwnImages(name, data)
        found.said = said
        found.names = os.fsdecode((found.folder / "names").read_bytes()).split("\0")[:-1]
        return found

    return open_one


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "images")


def both(found, root=None):
    """All images and labels of a set, as arrays."""
    splits = [found.load(root, split, False) for split in ("train", "test")]
    labels = None if splits[0].labels is None else np.concatenate([s.labels.numpy() for s in splits])
    return np.concatenate([s.images.numpy() for s in splits]), labels


# Which files, which classes, which splits


def test_a_flat_folder_has_no_labels_and_one_in_six_is_held_out(opened, folder):
    found = opened(folder)
    assert found.SPEC.plain() == {
        "channels": 3, "size": 20, "classes": [], "splits": ["train", "test"], "n": {"train": 15, "test": 3},
    }  # fmt: skip
    images, labels = both(found)
    assert labels is None and len(set(found.names)) == 18
    for name, image in zip(found.names, images, strict=True):
        assert (image == np.asarray(Image.open(folder / name)).transpose(2, 0, 1)).all()


def test_subfolders_are_classes_in_order_of_their_names_and_each_is_split(opened, tmp_path):
    classes = ("zebra", "Kätzchen und 犬", "<b>'\"$x$")
    found = opened(write_folder(tmp_path / "images", 13, classes))
    assert found.SPEC.classes == tuple(sorted(classes)) and found.SPEC.n == {"train": 33, "test": 6}
    _, labels = both(found)
    assert [found.SPEC.classes[label] for label in labels] == [name.partition("/")[0] for name in found.names]
    assert np.bincount(labels[33:]).tolist() == [2, 2, 2]


def test_deeper_folders_belong_to_their_class(opened, tmp_path):
    write_folder(tmp_path / "images", 6, ("a/x", "a/y", "b"))
    assert opened(tmp_path / "images").SPEC.classes == ("a", "b")


@pytest.mark.parametrize("classes", [("",), ("a", "b")])
def test_train_and_test_are_the_splits(opened, tmp_path, classes):
    for name in classes:
        write_folder(tmp_path / "images" / "train" / name, 4)
        write_folder(tmp_path / "images" / "test" / name, 3)
    write_folder(tmp_path / "images" / "val", 2)
    write_image(tmp_path / "images" / "logo.png")
    found = opened(tmp_path / "images")
    assert found.SPEC.n == {"train": 4 * len(classes), "test": 3 * len(classes)}
    assert all(name.startswith("train/") == (i < found.SPEC.n["train"]) for i, name in enumerate(found.names))
    assert found.SPEC.classes == tuple(name for name in classes if name)
    assert "as train/ and test/ say" in found.said[-1] and "3 beside train/ and test/" in found.said[-1]


def test_a_class_may_be_called_train(opened, tmp_path):
    found = opened(write_folder(tmp_path / "images", 6, ("bus", "train")))
    assert found.SPEC.classes == ("bus", "train")


def test_the_split_does_not_depend_on_other_classes_or_the_place(opened, tmp_path):
    one = opened(write_folder(tmp_path / "one", 12, ("a", "b")))
    two = opened(write_folder(tmp_path / "two", 12, ("a", "b", "c")))
    assert set(one.names[one.SPEC.n["train"] :]) <= set(two.names[two.SPEC.n["train"] :])


def test_hidden_other_and_outside_files_are_left_out_and_counted(opened, folder, tmp_path):
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
    assert "2 hidden, 4 linked from outside, 1 of another kind" in found.said[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_of_any_bytes(opened, folder):
    for name in (b"\xff\xfe.png", b"two\nlines.png", "日本語 'x'.PNG".encode()):
        write_image(Path(os.fsdecode(os.fsencode(folder) + b"/" + name)), format="PNG")
    found = opened(folder)
    assert len(found.names) == 21 and "two\nlines.png" in found.names
    assert opened(folder).name == found.name


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_classes_of_any_bytes(opened, tmp_path):
    folder = write_folder(tmp_path / "images", 6, ("b", os.fsdecode(b"caf\xe9")))
    found = opened(folder)
    assert found.SPEC.classes == ("b", "caf\\xe9") and found.SPEC.n == {"train": 10, "test": 2}


def test_a_set_is_on_the_disk_before_it_has_its_name(opened, folder, monkeypatch):
    events, rename = [], Path.rename
    monkeypatch.setattr(decode, "sync_file", lambda path: events.append(path.name))
    monkeypatch.setattr(Path, "rename", lambda path, to: (events.append("named"), rename(path, to))[1])
    opened(folder)
    assert {"images.npy", "names"} <= set(events[: events.index("named")])


# One size and one number of channels for all


def test_the_size_is_the_nearest_buildable_one(opened, tmp_path):
    folder = tmp_path / "images"
    for i, size in enumerate([(30, 90), (31, 31), (47, 33), (200, 100), (12, 12)] * 3):
        write_image(folder / f"{i}.png", size)
    found = opened(folder)
    assert found.SPEC.size == 28 and "28 x 28 pixels (3 enlarged)" in found.said[-1]
    assert opened(folder, size=16).SPEC.size == 16


def test_grey_is_decided_once_for_the_set(opened, tmp_path):
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


# Keys and caches


def test_a_second_opening_reads_no_file(opened, folder, monkeypatch):
    first = opened(folder)
    monkeypatch.setattr("imagesets._own.listing._FolderReader.read", None)
    second = opened(folder)
    assert second.name == first.name and len(second.said) == 1 and "Decoding" not in second.said[0]


def test_a_changed_file_makes_another_set(opened, folder):
    first = opened(folder)
    status = (folder / "003.png").stat()
    write_image(folder / "003.png")
    os.utime(folder / "003.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    second = opened(folder)
    assert second.name != first.name
    old, new = (dict(zip(found.names, both(found)[0], strict=True)) for found in (first, second))
    assert [name for name in old if (old[name] != new[name]).any()] == ["003.png"]


def test_the_key_is_that_of_the_content_and_not_of_the_place(opened, folder, tmp_path):
    first = opened(folder)
    moved = folder.rename(tmp_path / "another name")
    second = opened(moved)
    assert second.name == first.name and not any("Decoding" in line for line in second.said)
    assert opened(moved, data=tmp_path / "other data").name == first.name
    (moved / "003.png").rename(moved / "300.png")
    assert opened(moved).name != first.name


def test_only_touched_files_are_read_again(opened, folder, monkeypatch):
    first, read = opened(folder), []
    (folder / "005.png").touch()
    from imagesets._own.listing import _FolderReader

    real = _FolderReader.read
    monkeypatch.setattr(_FolderReader, "read", lambda self, name: (read.append(name), real(self, name))[1])
    assert opened(folder).name == first.name and read == ["005.png"]


def test_settings_make_other_sets_and_the_resolved_ones_count(opened, folder):
    assert len({opened(folder, **settings).name for settings in ({}, {"size": 16}, {"channels": 1})}) == 3
    assert opened(folder, size=20, channels=3, skip_bad=True).name == opened(folder).name


def test_a_removed_or_damaged_set(opened, folder, tmp_path):
    found = opened(folder)
    (found.folder / "images.npy").write_bytes((found.folder / "images.npy").read_bytes()[:-1])
    with pytest.raises(WorkbenchError, match="is damaged: remove"):
        imagesets.load(found.name, "train", root=tmp_path / "data")
    for file in found.folder.iterdir():
        file.unlink()
    found.folder.rmdir()
    with pytest.raises(WorkbenchError, match="run the command that names their folder"):
        imagesets.spec(found.name, tmp_path / "data")
    assert opened(folder).name == found.name


def test_a_damaged_manifest_or_record_is_not_believed(opened, folder, tmp_path):
    found = opened(folder)
    for path in (tmp_path / "data" / ".decoded" / "manifests").glob("*.jsonl"):
        path.write_text('["not a manif')
    assert opened(folder).name == found.name
    other = tmp_path / "data" / ".decoded" / "0123456789ab" / "set.json"
    other.parent.mkdir()
    other.write_text("{")
    (folder / "000.png").touch()
    assert opened(folder).name == found.name
    (found.folder / "set.json").write_text("{")
    with pytest.raises(WorkbenchError, match=r"set\.json is damaged: remove .* to decode anew"):
        opened(folder)


def test_several_processes_give_what_one_gives(opened, tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "images", 40, ("a", "b"))
    (folder / "a" / "007.png").write_text("fake")
    one = opened(folder, skip_bad=True)
    monkeypatch.setattr(parallel, "ITEMS", 9)
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    two = opened(folder, data=tmp_path / "other", skip_bad=True)
    assert two.name == one.name and two.names == one.names
    assert (both(one)[0] == both(two)[0]).all() and "7.png" in str(two.said)


def test_parts_are_of_few_files_and_few_bytes():
    assert parallel.parts(np.array([], np.int64)) == []
    sizes = np.full(600, 10)
    assert parallel.parts(sizes) == [slice(0, 256), slice(256, 512), slice(512, 600)]
    sizes[[5, 6]] = parallel.BYTES + 1
    assert parallel.parts(sizes)[:3] == [slice(0, 5), slice(5, 6), slice(6, 7)]


def in_a_process(code, folder, data, **popen):
    code = (
        "import os, signal\nfrom pathlib import Path\nfrom lab import imageset\n"
        f"from imagesets._own import decode, parallel, pixels\n{code}\n"
        "def say(text): print(text, flush=True)\n"
        f"print(imagesets.settle({f'folder:{folder}'!r}, Path({str(data)!r}), say=say))"
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, **popen)


def test_two_processes_at_once_decode_once(folder, tmp_path):
    slow = "import time; real = decode._write_set; decode._write_set = lambda *a: (time.sleep(0.5), real(*a))"
    running = [in_a_process(slow, folder, tmp_path / "data") for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0] for process in running]
    assert len({output.splitlines()[-1] for output in outputs}) == 1
    assert "".join(outputs).count("Decoding") == 1


@pytest.mark.parametrize("where", ["decode._write_set", "decode._give_name", "decode.write_json"])
def test_killed_while_decoding_nothing_is_taken_for_whole(opened, folder, tmp_path, where):
    data = tmp_path / "data"
    killed = in_a_process(f"{where} = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)", folder, data)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert list((data / ".decoded").glob(".*")) and not list((data / ".decoded").glob("[!.]*/set.json"))
    found = opened(folder)
    assert len(both(found)[0]) == 18 and not list((data / ".decoded").glob(".*"))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_workers_end_with_their_parent(folder, tmp_path):
    slow = (
        "import time; real = pixels.decode_part\n"
        "def slow(*a): print('at work', os.getpid(), flush=True); time.sleep(60)\n"
        "pixels.decode_part = slow; parallel.ITEMS = 2; parallel.cores = lambda: 2"
    )
    parent = in_a_process(slow, folder, tmp_path / "data")
    workers = []
    while len(workers) < 2:
        line = parent.stdout.readline()
        workers += [int(line.split()[-1])] if line.startswith("at work") else []
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while any(_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in workers if _alive(pid)]


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# Archives


def zipped(folder, path, prefix="", **settings):
    with zipfile.ZipFile(path, "w", **settings) as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("prefix", ["", "images/"])
@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_is_the_same_set_as_its_folder(opened, tmp_path, prefix, packing):
    folder = write_folder(tmp_path / "images", 8, ("a", "b"), format="BMP")
    archive = zipped(folder, tmp_path / "images.zip", prefix, compression=packing)
    one, two = opened(folder), opened(archive, "zip", data=tmp_path / "other")
    assert one.name == two.name and one.names == two.names
    assert (both(one)[0] == both(two)[0]).all()
    assert opened(archive, "zip", data=tmp_path / "other").name == one.name


def test_unsafe_and_hidden_names_in_an_archive_are_left_out(opened, folder, tmp_path):
    archive = zipped(folder, tmp_path / "images.zip")
    image = (folder / "000.png").read_bytes()
    with zipfile.ZipFile(archive, "a") as file:
        for name in ("../slip.png", "/etc/slip.png", "a/../../slip.png", "C:/slip.png", "__MACOSX/._1.png", "x.txt"):
            file.writestr(name, image)
        file.writestr(".", b"")
    found = opened(archive, "zip")
    assert found.name == opened(folder).name
    assert "4 with unsafe names" in found.said[-1] and "1 hidden" in found.said[-1]
    assert not list(tmp_path.rglob("slip.png"))


def test_an_encrypted_archive(opened, folder, tmp_path):
    archive = zipped(folder, tmp_path / "images.zip")
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(WorkbenchError, match=r"is encrypted .*unpack it"):
        opened(archive, "zip")


def test_an_archive_packed_in_another_way(opened, folder, tmp_path):
    with pytest.raises(WorkbenchError, match="only stored and deflated"):
        opened(zipped(folder, tmp_path / "images.zip", compression=zipfile.ZIP_LZMA), "zip")


def test_a_damaged_member_is_named(opened, folder, tmp_path):
    archive = zipped(folder, tmp_path / "images.zip", compression=zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    data[data.index(b"IDAT") + 20] ^= 255
    archive.write_bytes(data)
    with pytest.raises(WorkbenchError, match=r"017.png' cannot be decoded: damaged in the archive"):
        opened(archive, "zip")
    assert opened(archive, "zip", skip_bad=True).names == [name for name in opened(folder).names if name != "017.png"]


# What is refused


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda f: None, "holds no image files"),
        (lambda f: (f / "a.txt").write_text(""), r"holds no image files \(1 of another kind left out\)"),
        (lambda f: write_folder(f, 1), "too small: 0 images to train on and 1 held out|too small: 1 images"),
        (lambda f: write_folder(f, 7), "too small: 6 images to train on and 1 held out"),
        (lambda f: (write_folder(f / "a"), write_image(f / "x.png")), "both in class folders and beside them, as 'x"),
        (lambda f: write_folder(f / "train", 9, ("a", "b")), "images in train/ and none in test/"),
        (lambda f: (write_folder(f / "test"), write_folder(f / "val")), "images in test/ and none in train/"),
    ],
)
def test_folders_that_will_not_do(opened, tmp_path, make, words):
    folder = tmp_path / "images"
    folder.mkdir()
    make(folder)
    with pytest.raises(WorkbenchError, match=words) as caught:
        opened(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_paths_that_are_not_there(opened, folder, tmp_path):
    for kind, path in (("folder", tmp_path / "no"), ("folder", folder / "000.png"), ("zip", folder), ("zip", "no.zip")):
        with pytest.raises(UsageError, match="is no f"):
            opened(path, kind)
    with pytest.raises(UsageError, match="is no zip archive"):
        opened(folder / "000.png", "zip")


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
    write_image(path, (64, 64), quality=95)
    path.write_bytes(path.read_bytes()[:-500])


def bomb(path):
    Image.new("1", (20000, 10000)).save(path)


BAD = [
    ("cut.jpg", cut_off, "truncated"),
    ("fake.png", lambda path: path.write_text("this is no image"), "no image of JPEG, PNG, WEBP, GIF, BMP"),
    ("empty.png", lambda path: path.touch(), "no image of"),
    ("bomb.png", bomb, "Pillow's limit against decompression bombs"),
    ("other.png", lambda path: write_image(path, format="TIFF"), "no image of"),
]


@pytest.mark.parametrize("name, make, words", BAD, ids=[name for name, *_ in BAD])
def test_a_bad_file_is_named_and_skipped_only_on_request(opened, folder, name, make, words):
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


def test_a_class_of_bad_files_alone_is_no_other_set_s(opened, tmp_path):
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
        "import sys; from pathlib import Path; from lab import imageset;"
        f"name = imagesets.settle({f'folder:{folder}'!r}, Path({str(tmp_path / 'data')!r}));"
        f"imagesets.spec(name, Path({str(tmp_path / 'data')!r})); print('torch' in sys.modules)"
    )
    assert python(code) == "False"


# From end to end


def test_a_gan_learns_a_folder_and_is_found_done_where_the_folder_moved(snnl, tmp_path):
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


def test_a_study_of_images_without_classes_is_redrawn_without_the_images(snnl, tmp_path):
    write_folder(tmp_path / "images", 60, size=(16, 16), mode="L")
    arguments = ["--preset", "smoke", "--seeds", "1", "--gans", "dcgan", "--kimg", "0.3", "--points", "2", "--n", "10"]
    done = snnl("study", "gan-entanglement", *arguments, "--imageset", "folder:images", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    page = (tmp_path / result["report"]).read_text(encoding="utf-8")
    assert "Real side by class" not in page and "coverage of classes" in page
    (tmp_path / "data").rename(tmp_path / "gone")
    again = snnl("report", tmp_path / result["folder"], cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / result["report"]).read_text(encoding="utf-8") == page


@pytest.mark.parametrize("classes, words", [(("",), "no labels"), (("one",), "all 2 are of one class")])
def test_layers_need_classes(opened, tmp_path, classes, words):
    from outside.network import measure_network

    name = opened(write_folder(tmp_path / "images", 12, classes)).name
    with pytest.raises(WorkbenchError, match=words):
        measure_network("torchvision:resnet18", name, data=tmp_path / "data", size=32)


def test_layers_are_measured_at_the_size_that_the_images_were_decoded_to(snnl, tmp_path):
    write_folder(tmp_path / "images", 12, ("a", "b"), size=(50, 40))
    arguments = ["--model", "torchvision:resnet18", "--layers", "fc", "--size", "36"]
    done = snnl("measure", "layers", *arguments, "--imageset", "folder:images", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "36 x 36 pixels, colour" in done.stderr and "4 of 4 images of images:" in done.stderr
