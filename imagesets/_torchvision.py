"""What the image sets that torchvision knows have in common: fetching, decoding, and checking bytes."""

import contextlib
import hashlib
import io
import shutil
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from imagesets._spec import ImageSet
from lab import locks
from lab.errors import WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


def load_idx(name: str, root: Path, split: str, download: bool, sha256: dict[str, str] | None = None) -> ImageSet:
    """A data set in MNIST's format: torchvision's class `name`. With `sha256`, the split's digest must be this one.

    Raises:
        WorkbenchError: the bytes are others.
        Exception: see `fetch`.
    """
    data = fetch(name, root, download, train=split == "train")
    found = ImageSet(data.data.unsqueeze(1).contiguous(), data.targets.long())
    if sha256 is not None and digest(found) != sha256[split]:
        raise WorkbenchError(
            f"The {split} images of {name} below {root} are not the published ones: remove {root / name} to fetch "
            "them again, or name another folder with --data."
        )
    return found


def fetch(name: str, root: Path, download: bool, **settings: Any) -> Any:
    """torchvision's data set `name` from below `root`, as `read_or_get` has it."""
    from torchvision import datasets

    make = partial(getattr(datasets, name), **settings)
    return read_or_get(name, root, partial(make, download=False), partial(make, download=True) if download else None)


def read_or_get(name: str, root: Path, read: "Callable[[Path], T]", get: "Callable[[Path], object] | None") -> "T":
    """What is read below `root`, downloaded first by `get`, if it may be, where it is not there or cannot be read.

    Reading takes no lock and writes nothing; a download is locked, so that two processes do not do it at once.

    Raises:
        Exception: whatever torchvision meets: `imagesets.load` says what to do.
    """
    try:
        return read(root)
    except Exception:
        if get is None:
            raise
    root.mkdir(parents=True, exist_ok=True)
    with locks.exclusive(root / f".{name}.lock"):
        with contextlib.suppress(Exception):  # another process may have fetched it meanwhile
            return read(root)
        _download(get, root, root / f".{name}.download")
    return read(root)


def _download(into: "Callable[[Path], object]", root: Path, aside: Path) -> None:
    """Download to a folder aside and move it when it is complete, so that a broken one leaves nothing behind."""
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir()
        with _silent(), _patience(60):
            into(aside)
        for file in [path for path in aside.rglob("*") if path.is_file()]:
            target = root / file.relative_to(aside)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _silent() -> "Iterator[None]":
    """Without torchvision's progress bars: a cell never draws on the terminal."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def _patience(seconds: float) -> "Iterator[None]":
    """Give up on a server that says nothing for so long: torchvision itself would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def digest(images: ImageSet) -> str:
    """SHA-256 over the decoded images and labels."""
    found = hashlib.sha256(images.images.numpy().tobytes())
    if images.labels is not None:
        found.update(images.labels.numpy().tobytes())
    return found.hexdigest()
