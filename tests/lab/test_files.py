"""A file is the old one or the whole new one."""

import errno
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from lab import files
from lab.errors import WorkbenchError
from lab.files import (
    atomic_write,
    explaining,
    from_json,
    read_arrays,
    read_object,
    remove,
    remove_leftovers,
    remove_leftovers_of,
    replacing,
    write_arrays,
    write_json,
)


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path):
    target = tmp_path / "file"
    atomic_write(target, "old")
    with pytest.raises(RuntimeError), replacing(target) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_two_writers_of_one_number_do_not_meet(tmp_path, monkeypatch):
    """On two machines, or in two containers, where many processes are number 1."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    target = tmp_path / "file"
    with replacing(target) as one:
        one.write_text("one")
        with replacing(target) as other:
            assert other != one and other.parent == one.parent == tmp_path
            assert {path.name.partition("-")[0] for path in (one, other)} == {".file.1"}, "whose it is can be told"
            other.write_text("other")
        assert target.read_text() == "other"
    assert target.read_text() == "one" and [*tmp_path.iterdir()] == [target]


def test_what_a_killed_writer_left_is_known_by_its_name(tmp_path):
    with replacing(tmp_path / "rows.jsonl") as aside:
        left = aside.name
        aside.write_text("whole")
    (tmp_path / left).write_text("half")
    remove_leftovers(tmp_path)
    assert not (tmp_path / left).exists()


def test_text_and_bytes(tmp_path):
    atomic_write(tmp_path / "file", "ä")
    assert (tmp_path / "file").read_bytes() == "ä".encode()
    atomic_write(tmp_path / "file", b"\xff")
    assert (tmp_path / "file").read_bytes() == b"\xff"
    atomic_write(tmp_path / "file", os.fsdecode(b"\xff"))
    assert (tmp_path / "file").read_text("utf-8") == r"\udcff", "a report tells of a folder whose name is no text"


def test_json_keeps_a_path_whose_bytes_are_no_text(tmp_path):
    folder = os.fsdecode("é/".encode() + b"\xff")
    write_json(tmp_path / "a.json", {"data": folder})
    assert read_object(tmp_path / "a.json") == {"data": folder}
    assert "é" in (tmp_path / "a.json").read_text("utf-8")


def test_json_has_no_nan(tmp_path):
    write_json(tmp_path / "file", {"b": [math.nan, 1.5], "a": math.inf, "c": ({"d": -math.inf}, math.nan)})
    text = (tmp_path / "file").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"a": None, "b": [None, 1.5], "c": [{"d": None}, None]}
    assert text.index('"a"') < text.index('"b"')


@pytest.mark.parametrize("opens, closes", [('{"a": ', "}"), ("[", "]")])
def test_json_that_is_nested_more_deeply_than_ours_is_refused(opens, closes):
    """Long before Python's own depth ends, where whoever walks through it would break off."""
    nested = {depth: f'{{"x": {opens * depth}1{closes * depth}}}' for depth in (20, 40)}
    assert from_json(nested[20]) == json.loads(nested[20]) and json.loads(nested[40])
    with pytest.raises(ValueError, match="nested too deeply"):
        from_json(nested[40])


@pytest.mark.parametrize(
    "number, where, words",
    [
        (errno.ENOSPC, None, r"No room for .*cell \(No space left on device\). Free some; the same command goes on"),
        (errno.EDQUOT, "cell/file", r"No room for .*cell/file"),
        (errno.EFBIG, "cell/file", r"No room for .*cell/file \(File too large\). Raise the limit of files' sizes"),
        (errno.EROFS, "cell/file", r"cell/file cannot be written \(Read-only file system\). Make .*cell writable"),
        (errno.EACCES, "cell/file", r"cell/file cannot be written \(Permission denied\)"),
    ],
)
def test_a_full_disk_and_a_read_only_folder_are_explained(tmp_path, number, where, words):
    with pytest.raises(WorkbenchError, match=words), explaining(tmp_path / "cell"):
        raise OSError(number, os.strerror(number), *([str(tmp_path / where)] if where else []))


def test_of_a_folder_that_cannot_be_made_the_one_around_it_is_to_be_made_writable(tmp_path):
    with pytest.raises(WorkbenchError, match=f"Make {tmp_path} writable"), explaining(tmp_path / "cell"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "cell"))


def test_a_file_that_finds_no_room_is_named(tmp_path):
    """The system does not name what it has no room to write to."""
    with pytest.raises(OSError, match=r"No space left on device: '.*/file'"), replacing(tmp_path / "file") as aside:
        aside.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match=r"File too large: '.*/file'"), replacing(tmp_path / "file") as aside:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    assert not any(tmp_path.iterdir())


