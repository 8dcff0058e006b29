"""Keys and caches of decoded images: what is read again, what another process is at, what was broken off."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import forks
import numpy as np
import pytest

import imagesets
from imagesets._own import chunks, parallel, sets, store
from imagesets._own.folder import SECOND, FolderReader, without_young
from lab.errors import WorkbenchError

ROOT = Path(__file__).resolve().parents[3]


def test_a_second_opening_reads_no_file(opened, folder, monkeypatch):
    first = opened(folder)
    monkeypatch.setattr(FolderReader, "read", None)
    second = opened(folder)
    assert second.name == first.name and len(second.said) == 1 and "Decoding" not in second.said[0]


def written(folder):
    """Which file each path is, how large, and when it was last written."""
    found = {path: path.stat() for path in folder.rglob("*")}
    return {path: (one.st_ino, one.st_size, one.st_mtime_ns) for path, one in found.items()}


def test_a_second_opening_writes_no_file(opened, folder, tmp_path):
    """On a cluster the data may be another's; a new name is written all the same."""
    opened(folder, title="my photos ")
    before = written(tmp_path / "data")
    name = opened(folder, title="my photos ").name
    assert written(tmp_path / "data") == before
    opened(folder, title="others")
    assert sets.title_of(name, tmp_path / "data") == "others"


def test_a_title_that_cannot_be_noted_anew_stays(opened, folder, tmp_path, monkeypatch):
    name = opened(folder, title="mine").name
    refused = Mock(side_effect=PermissionError)
    monkeypatch.setattr(sets, "atomic_write", refused)
    assert opened(folder, title="others").name == name and refused.called
    assert sets.title_of(name, tmp_path / "data") == "mine"
    (tmp_path / "data" / ".decoded" / f"{name.removeprefix('images:')}.title").unlink()
    with pytest.raises(PermissionError):
        opened(folder, title="others")


def test_a_title_is_utf_8_in_any_locale(opened, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsencode", lambda text: text.encode("ascii", "surrogateescape"))
    assert sets.title_of(opened(folder, title="Käse").name, tmp_path / "data") == "Käse"


def test_a_set_is_on_the_disk_before_it_has_its_name(opened, write_folder, tmp_path, monkeypatch):
    """After a power cut, what has the name is whole."""
    rename, synced, before = Path.rename, [], {}

    def named(path, target):
        before.update({file.name: file.stat().st_ino in synced for file in path.iterdir()})
        synced.clear()
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino))
    monkeypatch.setattr(Path, "rename", named)
    found = opened(write_folder(tmp_path / "photos", classes=("a", "b")))
    assert before == dict.fromkeys(("images.npy", "labels.npy", "names", "set.json"), True)
    assert synced[0] == found.folder.parent.stat().st_ino, "then the name is"


def test_a_changed_file_makes_another_set(opened, folder, write_image, both):
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
    real = FolderReader.read
    monkeypatch.setattr(FolderReader, "read", lambda self, name: (read.append(name), real(self, name))[1])
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


@pytest.mark.parametrize("file", ["images.npy", "set.json"])
@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"[" * 100_000, b'{"format": 2, "spec": []}'])
def test_whatever_is_left_of_a_set_it_is_told_how_to_decode_it_anew(opened, folder, tmp_path, file, data):
    found = opened(folder)
    (found.folder / file).write_bytes(data)
    with pytest.raises(WorkbenchError, match=rf"{file} is damaged: remove .* to decode anew"):
        imagesets.load(found.name, "train", root=tmp_path / "data")


def test_a_pipe_in_the_place_of_decoded_images_is_not_waited_for(opened, folder, tmp_path):
    found = opened(folder)
    (found.folder / "images.npy").unlink()
    os.mkfifo(found.folder / "images.npy")
    with pytest.raises(WorkbenchError, match=r"images\.npy is damaged: remove .* to decode anew"):
        imagesets.load(found.name, "train", root=tmp_path / "data")


