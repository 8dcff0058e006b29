"""SVHN: 99,289 digits cropped from photographs of house numbers, 32 x 32 pixels, colour (Netzer et al. 2011).

73,257 training and 26,032 test images in ten classes, for non-commercial use.
http://ufldl.stanford.edu/housenumbers/
"""

from pathlib import Path

from imagesets._spec import ImageSet, Spec
from imagesets._torchvision import fetch

SPEC = Spec(3, 32, tuple("0123456789"), ("train", "test"), {"train": 73257, "test": 26032})
MD5 = {"train": "e26dedcc434d2e4c54c9b2d4a06d8373", "test": "eb5a983be6a315427106f1b164d9cef3"}


def fingerprint(root: Path) -> str:
    """The published MD5 of both files; torchvision checks them at every loading."""
    return f"svhn-{MD5['train'][:8]}{MD5['test'][:8]}"


def load(root: Path, split: str, download: bool) -> ImageSet:
    """One split, from `train_32x32.mat` or `test_32x32.mat` in the folder of the data."""
    import torch

    data = fetch("SVHN", root, download, split=split)
    return ImageSet(torch.from_numpy(data.data).contiguous(), torch.from_numpy(data.labels))
