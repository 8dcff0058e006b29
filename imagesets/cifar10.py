"""CIFAR-10: 60,000 colour photographs of things and animals, 32 x 32 pixels (Krizhevsky 2009).

50,000 training and 10,000 test images in ten classes; the authors state no licence.
https://www.cs.toronto.edu/~kriz/cifar.html
"""

import hashlib
import pickle
from pathlib import Path
from typing import Any

from imagesets._spec import ImageSet, Spec
from imagesets._torchvision import read_or_get

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SPEC = Spec(3, 32, CLASSES, ("train", "test"), {"train": 50000, "test": 10000})
MD5 = "c58f30108f718f92721af3b95e74349a"


def fingerprint(root: Path) -> str:
    """The published MD5 of the archive; those of its files are checked at every loading."""
    return f"cifar10-{MD5[:16]}"


def load(root: Path, split: str, download: bool) -> ImageSet:
    """One split, from `cifar-10-batches-py` below the folder of the data."""
    import torch

    batches = read_or_get("CIFAR10", root, lambda folder: _batches(folder, split), _get if download else None)
    pixels = torch.cat([torch.from_numpy(batch["data"]) for batch in batches])
    labels = [label for batch in batches for label in batch["labels"]]
    return ImageSet(pixels.view(-1, 3, 32, 32), torch.tensor(labels, dtype=torch.int64, device="cpu"))


def _batches(root: Path, split: str) -> list[dict[str, Any]]:
    """What the files of a split hold, which are pickled.

    Torchvision proves a file, and then reads it again: in a folder where others may write, it may be theirs by then.
    Here the bytes that are proven are those that are unpickled.
    """
    from torchvision.datasets import CIFAR10

    found = []
    for name, known in CIFAR10.train_list if split == "train" else CIFAR10.test_list:
        data = (root / CIFAR10.base_folder / name).read_bytes()
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != known:
            raise ValueError(f"{name} is not the published file")
        found.append(pickle.loads(data, encoding="latin1"))
    return found


def _get(folder: Path) -> None:
    """Download the files, by torchvision's code for it alone, which unpickles none."""
    from torchvision.datasets import CIFAR10

    source = CIFAR10.__new__(CIFAR10)
    source.root = str(folder)
    source.download()
