"""Loaders on small files in the data sets' own formats, and on bad ones."""

import gzip
import hashlib
import pickle
import socket
import struct
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision import datasets

import imagesets
from imagesets import _torchvision, mnist
from lab.errors import WorkbenchError

RANDOM = np.random.default_rng(0)


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    )


def write_mnist_like(folder, n=12):
    images, labels = RANDOM.integers(0, 256, (n, 28, 28)), np.arange(n) % 10
    for prefix in ("train", "t10k"):
        write_idx(folder / f"{prefix}-images-idx3-ubyte", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)
    return torch.tensor(images, dtype=torch.uint8)[:, None], torch.tensor(labels)


@pytest.mark.parametrize("name, folder", [("kmnist", "KMNIST"), ("notmnist", "notMNIST")])
@pytest.mark.parametrize("split", ["train", "test"])
def test_idx_files(tmp_path, name, folder, split):
    images, labels = write_mnist_like(tmp_path / folder / "raw")
    found = imagesets.load(name, split, root=tmp_path, download=False)
    assert found.images.equal(images) and found.labels.equal(labels)


@pytest.mark.parametrize("split", ["train", "test"])
def test_svhn(tmp_path, monkeypatch, split):
    images, labels = RANDOM.integers(0, 256, (32, 32, 3, 7), dtype=np.uint8), np.array([10, 1, 2, 3, 9, 10, 5])
    path = tmp_path / f"{split}_32x32.mat"
    savemat(path, {"X": images, "y": labels[:, None]})
    monkeypatch.setattr(datasets.SVHN, "split_list", {split: ("", path.name, md5(path))})
    found = imagesets.load("svhn", split, root=tmp_path, download=False)
    assert found.images.equal(torch.from_numpy(images).permute(3, 2, 0, 1))
    assert found.labels.tolist() == [0, 1, 2, 3, 9, 0, 5]


