"""Sets that are decoded, written and noted in several pieces are what they are in one."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image

import imagesets
from imagesets._own import decode, listing, manifest, parallel, store
from imagesets._own.folder import FolderReader, list_folder
from lab import pace


@pytest.fixture
def odd(folder):
    """A folder of 18 images, one of a single colour, one of 16 bits with a transparent value, one damaged."""
    Image.new("RGB", (20, 20), "red").save(folder / "000.png")
    Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20)).save(folder / "001.png", transparency=7)
    (folder / "016.png").write_bytes(b"fake")
    return folder


def test_what_is_told_of_a_set_is_that_of_all_its_parts(opened, odd, tmp_path, monkeypatch):
    one = opened(odd, size=32, skip_bad=True)
    monkeypatch.setattr(parallel, "ITEMS", 4)
    monkeypatch.setattr(parallel, "cores", lambda: 1)
    many = opened(odd, data=tmp_path / "other", size=32, skip_bad=True)
    assert many.name == one.name and many.record == one.record and many.names == one.names
    assert (many.record["enlarged"], many.record["plain"], many.record["seen"]) == (17, 1, [0, 399])
    assert [line for line in many.said if "Left out:" in line] == [line for line in one.said if "Left out:" in line]
    assert "016.png" in str(many.said) and "016.png" not in many.names


def test_the_files_that_decide_the_size_are_spread_over_all(tmp_path, write_image, monkeypatch):
    monkeypatch.setattr(decode, "SAMPLED", 3)
    for i in range(9):
        write_image(tmp_path / f"{i}.png", (16, 16) if i < 3 else (64, 64))
    assert imagesets.usual_side(f"folder:{tmp_path}") == 64


def test_how_many_files_were_looked_at_is_told_after_a_second_and_then_now_and_again(folder, monkeypatch, capsys):
    """Who has named a whole disk sees that at once, and not in silence for hours."""
    clock = itertools.count(0.0, 0.25)
    monkeypatch.setattr(pace.time, "monotonic", lambda: next(clock))
    names = list_folder(folder, follow_links=False).names
    assert len(names) == 18 and capsys.readouterr().err == f"Looking for images in {folder.resolve()}: 4 files so far\n"
    monkeypatch.setattr(pace, "LINE_SECONDS", 2.0)
    list_folder(folder, follow_links=False)
    assert [line.split()[-4] for line in capsys.readouterr().err.splitlines()] == ["4", "12"]


def test_names_and_what_is_known_of_files_in_several_blocks(opened, folder, monkeypatch, tmp_path):
    one, read, real = opened(folder, data=tmp_path / "other"), [], FolderReader.read
    for module in (listing, manifest):
        monkeypatch.setattr(module, "BLOCK", 5)
    many = opened(folder)
    assert many.name == one.name and many.names == one.names and len(many.names) == 18
    (folder / "017.png").touch()
    monkeypatch.setattr(FolderReader, "read", lambda self, name: (read.append(name), real(self, name))[1])
    assert opened(folder).name == one.name and read == ["017.png"]


def test_gaps_are_closed_in_several_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "BLOCK", 2)
    images = np.arange(7 * 4, dtype=np.uint8).reshape(7, 1, 2, 2)
    np.save(tmp_path / store.IMAGES, images)
    good = np.array([True, False, True, True, True, False, True])
    store.write(tmp_path, good, None, list("acdeg"), {})
    assert (np.load(tmp_path / store.IMAGES) == images[good]).all()
    assert set(json.loads((tmp_path / store.RECORD).read_text())["hashes"]) == {store.IMAGES, store.NAMES}
