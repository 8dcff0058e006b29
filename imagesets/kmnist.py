"""Kuzushiji-MNIST: 70,000 cursive Japanese characters, 28 x 28 pixels, grey (Clanuwat et al. 2018).

60,000 training and 10,000 test images in ten classes (CC BY-SA 4.0); arXiv 1812.01718.
"""

from pathlib import Path

from imagesets._spec import ImageSet, Spec
from imagesets._torchvision import load_idx

SPEC = Spec(
    1,
    28,
    ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ("train", "test"),
    {"train": 60000, "test": 10000},
)
MD5 = "bdb82020997e1d708af4cf47b453dcf7"


def fingerprint(root: Path) -> str:
    """The published MD5 of the training archive, which is checked when it is downloaded."""
    return f"kmnist-{MD5[:16]}"


def load(root: Path, split: str, download: bool) -> ImageSet:
    """One split, from `KMNIST/raw` below the folder of the data."""
    return load_idx("KMNIST", root, split, download)
