"""Files that are too large, or would become so: refused before they take memory."""

import os
import stat
import tracemalloc
import zipfile

import pytest
from PIL import Image, PngImagePlugin

from imagesets._own import archive, listing
from lab.errors import WorkbenchError


def test_files_are_not_read_that_are_larger_than_any_image(opened, folder, monkeypatch):
    monkeypatch.setattr(listing, "LARGEST", 1 << 10)
    with pytest.raises(WorkbenchError, match=r"png' cannot be decoded: larger than 0 MiB"):
        opened(folder)


def test_nor_members_of_archives_that_are_or_would_be(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LARGEST", 1 << 10)
    with zipfile.ZipFile(tmp_path / "bombs.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for i in range(12):
            file.writestr(f"{i:02}.bmp", bytes(5000))
    with pytest.raises(WorkbenchError, match=r"bmp' cannot be decoded: larger than 0 MiB"):
        opened(tmp_path / "bombs.zip", "zip")
    with pytest.raises(ValueError, match="larger than 0 MiB"):
        archive.ArchiveReader(str(tmp_path / "bombs.zip")).read((0, 5000, zipfile.ZIP_STORED, 10, 0))


def test_a_member_is_unpacked_no_further_than_it_says(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.bmp", bytes(20_000_000))
    begin, size, method = archive.list_archive(path).places[0].tolist()
    tracemalloc.start()
    with pytest.raises(ValueError, match="damaged in the archive"):
        archive.ArchiveReader(str(path)).read((begin, size, method, 1000, 0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_an_image_of_more_pixels_than_pillow_s_limit_is_one_too_many(opened, folder, monkeypatch):
    """Up to twice the limit Pillow warns, and decodes it."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    with pytest.raises(WorkbenchError, match="more than 300 pixels, Pillow's limit"):
        opened(folder)


def test_pillow_s_limits_of_texts_are_as_they_were(opened, folder, monkeypatch):
    for number, name in enumerate(("MAX_TEXT_CHUNK", "MAX_TEXT_MEMORY"), 500):
        monkeypatch.setattr(PngImagePlugin, name, number)
    opened(folder)
    assert (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY) == (500, 501)


@pytest.mark.skipif(os.name != "posix", reason="looks at POSIX permissions")
def test_a_set_may_be_read_by_whom_the_mask_lets(opened, folder):
    umask = os.umask(0o027)
    try:
        found = opened(folder)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(found.folder.stat().st_mode) == 0o750
