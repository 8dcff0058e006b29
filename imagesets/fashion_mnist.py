"""Fashion-MNIST: 70,000 pictures of clothing, 28 x 28 pixels, grey (Xiao, Rasul, Vollgraf 2017).

60,000 training and 10,000 test images in ten classes (MIT licence); arXiv 1708.07747.
"""

from pathlib import Path

from imagesets._spec import ImageSet, Spec
from imagesets._torchvision import load_idx

SPEC = Spec(
    1,
    28,
    ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ("train", "test"),
    {"train": 60000, "test": 10000},
)
SHA256 = {
    "train": "1f243a60b4b748a44c48b9a6f6907be2a08bee3e4e226f0e86fbde8e147b745a",
    "test": "9a494dc49efeb996f4076c469b31cd058152067b1594ba6ab85dd739fce3775e",
}


def fingerprint(root: Path) -> str:
    """The digest of both splits, which loading checks."""
    return f"fashion-mnist-{SHA256['train'][:8]}{SHA256['test'][:8]}"


def load(root: Path, split: str, download: bool) -> ImageSet:
    """One split, from `FashionMNIST/raw` below the folder of the data."""
    return load_idx("FashionMNIST", root, split, download, SHA256)