def test_other_errors_are_left_as_they_are(tmp_path):
    for error in (PermissionError(errno.EACCES, "no", "/elsewhere/image.png"), FileNotFoundError(errno.ENOENT, "no")):
        with pytest.raises(type(error)), explaining(tmp_path):
            raise error


def test_bytes_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (done.append("sync"), fsync(number)))
    monkeypatch.setattr(Path, "replace", lambda self, target: (done.append("rename"), replace(self, target))[1])
    atomic_write(tmp_path / "file", "text")
    assert done == ["sync", "rename", "sync"]


def test_only_what_killed_writers_left_is_removed(tmp_path):
    (tmp_path / "deep" / ".step-1.tmp").mkdir(parents=True)
    for name in (".rows.jsonl.123.tmp", "deep/.a.png.9.tmp", "deep/.step-1.tmp/file", "rows.jsonl", "my.tmp", ".keep"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".keep", "deep", "my.tmp", "rows.jsonl"]


def test_what_others_call_temporary_is_not_removed(tmp_path):
    """Reports and cells are written in folders in which people keep things of their own, too."""
    (tmp_path / "deep" / ".work.tmp").mkdir(parents=True)
    (tmp_path / ".step-final.tmp").mkdir()
    names = (".notes.tmp", "deep/.work.tmp/data", ".tmp", ".7.tmp", ".v2.tmp", ".notes.7.tmp.md", "deep/.a.b.tmp")
    for name in names:
        (tmp_path / name).touch()
    before = {*tmp_path.rglob("*")}
    remove_leftovers(tmp_path)
    assert {*tmp_path.rglob("*")} == before
    for name in (".a.png.9-0123abcd.tmp", ".step-00000003.tmp", ".step-00000003.old.tmp"):
        (tmp_path / "deep" / name).mkdir()
    remove_leftovers(tmp_path)
    assert {*tmp_path.rglob("*")} == before


def test_arrays_come_back_by_name_and_no_file_holds_none(tmp_path):
    path = tmp_path / "arrays.npz"
    assert read_arrays(path) == {}
    write_arrays(path, {"x/a": np.arange(6.0).reshape(2, 3), "names": ["one", "two"]})
    found = read_arrays(path)
    assert list(found) == ["x/a", "names"]
    assert found["x/a"].dtype == np.float64 and found["x/a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["names"].tolist() == ["one", "two"]
    assert [one.name for one in tmp_path.iterdir()] == ["arrays.npz"]


def test_arrays_may_have_any_name(tmp_path):
    """Those of layers are a user's, and NumPy's own function has parameters of its own."""
    arrays = {name: np.arange(3) for name in ("file", "allow_pickle", "arr_0", "kwds", "self")}
    write_arrays(tmp_path / "arrays.npz", arrays)
    found = read_arrays(tmp_path / "arrays.npz")
    assert list(found) == list(arrays) and all(x.tolist() == [0, 1, 2] for x in found.values())


def test_arrays_that_are_far_larger_than_what_cells_keep_are_not_unpacked(tmp_path, monkeypatch):
    """A few packed bytes may stand for more than there is memory."""
    monkeypatch.setattr(files, "MOST_BYTES", 1 << 20)
    write_arrays(tmp_path / "arrays.npz", {"x": np.zeros(2 << 20, np.uint8)})
    monkeypatch.setattr("zipfile.ZipFile.open", lambda *given, **named: pytest.fail("it is unpacked"))
    with pytest.raises(WorkbenchError, match="is damaged"):
        read_arrays(tmp_path / "arrays.npz")


def test_a_pipe_in_the_place_of_arrays_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(WorkbenchError, match="is damaged"):
        read_arrays(tmp_path / "pipe.npz")


def test_arrays_of_python_objects_are_not_read(tmp_path):
    objects = np.array([{}], dtype=object)
    with pytest.raises(ValueError, match="Object arrays"):
        write_arrays(tmp_path / "objects.npz", {"x": objects})
    assert not list(tmp_path.iterdir())
    np.savez_compressed(tmp_path / "objects.npz", x=objects)
    with pytest.raises(WorkbenchError, match=r"objects.npz is damaged"):
        read_arrays(tmp_path / "objects.npz")


@pytest.mark.skipif(os.name != "posix", reason="makes a link")
def test_of_a_link_the_link_alone_is_removed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "kept").touch()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for name in ("link", "nothing there"):
        remove(tmp_path / name)
    assert (tmp_path / "folder" / "kept").exists() and not (tmp_path / "link").is_symlink()
    remove(tmp_path / "folder")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_somebody_s_that_is_called_like_a_leftover_stays(tmp_path):
    (tmp_path / ".index.html.12-ab.tmp").mkdir()
    (tmp_path / ".index.html.13-ab.tmp").touch()
    remove_leftovers_of(tmp_path, ["index.html"])
    assert [path.name for path in tmp_path.iterdir()] == [".index.html.12-ab.tmp"]
