"""Every row of docs/errors.md is a test: its command, in its situation, says that message and ends with that code.

A row of the page reads | `snnl COMMAND`, SITUATION | `MESSAGE` | CODE | WHAT TO DO |. The command is run in an empty
folder; a situation, if one is named, is a function below with that name, which prepares the folder. The message is the
whole line, with "..." for what varies.
"""

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import datasets

import cli
from imagesets import digits
from lab import executor, journal, locks, registry, tracking
from lab.cells import Cell
from lab.compute import Compute
from lab.folder import CellFolder
from lab.imageset import ImageSet
from lab.runs import Run
from lab.search import search
from studies import classifier_regularization
from studies._classifier_cells import training_cell as classifier_cell
from studies._gan_cells import training_cell

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "errors.md"
ROW = re.compile(r"\| `snnl (.+?)`(?:, (.+?))? \| `(.+?)` \| (\d+) \| (.+?) \|")
LOCAL = {"data": "data", "download": False}
FEWEST_ROWS = 60
SITUATIONS = {}


def rows():
    """(command, situation, message, code) of each row of the page's tables."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    found = [ROW.fullmatch(line) for line in lines]
    assert all(found), f"no row: {lines[found.index(None)]}"
    return [(row[1], row[2], row[3], int(row[4])) for row in found]


NAMES = [", ".join(filter(None, row[:2])) for row in rows()]


@pytest.mark.parametrize("command, situation, message, code", rows(), ids=NAMES)
def test_rows_of_the_page(command, situation, message, code, tmp_path, monkeypatch, capfd, trained, classifier):
    monkeypatch.chdir(tmp_path)
    if situation:
        SITUATIONS[situation](Place(tmp_path, monkeypatch, trained, classifier))
    before = finished(tmp_path)
    ended, out, err = run_here(command, monkeypatch, capfd)
    assert ended == code, err
    assert "Traceback" not in err
    pattern = ".*".join(re.escape(part) for part in message.split("..."))
    told = [line for line in err.splitlines() if re.fullmatch(pattern, line)]
    assert told, err
    if code in {1, 2}:
        assert not out and err.splitlines()[-1] == told[0] and told[0].startswith("Error: ")
        assert finished(tmp_path) == before, "what failed is marked as done, or left something beside"


def test_there_are_many_rows_and_none_twice():
    found = [(command, situation) for command, situation, _, _ in rows()]
    assert len(set(found)) == len(found) >= FEWEST_ROWS
    assert {situation for _, situation in found if situation} == set(SITUATIONS)


def run_here(command, monkeypatch, capfd):
    """(exit code, stdout, stderr) of a command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["snnl", *shlex.split(command)])
    capfd.readouterr()
    with mock.patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": "", "no_proxy": "127.0.0.1"}):
        os.environ.pop("SNNL_DATA", None)
        with pytest.raises(SystemExit) as end:
            cli.main()
    return (end.value.code or 0, *capfd.readouterr())


def finished(folder):
    """What a later run would take for finished work, and what an unfinished write would leave."""
    return {path for path in folder.rglob("*") if path.name in {"DONE", "report.html"} or path.suffix == ".tmp"}


def test_where_an_error_arose_is_shown_on_request(snnl):
    """In a process of its own: before or after the command, or by the variable; the line is the last either way."""
    line = snnl("list", "models").stderr
    assert line.count("\n") == 1
    asked = [snnl("--traceback", "list", "models"), snnl("list", "models", "--traceback")]
    for done in (*asked, snnl("list", "models", SNNL_TRACEBACK="1")):
        assert done.returncode == 2 and not done.stdout
        assert done.stderr.startswith("Traceback") and done.stderr.endswith(line) and "registry.py" in done.stderr


