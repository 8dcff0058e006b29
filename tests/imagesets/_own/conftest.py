"""Folders of images to decode, and what they are decoded to."""

import os

import numpy as np
import pytest
from PIL import Image

import imagesets
from imagesets._own import sets

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="session")
def write_image():
    """Write an image of noise."""

    def write(path, size=(20, 20), mode="RGB", **settings):
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
        Image.fromarray(RANDOM.integers(0, 256, shape, dtype=np.uint8)).save(path, **settings)

    return write


@pytest.fixture(scope="session")
def write_folder(write_image):
    """Write n images of noise for each class; gives the folder."""

    def write(folder, n=18, classes=("",), **settings):
        for name in classes:
            for i in range(n):
                write_image(folder / name / f"{i:03}.png", **settings)
        return folder

    return write


@pytest.fixture
def opened(tmp_path):
    """Open a folder or archive; gives the set, with its messages as `said`."""

    def open_one(path, kind="folder", data=tmp_path / "data", **settings):
        said = []
        name = imagesets.settle(f"{kind}:{path}", data, say=said.append, **settings)
        found = sets.OwnImages(name, data)
        found.said = said
        found.names = os.fsdecode((found.folder / "names").read_bytes()).split("\0")[:-1]
        return found

    return open_one


@pytest.fixture
def folder(tmp_path, write_folder):
    """A folder of 18 images."""
    return write_folder(tmp_path / "images")


@pytest.fixture(scope="session")
def both():
    """All images and labels of a set, as arrays."""

    def arrays(found):
        splits = [found.load(None, split, False) for split in ("train", "test")]
        labels = None if splits[0].labels is None else np.concatenate([s.labels.numpy() for s in splits])
        return np.concatenate([s.images.numpy() for s in splits]), labels

    return arrays
