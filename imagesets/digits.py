"""Digits: 1,797 handwritten digits that come with scikit-learn, at 16 x 16 pixels, grey.

Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998 (CC BY 4.0), the part that
scikit-learn carries: 8 x 8 pixels of 17 grey values. They are doubled in size by linear interpolation. The fixed
split of 1,297 training and 500 test images is this project's. Needs no files and no network.
"""

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from imagesets._spec import ImageSet, Spec
from imagesets._torchvision import digest
from lab.errors import WorkbenchError

if TYPE_CHECKING:
    import numpy as np

SPEC = Spec(1, 16, tuple("0123456789"), ("train", "test"), {"train": 1297, "test": 500})
SHA256 = {
    "train": "02eee9e77dba716c71dbc33f9904fcde2ecf2a1105cc8bdf250ee729bea8d32f",
    "test": "e131fb5e2eda1c451ba8dd69963afb83664dcf7764e6b0c1e6335c27825ad0c7",
}


def fingerprint(root: Path) -> str:
    """The digest of the test split: both come from one table."""
    return f"digits-{SHA256['test'][:16]}"


def load(root: Path, split: str, download: bool) -> ImageSet:
    """One split, checked against the bytes that results were made with.

    Raises:
        WorkbenchError: there is no scikit-learn, or it carries other digits.
    """
    import torch

    images, labels = _everything()
    index = torch.tensor(split_index(split), device="cpu")
    found = ImageSet(torch.from_numpy(images).unsqueeze(1)[index], torch.from_numpy(labels)[index])
    if digest(found) != SHA256[split]:
        raise WorkbenchError("The installed scikit-learn carries other digits than published; try another version.")
    return found


@cache
def _everything() -> "tuple[np.ndarray, np.ndarray]":
    """All images, uint8 (1797, 16, 16), and their classes, int64 (1797,); read once by each process."""
    import numpy as np

    table = np.loadtxt(_file(), delimiter=",", dtype=np.int64)
    return doubled(table[:, :-1].reshape(-1, 8, 8)), table[:, -1]


def _file() -> Path:
    """The table: 64 grey values and the digit in a line. Importing scikit-learn to read it would take a second."""
    package = find_spec("sklearn")
    path = Path((package and package.origin) or "").parent / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise WorkbenchError("There is no scikit-learn that carries digits: install it, or try another version.")
    return path


def split_index(split: str) -> list[int]:
    """Positions of a split in scikit-learn's table: in the order of a hash of the position, the first 500 are test."""
    return _order()[:500] if split == "test" else _order()[500:]


@cache
def _order() -> list[int]:
    return sorted(range(1797), key=lambda i: hashlib.sha256(str(i).encode()).digest())


def doubled(images: "np.ndarray") -> "np.ndarray":
    """Images (n, 8, 8) of 0 to 16 as uint8 (n, 16, 16), by linear interpolation in whole numbers, so exactly."""
    import numpy as np

    padded = np.pad(images.astype(np.int32), ((0, 0), (1, 1), (1, 1)), mode="edge")
    wide = _interleave(padded, axis=2)
    tall = _interleave(wide, axis=1)  # 0 to 256
    return ((tall * 255 + 128) // 256).astype(np.uint8)


def _interleave(padded: "np.ndarray", axis: int) -> "np.ndarray":
    """Two values for each inner one: three quarters of it and one of the neighbour before, then after; times 4."""
    import numpy as np

    before, here, after = (padded.take(np.arange(i, i + 8), axis) for i in range(3))
    pair = np.stack([3 * here + before, 3 * here + after], axis + 1)
    shape = list(padded.shape)
    shape[axis] = 16
    return pair.reshape(shape)