def test_a_line_break_in_a_name_is_no_second_line(snnl, tmp_path):
    done = snnl("measure", "features", "two\nlines.npz", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    (tmp_path / "two\nlines.npz").write_bytes(b"no archive")
    done = snnl("measure", "features", "two\nlines.npz", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to a device of Linux that is always full")
def test_a_full_disk_under_the_output_is_told():
    command = [sys.executable, str(ROOT / "cli.py"), "list", "gans"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "No space left" in done.stderr and done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a GAN that was trained in a second."""
    cell = training_cell(
        "dcgan", "digits", seed=0, kimg=0.2, snapshots=(0.2,), compute=Compute(precision="float32", device="cpu"),
        settings={"width": 4, "batch": 50},
    )  # fmt: skip
    folder = CellFolder.create(cell, tmp_path_factory.mktemp("cells"), {**LOCAL, "data": str(ROOT / "data")})
    folder.work()
    return folder.path


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A function that gives the folder of a classifier that was trained in a second."""

    @cache
    def made(validation):
        cell = classifier_cell(
            "cnn", "digits", seed=0, epochs=1, compute=Compute(precision="float32", device="cpu"),
            settings={"width": 2}, validation=validation,
        )  # fmt: skip
        folder = CellFolder.create(cell, tmp_path_factory.mktemp("cells"), {**LOCAL, "data": str(ROOT / "data")})
        folder.work()
        return folder.path

    return made


class Place:
    """The folder that a row's command is run in, and what situations do there."""

    def __init__(self, path, patch, trained, classifier):
        self.path, self.patch, self._trained, self._classifier = path, patch, trained, classifier

    @property
    def cell_config(self):
        """The settings of a trained GAN."""
        return self._trained / "config.json"

    def cell(self):
        """A trained GAN's folder `cell`."""
        return shutil.copytree(self._trained, self.path / "cell")

    def classifier(self, validation=0.1):
        """A trained classifier's folder `cell`, and its only weights."""
        made = self._classifier(validation)
        folder = shutil.copytree(made, self.path / made.name)
        (self.path / "cell").symlink_to(folder)  # by its own name it is looked for
        (weights,) = (folder / "snapshots").iterdir()
        return weights

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


@situation("where a file is in the way")
def _(place):
    Path("runs").write_text("")


@situation("a trained GAN")
def _(place):
    place.cell()


# Images of one's own.


def photos(folder, n=18):
    """n images below the folder `photos`."""
    (Path("photos") / folder).mkdir(parents=True, exist_ok=True)
    for i in range(n):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (20, 20, 3), np.uint8)).save(
            Path("photos") / folder / f"{i}.png"
        )


@situation("a folder of images")
def _(place):
    photos("")


@situation("an empty folder")
def _(place):
    photos("", 0)


@situation("a folder of one image")
def _(place):
    photos("", 1)


@situation("an image that was cut off")
def _(place):
    photos("")
    cut(Path("photos/0.png"))


@situation("a text that is called an image")
def _(place):
    photos("")
    Path("photos/text.png").write_text("no image")


@situation("a decompression bomb")
def _(place):
    photos("")
    Image.new("1", (20000, 10000)).save("photos/bomb.png")


@situation("images beside class folders")
def _(place):
    photos("", 1)
    photos("cats")


@situation("a folder train without test")
def _(place):
    photos("train")


@situation("an encrypted archive")
def _(place):
    photos("", 1)
    with zipfile.ZipFile("photos.zip", "w") as archive:
        archive.write("photos/0.png", "0.png")
    data = bytearray(Path("photos.zip").read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    Path("photos.zip").write_bytes(data)


# Files of features.


@situation("a good file")
def _(place):
    place.points()


@situation("a file of another kind")
def _(place):
    Path("my.csv").write_text("1, 2")


@situation("a file that is no archive")
def _(place):
    Path("my.npz").write_bytes(b"no archive")


@situation("a file that was cut off")
def _(place):
    place.points()
    cut(Path("my.npz"))


@situation("tensors that were cut off")
def _(place):
    save_file({"x": torch.zeros(40, 3), "labels": torch.zeros(40)}, "my.safetensors")
    cut(Path("my.safetensors"))


@situation("without labels")
def _(place):
    place.points(labels=None, y=np.arange(40))


@situation("with more labels than points")
def _(place):
    place.points(labels=np.arange(41))


@situation("with labels of two columns")
def _(place):
    place.points(labels=np.zeros((40, 2), int))


@situation("with broken numbers as labels")
def _(place):
    place.points(labels=np.arange(40) / 2)


@situation("with names as labels")
def _(place):
    place.points(labels=np.array(["cat", "dog"] * 20))


@situation("with Python objects in it")
def _(place):
    place.points(x=np.array([{}] * 40, dtype=object))


@situation("with complex numbers")
def _(place):
    place.points(x=np.ones((40, 3), complex))


@situation("with a NaN in it")
def _(place):
    place.points(x=np.where(np.arange(120).reshape(40, 3) == 7, np.nan, 1.0))


@situation("with a single point")
def _(place):
    place.points(x=np.ones((1, 3)), labels=np.array([0]))


@situation("with one class")
def _(place):
    place.points(labels=np.zeros(40, int))


@situation("with a class of its own for each point")
def _(place):
    place.points(labels=np.arange(40))


# Weights and images of foreign networks.


@situation("weights that are none")
def _(place):
    Path("my.pth").write_bytes(b"no weights")


@situation("weights of another network")
def _(place):
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7), "head": torch.zeros(3)}, "my.pth")


