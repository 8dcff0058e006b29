"""Writing so that a file is the old one or the whole new one, never a torn one, even if the power fails; JSON files."""

import contextlib
import errno
import json
import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.errors import WorkbenchError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}
DEEPEST = 32
"""Objects and lists within one another in a JSON file: far more than there are in ours."""
MOST_BYTES = 1 << 32
"""Of the arrays in one file, unpacked: far more than any cell keeps."""
ASIDE = r"\.\d+(-[0-9a-f]+)?\.tmp"
LEFT = re.compile(rf"\..+{ASIDE}|\.step-\d+(\.old)?\.tmp", re.DOTALL)
"""What `replacing` and `lab.training.checkpoint` call what they write aside; whatever else is called so is others'."""


def writer() -> str:
    """This process's number and a word that no other has, as on a shared disk two machines have equal numbers."""
    return f"{os.getpid()}-{os.urandom(4).hex()}"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; what is written there takes its place when the block ends well.

    Raises:
        OSError: it cannot be written; where the system does not say what, as of a full disk, the error says it.
    """
    aside = path.with_name(f".{path.name}.{writer()}.tmp")
    try:
        yield aside
        sync_file(aside)
        aside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if error.errno in FULL and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        aside.unlink(missing_ok=True)


def atomic_write(path: Path, data: str | bytes) -> None:
    """Write text or bytes to `path`, whole or not at all.

    Text is UTF-8; what a path in it has of no text becomes `\\udcff`, which JSON reads as that again.
    """
    with replacing(path) as aside:
        aside.write_bytes(data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON with sorted keys; NaN and infinities, which JSON lacks, become null."""
    text = json.dumps(without_nan(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    atomic_write(path, text + "\n")


def read_json(path: Path, problem: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        WorkbenchError: there is none; the message says that the folder is `problem`.
    """
    try:
        return read_object(path)
    except (OSError, ValueError) as error:
        raise WorkbenchError(f"{path.parent} is {problem}.") from error


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        OSError: the file cannot be read, or is no plain one.
        ValueError: it holds no text, no JSON, nothing that is an object, or one that is nested too deeply to be ours.
    """
    check_plain(path)
    return from_json(path.read_bytes())


def check_plain(path: Path) -> None:
    """Raise FileNotFoundError unless it is a plain file, or leads to one: whoever opens a pipe waits for ever."""
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))


def from_json(text: str | bytes) -> dict[str, Any]:
    """The object in a JSON text; of bytes, in UTF-8, -16 or -32, with a byte order mark or without.

    Raises:
        ValueError: it is no JSON, no object, one that has a name twice, or nested deeper than what this project writes.
    """
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("it is no object {...}")
    level: list[Any] = [found]
    for _ in range(DEEPEST):
        nested = [value for value in level if isinstance(value, dict | list)]
        level = [part for value in nested for part in (value.values() if isinstance(value, dict) else value)]
        if not level:
            return found
    raise ValueError("it is nested too deeply")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs; JSON itself says nothing of a name that is there twice, of which people mean one."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice!r} is there twice")
    return found


