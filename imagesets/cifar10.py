"""CIFAR-10: 60,000 colour photographs of things and animals, 32 x 32 pixels (Krizhevsky 2009).

50,000 training and 10,000 test images in ten classes; the authors state no licence.
https://www.cs.toronto.edu/~kriz/cifar.html
"""

from pathlib import Path

from imagesets._spec import ImageSet, Spec
from imagesets._torchvision import fetch

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SPEC = Spec(3, 32, CLASSES, ("train", "test"), {"train": 50000, "test": 10000})
MD5 = "c58f30108f718f92721af3b95e74349a"


def fingerprint(root: Path) -> str:
    """The published MD5 of the archive; torchvision checks the files at every loading."""
    return f"cifar10-{MD5[:16]}"


def load(root: Path, split: str, download: bool) -> ImageSet:
    """One split, from `cifar-10-batches-py` below the folder of the data."""
    import torch

    data = fetch("CIFAR10", root, download, train=split == "train")
    images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
    return ImageSet(images, torch.tensor(data.targets, dtype=torch.int64, device="cpu"))
