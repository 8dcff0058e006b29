"""Sets on the disk: written to a folder aside, which is given its name, the key of its content, when it is whole."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imagesets._own.chunks import hash_chunks
from imagesets._own.listing import packed_names
from lab.files import read_object, sync_file, sync_folder, write_json

FOLDER = ".decoded"
RECORD, IMAGES, LABELS, NAMES = "set.json", "images.npy", "labels.npy", "names"
FORMAT = 2
"""Of the record; what an earlier version decoded is decoded anew."""
BLOCK = 1024


def is_set(root: Path, key: str) -> bool:
    """Whether a set is there that is not of an earlier version; a damaged one is."""
    try:
        return read_object(root / FOLDER / key / RECORD).get("format") == FORMAT
    except OSError:
        return False
    except ValueError:
        return True


def write(
    aside: Path, good: np.ndarray, labels: np.ndarray | None, names: Sequence[str], record: dict[str, Any]
) -> None:
    """Write what belongs to the images in a folder: those that are good, bool (n,), their labels, names and record.

    The record tells the hashes of the files' chunks, too.
    """
    if not good.all():
        _close_gaps(aside / IMAGES, np.flatnonzero(good))
    if labels is not None:
        np.save(aside / LABELS, labels)
    with (aside / NAMES).open("wb") as file:
        file.writelines(packed_names(names))
    hashes = {path.name: hash_chunks(path) for path in sorted(aside.iterdir())}
    write_json(aside / RECORD, {"format": FORMAT, **record, "hashes": hashes})
    for path in aside.iterdir():
        sync_file(path)


@contextlib.contextmanager
def aside(root: Path, name: str) -> Iterator[Path]:
    """A folder to work in, gone afterwards; what a process that was killed left of it goes first."""
    for left in (root / FOLDER).glob(f".{name}.*"):
        shutil.rmtree(left, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=root / FOLDER))
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def give_name(aside: Path, root: Path, key: str) -> None:
    """Give a whole set its name; where another process was first, its set is the same.

    A set of an earlier version goes; who has it in memory keeps it.
    """
    umask = os.umask(0)
    os.umask(umask)
    aside.chmod(0o777 & ~umask)  # temporary folders are closed to others
    folder = root / FOLDER / key
    if folder.exists() and not is_set(root, key):
        folder.rename(aside.with_name(f"{aside.name}.earlier"))
    try:
        aside.rename(folder)
        sync_folder(folder.parent)
    except OSError:
        if not is_set(root, key):
            raise
    shutil.rmtree(aside.with_name(f"{aside.name}.earlier"), ignore_errors=True)


def _close_gaps(path: Path, rows: np.ndarray) -> None:
    """Keep the images of the given rows alone.

    Raises:
        OSError: the disk is full, which would be a crash if they were written to a memory map.
    """
    old, shorter = np.load(path, mmap_mode="r"), path.with_suffix(".shorter")
    header = {"descr": old.dtype.str, "fortran_order": False, "shape": (len(rows), *old.shape[1:])}
    with shorter.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(rows), BLOCK):
            file.write(np.ascontiguousarray(old[rows[start : start + BLOCK]]).data)
    shorter.replace(path)
