"""What the rows of docs/errors.md call situations: each is a function that prepares the folder of a row's command."""

import json
import shutil
from pathlib import Path

import numpy as np

from lab.cells.folder import CellFolder

ROOT = Path(__file__).resolve().parents[3]
LOCAL = {"data": "data", "download": False}
SITUATIONS = {}


class Place:
    """The folder that a row's command is run in, and what situations do there."""

    def __init__(self, path, patch, trained, classifier):
        self.path, self.patch, self._trained, self._classifier = path, patch, trained, classifier

    def cell(self):
        """A trained GAN's folder `cell`."""
        return self._linked(self._trained)

    def classifier(self, validation=0.1):
        """A trained classifier's folder `cell`, and its only weights."""
        (weights,) = (self._linked(self._classifier(validation)) / "snapshots").iterdir()
        return weights

    def planned(self, cell):
        """A cell's folder `cell`, in which nothing was done yet."""
        return self._linked(CellFolder.create(cell, self.path / "elsewhere", LOCAL).path)

    def _linked(self, made):
        """A copy of a cell's folder, below its own name, by which it is looked for, and linked to as `cell`."""
        folder = shutil.copytree(made, self.path / made.name)
        (self.path / "cell").symlink_to(folder)
        return self.path / "cell"

    def study(self):
        """A finished study's folder `runs/studies/gan-entanglement/hash`; its cells are those that ship."""
        shipped = min((ROOT / "results" / "studies" / "gan-entanglement").iterdir())
        return shutil.copytree(shipped, self.path / "runs" / "studies" / "gan-entanglement" / "hash")

    def points(self, **arrays):
        """The file `my.npz` with arrays; by default 40 points of two classes."""
        default = {"x": np.random.default_rng(0).normal(size=(40, 3)), "labels": np.arange(40) % 2}
        np.savez(
            self.path / "my.npz", **{name: value for name, value in (default | arrays).items() if value is not None}
        )

    def three(self, part="test", **arrays):
        """The files train.npz, calibrate.npz and test.npz of points of two classes; one has other arrays."""
        numbers = np.random.default_rng(0)
        for name, n in {"train": 40, "calibrate": 30, "test": 20}.items():
            found = {"x": numbers.normal(size=(n, 3)), "labels": np.arange(n) % 2} | (arrays if name == part else {})
            np.savez(self.path / f"{name}.npz", **{key: value for key, value in found.items() if value is not None})

    def idx(self, name, array, folder="notMNIST"):
        """An IDX file of unsigned bytes below `data`."""
        path = self.path / "data" / folder / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
        path.write_bytes(head + array.astype(np.uint8).tobytes())
        return path

    def mnist(self, folder="MNIST", n=20):
        """Files in MNIST's format below `data`, of n random images a split."""
        for prefix in ("train", "t10k"):
            self.idx(f"{prefix}-images-idx3-ubyte", np.random.default_rng(0).integers(0, 256, (n, 28, 28)), folder)
            self.idx(f"{prefix}-labels-idx1-ubyte", np.arange(n) % 10, folder)
        return self.path / "data" / folder / "raw"


def situation(words):
    """The function prepares the situation that rows of the page call by these words."""
    return lambda function: SITUATIONS.setdefault(words, function)


def cut(path):
    """Cut a file off in its middle."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(path, **changes):
    """Change entries of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