@contextlib.contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Take what the block reads of a file for whole only where nobody writes, replaces or removes it meanwhile.

    Raises:
        WorkbenchError: somebody did, whatever error the block raised for it.
    """
    before, cause = _stamp(path), None
    try:
        yield
    except Exception as error:
        if _stamp(path) == before:
            raise
        cause = error
    if _stamp(path) != before:
        message = f"{path} has changed while it was read: run the command again once nobody writes it."
        raise WorkbenchError(message) from cause


def _stamp(path: Path) -> tuple[int, int] | None:
    """What tells that a file is another, or has been written to; None where there is none.

    Not its number on the disk: some file systems, of clouds for one, give it another from one look to the next.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays as a compressed .npz, whole or not at all; none is of Python objects.

    It is written member by member: `numpy.savez_compressed` takes no array that has the name of one of its parameters.
    """
    from zipfile import ZIP_DEFLATED, ZipFile

    import numpy as np

    with replacing(path) as aside, ZipFile(aside, "w", ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def read_arrays(path: Path) -> dict[str, Any]:
    """The arrays of an .npz by name, none of them of Python objects; empty where there is no file.

    Raises:
        WorkbenchError: it is damaged.
    """
    import numpy as np

    if not path.exists():
        return {}
    try:
        check_plain(path)
        with np.load(path, allow_pickle=False) as found:
            if sum(member.file_size for member in found.zip.infolist()) > MOST_BYTES:
                raise ValueError("it unpacks to more than there can be")
            arrays = dict(found)
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("it holds files that are no arrays")
        return arrays
    except Exception as error:  # damaged archives raise errors of every kind
        raise WorkbenchError(f"{path} is damaged: remove its folder, and have it made anew.") from error


def without_nan(value: Any) -> Any:
    """The value with null in place of every number that JSON lacks."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sync_file(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until a folder's list of names is on the disk, where the system can tell."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove what writers that were killed left aside below the folder of a cell or a study; only for who holds its
    lock."""
    for path in list(folder.rglob(".*.tmp")):
        if LEFT.fullmatch(path.name):
            remove(path)


def remove_leftovers_of(folder: Path, names: Iterable[str]) -> None:
    """Remove what killed writers of files of these names left in a folder, where people have things of their own, and
    nothing else; only for who holds its lock."""
    left = re.compile(rf"\.({'|'.join(map(re.escape, names))}){ASIDE}")
    for path in list(folder.iterdir()):
        if left.fullmatch(path.name) and not path.is_dir():
            remove(path)


def remove(path: Path) -> None:
    """Remove a file, a folder with all that is in it, or a link itself; it need not be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path, with the user's folder in place of `~`; a `~` of nobody stays."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (that of Path raises an error for the `~` of nobody)


def astray(path: Path) -> str:
    """Why a path leads nowhere, which need not be there yet; empty where no link on the way to it is a dead one."""
    dead = next((one for one in (path, *path.parents) if one.is_symlink() and not one.exists()), None)
    return f"{str(dead)!r} is a link that leads nowhere." if dead else ""


def nearest(folder: Path) -> Path:
    """The folder, or where it is not there the first around it that is."""
    return next(one for one in (folder, *folder.parents) if one.exists())


def hindered(folder: Path) -> str:
    """Why nothing can be written to a folder, which need not be there yet; empty where nothing is in the way."""
    there = nearest(folder)
    if there.is_dir() and os.access(there, os.W_OK):
        return ""
    return f"Directory {str(there)!r} is {'not writable' if there.is_dir() else 'a file'}."


def gone(folder: Path) -> WorkbenchError:
    """The error of work whose folder somebody has removed or moved, as a whole or in part."""
    return WorkbenchError(f"{folder} has been removed or moved meanwhile: the same command makes it anew.")


@contextlib.contextmanager
def explaining(folder: Path) -> Iterator[None]:
    """Say in one line what is wrong and what to do when `folder` cannot be written.

    Raises:
        WorkbenchError: the disk is full, or the folder is gone, or not or no longer writable.
    """
    try:
        yield
    except OSError as error:
        where = Path(str(error.filename or folder))
        if error.errno == errno.ENOENT and not folder.exists():
            raise gone(folder) from error
        if error.errno in FULL:
            remedy = "Raise the limit of files' sizes (ulimit -f)" if error.errno == errno.EFBIG else "Free some"
            raise WorkbenchError(
                f"No room for {where} ({error.strerror}). {remedy}; the same command goes on."
            ) from error
        if error.errno in FORBIDDEN and where.is_relative_to(folder):
            there = nearest(folder) if where == folder else folder
            raise WorkbenchError(
                f"{where} cannot be written ({error.strerror}). Make {there} writable; the same command goes on."
            ) from error
        raise
