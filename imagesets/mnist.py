"""MNIST: 70,000 handwritten digits, 28 x 28 pixels, grey (LeCun, Cortes, Burges 1998).

60,000 training and 10,000 test images (CC BY-SA 3.0). The files are not in random order: writers are contiguous.
"""

from pathlib import Path

from imagesets._spec import ImageSet, Spec
from imagesets._torchvision import load_idx

SPEC = Spec(1, 28, tuple("0123456789"), ("train", "test"), {"train": 60000, "test": 10000})
SHA256 = {
    "train": "d18cfd466eb143ac1097fde604dba9eec4116885869d04cc648b510949f9e88c",
    "test": "a0863a96c44e5666edbb30c4071ee79ca0514c621e6349c5967fc78e7305c891",
}


def fingerprint(root: Path) -> str:
    """The digest of both splits, which loading checks."""
    return f"mnist-{SHA256['train'][:8]}{SHA256['test'][:8]}"


def load(root: Path, split: str, download: bool) -> ImageSet:
    """One split, from `MNIST/raw` below the folder of the data."""
    return load_idx("MNIST", root, split, download, SHA256)
