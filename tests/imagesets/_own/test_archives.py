"""Archives: the same sets as their folders; what is unsafe, encrypted or damaged."""

import os
import zipfile
from pathlib import Path

import pytest

from imagesets._own import decode
from lab.errors import WorkbenchError


def zipped(folder, path, prefix="", **settings):
    with zipfile.ZipFile(path, "w", **settings) as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


def piped(path):
    """Whoever opened it to read would wait for ever."""
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("prefix", ["", "images/"])
@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_is_the_same_set_as_its_folder(opened, tmp_path, prefix, packing, write_folder, both):
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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize("change", [lambda path: path.write_bytes(path.read_bytes()[:5000]), Path.unlink, piped])
def test_an_archive_that_is_written_anew_while_it_is_read_is_no_damaged_one(
    opened, folder, tmp_path, monkeypatch, change, skip_bad
):
    archive, look = zipped(folder, tmp_path / "images.zip"), decode.look

    def look_and_change(*about):
        found = look(*about)
        change(archive)
        return found

    monkeypatch.setattr(decode, "look", look_and_change)
    with pytest.raises(WorkbenchError, match=r"images.zip has changed while it was read: run the command again"):
        opened(archive, "zip", skip_bad=skip_bad)


def test_what_an_archive_became_that_changed_is_not_remembered(opened, folder, tmp_path, monkeypatch):
    """The old one may be put back."""
    archive, look = zipped(folder, tmp_path / "images.zip"), decode.look
    whole = archive.read_bytes()

    def look_and_damage(*about):
        archive.write_bytes(bytes(4) + whole[4:])
        return look(*about)

    with monkeypatch.context() as patch, pytest.raises(WorkbenchError, match="has changed while it was read"):
        patch.setattr(decode, "look", look_and_damage)
        opened(archive, "zip", skip_bad=True)
    archive.write_bytes(whole)
    assert len(opened(archive, "zip", skip_bad=True).names) == 18


def test_a_damaged_member_is_named(opened, folder, tmp_path):
    archive = zipped(folder, tmp_path / "images.zip", compression=zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    data[data.index(b"IDAT") + 20] ^= 255
    archive.write_bytes(data)
    with pytest.raises(WorkbenchError, match=r"017.png' cannot be decoded: damaged in the archive"):
        opened(archive, "zip")
    assert opened(archive, "zip", skip_bad=True).names == [name for name in opened(folder).names if name != "017.png"]


def renamed(archive, path, rename):
    """The same archive with its members' names, as bytes of one length, written otherwise than Python writes them."""
    data = archive.read_bytes()
    for info in zipfile.ZipFile(archive).infolist():
        old, new = info.filename.encode(), rename(info.filename)
        assert len(old) == len(new)
        data = data.replace(old, new)
    path.write_bytes(data)
    return path


def test_backslashes_part_folders(opened, tmp_path, write_folder):
    """As older .NET writes them."""
    folder = write_folder(tmp_path / "images", 6, ("a", "b"))
    archive = zipped(folder, tmp_path / "images.zip", "photos/")
    windows = renamed(archive, tmp_path / "windows.zip", lambda name: name.replace("/", "\\").encode())
    found = opened(windows, "zip")
    assert found.name == opened(folder).name and found.SPEC.classes == ("a", "b")
    up = renamed(archive, tmp_path / "up.zip", lambda name: name.replace("photos/", "..\\..\\x").encode())
    with pytest.raises(WorkbenchError, match=r"no image files \(\d+ with unsafe names"):
        opened(up, "zip")


def test_names_in_utf8_that_do_not_say_so_are_read_as_such(opened, tmp_path, write_folder):
    """As macOS writes them: names of classes came out garbled."""
    folder = write_folder(tmp_path / "images", 6, ("café", "犬"))
    archive = zipped(folder, tmp_path / "images.zip")
    data = bytearray(archive.read_bytes())
    for sign, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        start = data.find(sign)
        while start >= 0:
            data[start + place + 1] &= ~0x08
            start = data.find(sign, start + 4)
    archive.write_bytes(data)
    assert opened(archive, "zip").SPEC.classes == ("café", "犬")
    assert opened(archive, "zip").name == opened(folder).name


@pytest.mark.parametrize("place, bytes_", [(46, b"\xff"), (6, b"\xc8"), (24, b"\xff" * 4)])
def test_a_damaged_list_of_members(opened, tmp_path, write_folder, place, bytes_):
    """A name that is not in UTF-8, a version that is none, and a size that is not there."""
    archive = zipped(write_folder(tmp_path / "images", 12, ("é",)), tmp_path / "images.zip")
    data = bytearray(archive.read_bytes())
    start = data.index(b"PK\1\2") + place
    data[start : start + len(bytes_)] = bytes_
    archive.write_bytes(data)
    with pytest.raises(WorkbenchError, match=r"is no zip archive, or a damaged one|cannot be decoded"):
        opened(archive, "zip")


def test_a_member_of_more_bytes_than_there_are_numbers_for(opened, folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.write(folder / "000.png", "000.png")
        archive.filelist[0].file_size = 1 << 63
    with pytest.raises(WorkbenchError, match=r"is no zip archive, or a damaged one"):
        opened(tmp_path / "images.zip", "zip")


def test_an_archive_behind_something_else_and_one_of_long_fields(opened, folder, tmp_path):
    archive = zipped(folder, tmp_path / "images.zip")
    behind = tmp_path / "program.zip"
    behind.write_bytes(b"#!/bin/sh\nexit\n" * 99 + archive.read_bytes())
    long = tmp_path / "long.zip"
    with zipfile.ZipFile(long, "w") as writer:
        for file in folder.iterdir():
            with writer.open(file.name, "w", force_zip64=True) as member:
                member.write(file.read_bytes())
    names = {opened(path, "zip", data=tmp_path / path.stem).name for path in (archive, behind, long)}
    assert names == {opened(folder).name}