@situation("a whole network instead of its weights")
def _(place):
    torch.save(torch.nn.Linear(2, 2), "my.pth")


@situation("images without labels")
def _(place):
    load = digits.load
    place.patch.setattr(digits, "load", lambda *arguments: ImageSet(load(*arguments).images))


# Data sets.


@situation("without a network")
def _(place):
    place.patch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])


@situation("a file of MNIST cut off")
def _(place):
    cut(place.mnist() / "t10k-images-idx3-ubyte")


@situation("other bytes in MNIST's files")
def _(place):
    place.mnist()


@situation("fewer labels than images")
def _(place):
    place.mnist("notMNIST")
    place.idx("t10k-labels-idx1-ubyte", np.arange(19))


@situation("a file of notMNIST cut off")
def _(place):
    cut(place.mnist("notMNIST") / "t10k-images-idx3-ubyte")


@situation("a packed file that is damaged")
def _(place):
    file = place.mnist("notMNIST") / "t10k-images-idx3-ubyte"
    file.with_name(f"{file.name}.gz").write_bytes(b"\x1f\x8bdamaged")
    file.unlink()


# Cells.


@situation("of another version's format")
def _(place):
    edit(place.cell() / "config.json", format=99)


@situation("settings cut off")
def _(place):
    cut(place.cell() / "config.json")


@situation("settings edited by hand")
def _(place):
    folder = CellFolder(place.cell())
    edit(folder.path / "config.json", config={**folder.config, "kimg": 3.0})


@situation("of a function that is not there")
def _(place):
    CellFolder.create(Cell("gans._train:ran", "x", {}), Path(), LOCAL).path.rename("cell")


@situation("before the cell that it needs")
def _(place):
    need = Cell("gans._train:run", "first", {})
    CellFolder.create(need, Path(), LOCAL)
    CellFolder.create(Cell("gans._train:run", "x", {}, needs=(need,)), Path(), LOCAL).path.rename("cell")


@situation("away from the cell that it needs")
def _(place):
    need = Cell("gans._train:run", "first", {})
    CellFolder.create(Cell("gans._train:run", "x", {}, needs=(need,)), Path(), LOCAL).path.rename("cell")


@situation("a snapshot cut off")
def _(place):
    cut(next((place.cell() / "snapshots").iterdir()))


@situation("a snapshot of another network")
def _(place):
    save_file({"x": torch.zeros(2)}, next((place.cell() / "snapshots").iterdir()))


@situation("a file of another name among the snapshots")
def _(place):
    next((place.cell() / "snapshots").iterdir()).rename("cell/snapshots/kimg-best.safetensors")


@situation("without its weights")
def _(place):
    shutil.rmtree(place.cell() / "snapshots")


@situation("a trained classifier")
def _(place):
    place.classifier()


@situation("a classifier trained on every image")
def _(place):
    place.classifier(validation=0)


@situation("a trained classifier whose images have no test split")
def _(place):
    place.classifier()
    place.patch.setattr(digits, "SPEC", replace(digits.SPEC, splits=("train",)))


@situation("a trained classifier without its weights")
def _(place):
    place.classifier().unlink()


@situation("a trained classifier whose weights are cut off")
def _(place):
    cut(place.classifier())


@situation("a cell that trains nothing")
def _(place):
    CellFolder.create(Cell("a:b", "x", {}), Path(), LOCAL).path.rename("cell")


# Studies.


@situation("an unknown setting written into it")
def _(place):
    edit(place.study() / "config.json", colour="red")


@situation("a setting out of range written into it")
def _(place):
    edit(place.study() / "config.json", seeds=0)


@situation("of a study that is not there")
def _(place):
    edit(place.study() / "plan.json", study="gan-entanglment")


@situation("its plan cut off")
def _(place):
    cut(place.study() / "plan.json")