def test_a_damaged_manifest_or_record_is_not_believed(opened, folder, tmp_path):
    found = opened(folder)
    for path in (tmp_path / "data" / ".decoded" / "manifests").glob("*.jsonl"):
        path.write_text('["not a manif')
    assert opened(folder).name == found.name
    for path in (tmp_path / "data" / ".decoded" / "manifests").glob("*.jsonl"):
        path.unlink()
        os.mkfifo(path)
    assert opened(folder).name == found.name
    other = tmp_path / "data" / ".decoded" / "0123456789ab" / "set.json"
    other.parent.mkdir()
    other.write_text("{")
    (folder / "000.png").touch()
    assert opened(folder).name == found.name
    (found.folder / "set.json").write_text("{")
    with pytest.raises(WorkbenchError, match=r"set\.json is damaged: remove .* to decode anew"):
        opened(folder)


@pytest.mark.parametrize(
    "line",
    [
        "7",
        "{}",
        '[["a"]]',
        '[["000.png"], [[1, 2, 3]], "zz"]',
        '[["a", "b"], [], ""]',
        "[[5], [1], 2]",
        '[["a"], {}, "00"]',
        "[" * 100_000,
    ],
)
def test_of_a_manifest_that_says_other_things_nothing_is_believed(opened, folder, tmp_path, line):
    first = opened(folder)
    (path,) = (tmp_path / "data" / ".decoded" / "manifests").glob("*.jsonl")
    path.write_text(f"{path.read_text().splitlines()[0]}\n{line}\n")
    (folder / "005.png").touch()
    assert opened(folder).name == first.name


def test_a_digest_that_was_cut_is_not_believed(opened, folder, tmp_path):
    first = opened(folder)
    (path,) = (tmp_path / "data" / ".decoded" / "manifests").glob("*.jsonl")
    facts, files = path.read_text().splitlines()
    names, stamps, digests = json.loads(files)
    path.write_text(f"{facts}\n{json.dumps([names, stamps, digests[:90]])}\n")
    (folder / "005.png").touch()
    assert opened(folder).name == first.name


def test_several_processes_give_what_one_gives(opened, tmp_path, monkeypatch, write_folder, both):
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


def in_a_process(code, folder, data, program=forks.ForkedProgram):
    code = (
        "import os, signal\nfrom pathlib import Path\nimport imagesets\n"
        f"from imagesets._own import decode, parallel, pixels, store\n{code}\n"
        "def say(text): print(text, flush=True)\n"
        f"print(imagesets.settle({f'folder:{folder}'!r}, Path({str(data)!r}), say=say))"
    )
    return program([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_two_processes_at_once_decode_once(folder, tmp_path):
    slow = "import time; real = store.write; store.write = lambda *a: (time.sleep(0.5), real(*a))"
    running = [in_a_process(slow, folder, tmp_path / "data") for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0] for process in running]
    assert len({output.splitlines()[-1] for output in outputs}) == 1
    assert "".join(outputs).count("Decoding") == 1


@pytest.mark.parametrize("where", ["store.write", "store.give_name", "store.write_json"])
def test_killed_while_decoding_nothing_is_taken_for_whole(opened, folder, tmp_path, where, both):
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
        "def slow(*a): os.write(1, b'at work %d\\n' % os.getpid()); time.sleep(60)\n"  # in one piece
        "pixels.decode_part = slow; parallel.ITEMS = 2; parallel.cores = lambda: 2"
    )
    parent = in_a_process(slow, folder, tmp_path / "data", subprocess.Popen)  # without torch, it forks
    workers = []
    while len(workers) < 2:
        line = parent.stdout.readline()
        assert line, "it ended before its workers were at work"
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


def swapped(one, other):
    """Swap the bytes of two files of one size, and give both their times back."""
    times = {path: path.stat() for path in (one, other)}
    data = one.read_bytes(), other.read_bytes()
    for path, bytes_ in ((other, data[0]), (one, data[1])):
        path.write_bytes(bytes_)
        os.utime(path, ns=(times[path].st_atime_ns, times[path].st_mtime_ns))


