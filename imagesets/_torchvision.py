"""What the image sets that torchvision knows have in common: fetching, decoding, and checking bytes."""

import contextlib
import hashlib
import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import WorkbenchError
from lab.imageset import ImageSet

if TYPE_CHECKING:
    from collections.abc import Callable


def load_idx(name: str, root: Path, split: str, download: bool, sha256: dict[str, str] | None = None) -> ImageSet:
    """A data set in MNIST's format: torchvision's class `name`. With `sha256`, the split's digest must be this one.

    Raises:
        WorkbenchError: the bytes are others.
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
    """torchvision's data set `name` from below `root`, downloaded first if it is not there.

    A download goes to a folder aside and is moved when it is complete, so that a broken one leaves nothing behind.
    """
    from torchvision import datasets

    make: Callable[..., Any] = getattr(datasets, name)
    try:
        return make(root, download=False, **settings)
    except (RuntimeError, FileNotFoundError):
        if not download:
            raise
    aside = root / f".{name}.download"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            make(aside, download=True, **settings)
        for file in [path for path in aside.rglob("*") if path.is_file()]:
            target = root / file.relative_to(aside)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return make(root, download=False, **settings)


def digest(images: ImageSet) -> str:
    """SHA-256 over the decoded images and labels."""
    found = hashlib.sha256(images.images.numpy().tobytes())
    if images.labels is not None:
        found.update(images.labels.numpy().tobytes())
    return found.hexdigest()