@situation("a row of a cell damaged")
def _(place):
    shutil.copytree(ROOT / "results" / "cells", "runs/cells")
    for name in json.loads((place.study() / "plan.json").read_text())["cells"]:
        rows = Path("runs/cells", name, "rows.jsonl")
        if rows.exists():
            rows.write_text(rows.read_text().replace('"value"', "'value'", 1))


@situation("a row of a cell edited by hand")
def _(place):
    shutil.copytree(ROOT / "results" / "cells", "runs/cells")
    for name in json.loads((place.study() / "plan.json").read_text())["cells"]:
        edit(Path("runs/cells", name, "DONE"), rows="the hash of other rows")


@situation("the end of a cell damaged")
def _(place):
    shutil.copytree(ROOT / "results" / "cells", "runs/cells")
    for name in json.loads((place.study() / "plan.json").read_text())["cells"]:
        Path("runs/cells", name, "DONE").write_text("")


@situation("onto a file")
def _(place):
    place.study()
    Path("kept").write_text("")


@situation("onto another's folder")
def _(place):
    study = place.study()
    shutil.copytree(ROOT / "results" / "cells", "runs/cells")
    for name in json.loads((study / "plan.json").read_text())["cells"]:
        (Path("kept/cells") / name).mkdir(parents=True)


@situation("cells that need one another")
def _(place):
    first, second = (Path("runs/cells") / name for name in ("first-2", "second-1"))
    for folder, needs in ((first, []), (second, ["first-2"])):
        folder.mkdir(parents=True)
        shutil.copyfile(place.cell_config, folder / "config.json")
        edit(folder / "config.json", needs_folders=needs)


@situation("cells of which one is torn")
def _(place):
    SITUATIONS["cells that need one another"](place)
    Path("runs/cells/first-2/config.json").write_text("{")


@situation("one of them at work")
def _(place):
    SITUATIONS["cells that need one another"](place)
    place.patch.setattr(Run, "is_running", lambda run: True)


@situation("a cell that fails")
def _(place):
    def run(folders, *_):
        done, *broken = [folder.path for folder in folders]
        return executor.Outcome(done=[done], broken=dict.fromkeys(broken, "no luck"))

    place.patch.setattr(executor, "run_in_slots", run)


# Files of settings, and searches.


def settings(study="classifier-regularization", config=None, **more):
    """The file `mine.json` of a study's settings."""
    Path("mine.json").write_text(json.dumps({"study": study, "config": config or {}, **more}))


def begun(study):
    """A search that was begun in the folder `mine`."""
    config = classifier_regularization.SEARCH.settings.parse({"epochs": 9})
    search(study, classifier_regularization.SEARCH, config, trials=0, runs=Path("runs"), local={}, folder=Path("mine"))


@situation("settings that are no JSON")
def _(place):
    Path("mine.json").write_text("alphas: -0.1")


@situation("a list in place of settings")
def _(place):
    Path("mine.json").write_text("[]")


@situation("settings with a key too many")
def _(place):
    settings(seeds=3)


@situation("settings of the other study")
def _(place):
    settings()


@situation("settings that are unknown")
def _(place):
    settings(config={"alpha": -0.1})


@situation("settings out of range")
def _(place):
    settings(config={"epochs": 0})


@situation("a search of other settings")
def _(place):
    begun("classifier-regularization")


@situation("a search of another study")
def _(place):
    begun("gan-entanglement")


@situation("its journal damaged")
def _(place):
    begun("classifier-regularization")
    log = Path("mine/journal.log")
    log.write_text("no line of a journal\n" + log.read_text())


@situation("another command at work in it")
def _(place):
    Path("mine").mkdir()
    place.patch.setattr(locks, "_wait", lambda *_: None)


@situation("without Optuna")
def _(place):
    place.patch.setattr(journal, "find_spec", lambda name: None)


# The machine, and the workbench itself.


@situation("on a full disk")
def _(place):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    place.patch.setattr(Path, "write_bytes", full)


@situation("without a tracker's package")
def _(place):
    place.patch.setattr(tracking, "find_spec", lambda name: None)


@situation("ended with Ctrl-C")
def _(place):
    def interrupt(kind):
        raise KeyboardInterrupt

    place.patch.setattr(registry, "entries", interrupt)


@situation("a fault in the workbench")
def _(place):
    place.patch.setattr(registry, "entries", lambda kind: 1 / 0)