def test_a_file_of_a_disk_without_fractions_of_seconds_is_not_known_by_its_time_until_that_is_past():
    now = 10 * SECOND + 7
    stamps = np.array([[5, 9, 9], [5, 3, 9], [5, 9, 3], [5, 7, 8]]) * [1, SECOND, SECOND]
    fine = stamps + np.array([0, 0, 1])
    assert without_young(stamps, now)[:, 2].tolist() == [now, now, now, 8 * SECOND]
    assert (without_young(stamps, now)[:, :2] == stamps[:, :2]).all()
    assert (without_young(fine, now) == fine).all() and not len(without_young(stamps[:0], now))


def test_files_that_were_swapped_are_noticed_though_size_and_time_are_the_same(opened, tmp_path, write_folder, both):
    folder = write_folder(tmp_path / "images", 12, ("a", "b"), format="BMP")
    first = opened(folder)
    swapped(folder / "a" / "003.png", folder / "b" / "004.png")
    second = opened(folder)
    assert second.name != first.name
    place = second.names.index("a/003.png")
    old = dict(zip(first.names, both(first)[0], strict=True))
    assert (both(second)[0][place] == old["b/004.png"]).all()


@pytest.mark.parametrize("file, split", [("images.npy", "train"), ("images.npy", "test"), ("labels.npy", "train")])
def test_bytes_that_changed_in_a_decoded_set_are_noticed(opened, tmp_path, write_folder, monkeypatch, file, split):
    monkeypatch.setattr(chunks, "CHUNK", 1 << 12)
    found = opened(write_folder(tmp_path / "images", 24, ("a", "b")))
    path, data = found.folder / file, bytearray((found.folder / file).read_bytes())
    imagesets.load(found.name, split, root=tmp_path / "data")
    place = -5 if split == "test" else 200
    data[place] ^= 1
    times = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(WorkbenchError, match=rf"{file} is damaged: remove .* to decode anew"):
        imagesets.load(found.name, split, root=tmp_path / "data")
    for name in found.folder.iterdir():
        name.unlink()
    found.folder.rmdir()
    assert opened(tmp_path / "images").name == found.name
    imagesets.load(found.name, split, root=tmp_path / "data")


def test_a_part_of_a_file_is_checked_alone_and_once(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 100)
    file = tmp_path / "bytes"
    file.write_bytes(bytes(950))
    hashes, read, real = chunks.hash_chunks(file), [], chunks.hash_chunks
    assert len(hashes) == 10 and hashes[0] == hashes[8] != hashes[9]
    monkeypatch.setattr(chunks, "hash_chunks", lambda path, some: (read.append(list(some)), real(path, some))[1])
    for _ in range(2):
        chunks.check(file, hashes, 350, 500)
    assert read == [[0, 3, 4]]
    with pytest.raises(ValueError, match="other bytes"):
        chunks.check(file, hashes[:-1], 350, 500)


def test_what_an_earlier_version_decoded_is_decoded_anew_under_its_name(opened, folder, tmp_path, both):
    found = opened(folder)
    images = both(found)[0].copy()
    record = json.loads((found.folder / "set.json").read_text())
    (found.folder / "set.json").write_text(json.dumps({"spec": record["spec"], "given_splits": False, "enlarged": 0}))
    with pytest.raises(WorkbenchError, match=r"were decoded to .* by an earlier version: run the command that names"):
        imagesets.spec(found.name, tmp_path / "data")
    again = opened(folder)
    assert again.name == found.name and any("Decoding" in line for line in again.said)
    assert (both(again)[0] == images).all() and not list((tmp_path / "data" / ".decoded").glob(".*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_an_error_where_bad_images_leave_gaps(tmp_path):
    """A memory map of a file that the disk has no room for would end the process."""
    np.save(tmp_path / store.IMAGES, np.zeros((3, 1, 64, 64), np.uint8))
    (tmp_path / store.IMAGES).with_suffix(".shorter").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        store.write(tmp_path, np.array([True, False, True]), None, ["a", "c"], {})
