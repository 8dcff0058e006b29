"""Links, and what systems keep beside a user's images, in folders and in archives."""

import os
import stat
import sys
import threading
import zipfile

import pytest

import imagesets
from imagesets._own.listing import read_file
from imagesets._own.pixels import decode_files
from lab.errors import UsageError, WorkbenchError


@pytest.fixture
def snapshot(tmp_path, write_folder):
    """A snapshot as hubs keep them: links to files that are named by their content, beside it."""
    blobs = write_folder(tmp_path / "hub" / "blobs", 24)
    for place, blob in enumerate(sorted(blobs.iterdir())):
        link = tmp_path / "hub" / "snapshots" / "1a2b" / ("cat" if place % 2 else "dog") / f"{place}.png"
        link.parent.mkdir(parents=True, exist_ok=True)
        blob.rename(blob.with_suffix(""))
        link.symlink_to(os.path.relpath(blob.with_suffix(""), link.parent))
    return tmp_path / "hub" / "snapshots" / "1a2b"


def test_links_out_of_the_folder_are_counted_and_taken_on_request(opened, snapshot):
    with pytest.raises(
        WorkbenchError, match=r"no image files \(24 linked from outside left out\).*--follow-links takes"
    ):
        opened(snapshot)
    found = opened(snapshot, follow_links=True)
    assert found.SPEC.classes == ("cat", "dog") and sum(found.SPEC.n.values()) == 24
    assert "linked" not in found.said[-1]


def test_links_that_stay_within_the_folder_are_taken_unasked(opened, snapshot):
    found = opened(snapshot.parents[1])
    assert found.SPEC.classes == ("cat", "dog") and "24 of another kind" in found.said[-1]
    assert found.name == opened(snapshot, follow_links=True).name


def test_a_change_of_what_a_link_leads_to_is_noticed(opened, snapshot, write_image):
    first = opened(snapshot, follow_links=True)
    write_image((snapshot / "dog" / "0.png").resolve(), format="PNG")
    assert opened(snapshot, follow_links=True).name != first.name


def test_linked_folders_are_followed_on_request_and_circles_are_not(opened, tmp_path, write_folder):
    write_folder(tmp_path / "all", 12, ("cat", "dog", "cow"))
    subset = tmp_path / "subset"
    subset.mkdir()
    for name in ("cat", "dog"):
        (subset / name).symlink_to(tmp_path / "all" / name)
    (tmp_path / "all" / "cat" / "round").symlink_to(tmp_path / "all" / "cat")
    (tmp_path / "all" / "dog" / "up").symlink_to(subset)
    with pytest.raises(WorkbenchError, match="--follow-links"):
        opened(subset)
    found = opened(subset, follow_links=True)
    assert found.SPEC.classes == ("cat", "dog") and sum(found.SPEC.n.values()) == 24
    assert "2 linked in a circle" in found.said[-1]


SYSTEM = (
    "@eaDir/000.png/SYNOPHOTO_THUMB_M.png",
    "__MACOSX/a.png",
    "#recycle/b.png",
    "$RECYCLE.BIN/c.png",
    "@Recycle/d.png",
)
HIDDEN = (".thumbnails/e.png", ".ipynb_checkpoints/f.png", ".@__thumb/g.png")


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_thumbnails_and_bins_of_systems_are_no_classes(opened, tmp_path, write_folder, write_image, kind):
    folder = write_folder(tmp_path / "images", 6, ("cat", "dog"))
    meant = opened(folder)
    for name in (*SYSTEM, *HIDDEN, "cat/@eaDir/1.png/2.png"):
        write_image(folder / name)
    (folder / "Thumbs.db").touch()
    (folder / "desktop.ini").touch()
    path = folder
    if kind == "zip":
        path = tmp_path / "images.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in folder.rglob("*.*"):
                archive.write(file, file.relative_to(folder).as_posix())
    found = opened(path, kind)
    assert found.name == meant.name and found.SPEC.classes == ("cat", "dog")
    assert f"{len(SYSTEM) + 1} of a system (thumbnails, bins)" in found.said[-1]
    assert f"{len(HIDDEN)} hidden" in found.said[-1] and "2 of another kind" in found.said[-1]


def test_links_in_an_archive_are_counted(opened, tmp_path, folder):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
        for name in ("link.png", "other.png"):
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "000.png")
    found = opened(tmp_path / "images.zip", "zip")
    assert found.name == opened(folder).name and "2 linked" in found.said[-1]


def test_following_links_is_for_folders(tmp_path):
    for name in ("zip:images.zip", "digits"):
        with pytest.raises(UsageError, match=r"--follow-links is for folder:PATH, not for"):
            imagesets.settle(name, tmp_path, follow_links=True)


@pytest.mark.skipif(sys.platform == "win32", reason="makes a pipe")
def test_what_is_no_file_is_refused_and_not_waited_for(opened, folder, tmp_path):
    os.mkfifo(folder / "pipe.png")
    assert "1 of another kind" in opened(folder).said[-1]
    errors = []

    def read():
        try:
            decode_files([folder / "pipe.png"], 8, 3)
        except WorkbenchError as error:
            errors.append(str(error))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(20)
    assert errors and "pipe.png cannot be decoded: no regular file" in errors[0]
    with pytest.raises(ValueError, match="no regular file"):
        read_file("/dev/zero")
