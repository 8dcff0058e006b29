"""notMNIST: glyphs of the letters A to J in many fonts, 28 x 28 pixels, grey (Bulatov 2011).

Read from IDX files in MNIST's format that the user has: `notMNIST/raw/t10k-images-idx3-ubyte` and
`t10k-labels-idx1-ubyte` below the folder of the data, and `train-...` where there is a training split; each may end
in `.gz`. A set that is foreign to MNIST. There is no download; for the licence see your copy.
"""

import gzip
import hashlib
import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from imagesets._spec import ImageSet, Spec
from lab.errors import WorkbenchError

if TYPE_CHECKING:
    import numpy as np

SPEC = Spec(1, 28, tuple("ABCDEFGHIJ"), ("train", "test"), {"train": 60000, "test": 10000})
PREFIX = {"train": "train", "test": "t10k"}


def fingerprint(root: Path) -> str:
    """A digest of the user's files, as they are: unpacking one changes it.

    Raises:
        WorkbenchError: there are none, or one cannot be read.
    """
    folder = root / "notMNIST" / "raw"
    files = sorted([*folder.glob("*-ubyte"), *folder.glob("*-ubyte.gz")])
    if not files:
        raise _missing(folder / "t10k-images-idx3-ubyte")
    found = hashlib.sha256()
    for file in files:
        found.update(file.name.encode() + _bytes(file))
    return f"notmnist-{found.hexdigest()[:16]}"


def load(root: Path, split: str, download: bool) -> ImageSet:
    """One split.

    Raises:
        WorkbenchError: its files are not there, or are no IDX files of 28 x 28 images and as many labels.
    """
    import torch

    folder = root / "notMNIST" / "raw"
    images = read_idx(folder / f"{PREFIX[split]}-images-idx3-ubyte")
    labels = read_idx(folder / f"{PREFIX[split]}-labels-idx1-ubyte")
    if images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
        raise WorkbenchError(
            f"{folder} holds images {images.shape} and labels {labels.shape}, not (n, 28, 28) and (n,)."
        )
    return ImageSet(torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels).long())


def read_idx(path: Path) -> "np.ndarray":
    """The array of unsigned bytes in an IDX file: two zero bytes, type 8, the number of dimensions, then each size.

    Where `path` is not there but `path.gz` is, that is unpacked in memory.

    Raises:
        WorkbenchError: there is no such file, or it is something else.
    """
    import numpy as np

    packed = path.with_name(f"{path.name}.gz")
    if not path.is_file() and not packed.is_file():
        raise _missing(path)
    data = _bytes(path) if path.is_file() else _bytes(packed, unpack=True)
    sizes = [int.from_bytes(data[4 * i + 4 : 4 * i + 8], "big") for i in range(data[3] if len(data) > 4 else 0)]
    if data[:3] != b"\0\0\x08" or not sizes or len(data) != 4 + 4 * len(sizes) + math.prod(sizes):
        raise WorkbenchError(f"{path} is no IDX file of unsigned bytes, or is cut off.")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes).copy()


def _bytes(path: Path, unpack: bool = False) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if unpack else data
    except (OSError, EOFError, zlib.error) as error:
        raise WorkbenchError(f"{path} cannot be read: {error}") from error


def _missing(path: Path) -> WorkbenchError:
    return WorkbenchError(
        f"notmnist is read from IDX files of yours, and {path} is not there. There is no download: name the folder "
        "above notMNIST with --data or SNNL_DATA."
    )