def test_cifar10(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    data = RANDOM.integers(0, 256, (5, 3072), dtype=np.uint8)
    (folder / "test_batch").write_bytes(pickle.dumps({"data": data, "labels": [3, 1, 4, 1, 5]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    files = {name: md5(folder / name) for name in ("test_batch", "batches.meta")}
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [("test_batch", files["test_batch"])])
    meta = {**datasets.CIFAR10.meta, "md5": files["batches.meta"]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    found = imagesets.load("cifar10", "test", root=tmp_path, download=False)
    assert found.images.equal(torch.from_numpy(data).view(5, 3, 32, 32))
    assert found.labels.tolist() == [3, 1, 4, 1, 5]


def test_of_cifar10_no_other_bytes_are_unpickled_than_those_that_were_proven(tmp_path, monkeypatch):
    """Whoever may write to a shared folder of data could change a file between the look at it and its reading."""
    whole = pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [0]})
    file = tmp_path / "cifar-10-batches-py" / "test_batch"
    file.parent.mkdir()
    file.write_bytes(whole)
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [("test_batch", md5(file))])
    monkeypatch.setattr(datasets.CIFAR10, "_check_integrity", lambda self: file.write_bytes(b"c") and True)
    monkeypatch.setattr(pickle, "load", lambda *given, **named: pytest.fail("it is read again"))
    assert len(imagesets.load("cifar10", "test", root=tmp_path, download=False)) == 1
    file.write_bytes(whole + b"more")
    with pytest.raises(WorkbenchError, match="cifar10 is not complete"):
        imagesets.load("cifar10", "test", root=tmp_path, download=False)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_other_bytes_than_the_published_ones_are_refused(tmp_path):
    write_mnist_like(tmp_path / "MNIST" / "raw")
    with pytest.raises(WorkbenchError, match="not the published ones") as caught:
        imagesets.load("mnist", "test", root=tmp_path, download=False)
    assert str(tmp_path) in str(caught.value)


def test_the_published_digest_is_that_of_images_and_labels(tmp_path, monkeypatch):
    images, labels = write_mnist_like(tmp_path / "MNIST" / "raw")
    known = _torchvision.digest(imagesets.ImageSet(images, labels))
    assert known == hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
    monkeypatch.setattr(mnist, "SHA256", {"test": known})
    assert len(imagesets.load("mnist", "test", root=tmp_path, download=False)) == 12
    write_idx(tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte", np.arange(1, 13) % 10)
    with pytest.raises(WorkbenchError, match="not the published ones"):
        imagesets.load("mnist", "test", root=tmp_path, download=False)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist", "cifar10", "svhn", "notmnist"])
def test_missing_data_are_named_in_one_line(tmp_path, name):
    with pytest.raises(WorkbenchError) as caught:
        imagesets.load(name, "test", root=tmp_path, download=False)
    message = str(caught.value)
    assert str(tmp_path) in message and "--data" in message and "\n" not in message


@pytest.mark.parametrize("name", ["mnist", "notmnist"])
def test_a_mistyped_folder_is_not_made(tmp_path, name):
    with pytest.raises(WorkbenchError):
        imagesets.load(name, "test", root=tmp_path / "nowhere", download=False)
    assert not (tmp_path / "nowhere").exists()


def test_reading_takes_no_lock(tmp_path):
    write_mnist_like(tmp_path / "KMNIST" / "raw")
    imagesets.load("kmnist", "test", root=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["KMNIST"]


@pytest.mark.parametrize("name, maker", [("mnist", "MNIST"), ("svhn", "SVHN"), ("cifar10", "CIFAR10")])
def test_a_broken_download_leaves_nothing_behind(tmp_path, monkeypatch, name, maker):
    def breaks(self):
        assert socket.getdefaulttimeout() == 60, "torchvision itself would wait for ever"
        Path(self.root, "half-a-file").write_bytes(b"half")
        raise RuntimeError("connection lost\nsecond line")

    monkeypatch.setattr(getattr(datasets, maker), "download", breaks)
    with pytest.raises(WorkbenchError, match=r"could not be downloaded \(connection lost second line") as caught:
        imagesets.load(name, "test", root=tmp_path)
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if not path.name.endswith(".lock")]


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A server of this machine that publishes a small KMNIST; gives its folder and the images."""
    folder = tmp_path / "served"
    images, _ = write_mnist_like(folder)
    for path in list(folder.iterdir()):
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(datasets.KMNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    known = [(name, md5(folder / name)) for name, _ in datasets.KMNIST.resources]
    monkeypatch.setattr(datasets.KMNIST, "resources", known)
    yield folder, images
    server.shutdown()
    server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def names(root):
    return {path.name for path in root.iterdir()}


def test_a_download_is_moved_into_place_when_complete(tmp_path, served, capfd):
    _, images = served
    root = tmp_path / "data"
    assert imagesets.load("kmnist", "test", root=root).images.equal(images)
    assert names(root) - {".KMNIST.lock"} == {"KMNIST"}
    assert capfd.readouterr() == ("", "")
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize(
    "spoil",
    [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-9]), lambda path: path.write_bytes(b"")],
    ids=["absent", "cut off", "empty"],
)
def test_a_bad_download_is_told_and_not_trusted_later(tmp_path, served, spoil):
    folder, images = served
    file = folder / "t10k-labels-idx1-ubyte.gz"
    whole = file.read_bytes()
    spoil(file)
    root = tmp_path / "data"
    for _ in range(2):
        with pytest.raises(WorkbenchError, match="could not be downloaded") as caught:
            imagesets.load("kmnist", "test", root=root)
        assert "\n" not in str(caught.value)
        assert not names(root) - {".KMNIST.lock"}
    file.write_bytes(whole)
    assert imagesets.load("kmnist", "test", root=root).images.equal(images)


DAMAGED = [b"", b"\0\0\x08\x03", b"no idx file at all", b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", b"\0\0\x0a\x03" + bytes(99)]


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_files_are_told_or_fetched_again(tmp_path, served, content):
    _, images = served
    root = tmp_path / "data"
    write_mnist_like(root / "KMNIST" / "raw")
    (root / "KMNIST" / "raw" / "t10k-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(WorkbenchError, match="or damaged, and --no-download"):
        imagesets.load("kmnist", "test", root=root, download=False)
    assert imagesets.load("kmnist", "test", root=root).images.equal(images)


def test_two_at_once_download_once(tmp_path, served, monkeypatch):
    _, images = served
    calls, download = [], datasets.KMNIST.download
    monkeypatch.setattr(datasets.KMNIST, "download", lambda self: (calls.append(1), download(self)))
    found = []
    both = [
        threading.Thread(target=lambda: found.append(imagesets.load("kmnist", "test", root=tmp_path / "data")))
        for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(20)
    assert [one.images.equal(images) for one in found] == [True, True]
    assert len(calls) == 1


@pytest.mark.parametrize("content", DAMAGED)
def test_files_that_are_no_idx_are_named(tmp_path, content):
    write_mnist_like(tmp_path / "notMNIST" / "raw")
    bad = tmp_path / "notMNIST" / "raw" / "t10k-images-idx3-ubyte"
    bad.write_bytes(content)
    with pytest.raises(WorkbenchError, match="t10k-images-idx3-ubyte is no IDX file"):
        imagesets.load("notmnist", "test", root=tmp_path)


def test_a_cut_off_file_is_refused(tmp_path):
    write_mnist_like(tmp_path / "notMNIST" / "raw")
    bad = tmp_path / "notMNIST" / "raw" / "t10k-images-idx3-ubyte"
    bad.write_bytes(bad.read_bytes()[:-1])
    with pytest.raises(WorkbenchError, match="cut off"):
        imagesets.load("notmnist", "test", root=tmp_path)


def test_packed_files_are_read(tmp_path):
    folder = tmp_path / "notMNIST" / "raw"
    images, labels = write_mnist_like(folder)
    before = imagesets.fingerprint("notmnist", tmp_path)
    for path in list(folder.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    found = imagesets.load("notmnist", "test", root=tmp_path)
    assert found.images.equal(images) and found.labels.equal(labels)
    assert imagesets.fingerprint("notmnist", tmp_path) != before
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(b"not packed")
    with pytest.raises(WorkbenchError, match=r"ubyte\.gz cannot be read"):
        imagesets.load("notmnist", "test", root=tmp_path)


def test_user_files_have_a_fingerprint_of_their_bytes(tmp_path):
    write_mnist_like(tmp_path / "notMNIST" / "raw")
    before = imagesets.fingerprint("notmnist", tmp_path)
    assert imagesets.fingerprint("notmnist", tmp_path) == before
    write_idx(tmp_path / "notMNIST" / "raw" / "t10k-labels-idx1-ubyte", np.zeros(12))
    assert imagesets.fingerprint("notmnist", tmp_path) != before
    with pytest.raises(WorkbenchError, match="t10k-images-idx3-ubyte is not there"):
        imagesets.fingerprint("notmnist", tmp_path / "elsewhere")


def test_data_in_a_folder_that_cannot_be_written_are_read(tmp_path):
    images, _ = write_mnist_like(tmp_path / "KMNIST" / "raw")
    tmp_path.chmod(0o555)
    try:
        assert imagesets.load("kmnist", "test", root=tmp_path).images.equal(images)
    finally:
        tmp_path.chmod(0o755)
