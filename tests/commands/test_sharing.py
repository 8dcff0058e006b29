"""Measurements that several processes share: each part is done once, and the figures are those of one process."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
import forks
import numpy as np
import pytest
import torch

from commands import _sharing, measure
from evaluation.measured import measure_images
from evaluation.sources import Images
from evaluation.spaces import pixels
from lab.errors import UsageError, WorkbenchError, say
from lab.processes import rank
from lab.running import several
from lab.training import frame
from outside.credibility import measure_credibility
from outside.network import measure_network
from outside.points import measure_file

pytestmark = pytest.mark.skipif(os.name != "posix", reason="gloo over loopback")
SIZES = {"train": 60, "calibrate": 41, "test": 21}
NET = "from torch import nn\nnet = lambda: nn.Sequential(nn.Flatten(), nn.Linear(256, 9), nn.ReLU(), nn.Linear(9, 10))"


def write_files(folder):
    numbers = np.random.default_rng(0)
    for name, n in SIZES.items():
        labels = np.arange(n) % 3
        x = (numbers.normal(size=(n, 5)) + labels[:, None]).astype(np.float32)
        np.savez(folder / f"{name}.npz", x=x, more=numbers.normal(size=(n, 2, 2)), labels=labels)
    numbers = torch.Generator().manual_seed(0)
    images = [torch.randint(256, (120, 1, 6, 6), dtype=torch.uint8, generator=numbers) for _ in range(2)]
    torch.save(images, folder / "images.pt")
    (folder / "my.py").write_text(NET)


def refuse_what_changes():
    """In each of several processes: files that are others in each, as those that are written while they are read."""
    numbers, labels = np.random.default_rng(rank()), np.arange(40) % 2
    moving, still = Path(f"moving-{rank()}"), Images("still", torch.zeros(8, 1, 4, 4, dtype=torch.uint8))
    moving.mkdir()
    (moving / "my.py").write_text(f"# {rank()}\n{NET}")
    np.savez(moving / "my.npz", x=numbers.normal(size=(40, 3 + rank())), labels=labels)
    images = replace(still, name="my", images=torch.full_like(still.images, rank()))
    here = Path.cwd()
    os.chdir(moving)
    for work in (
        lambda: measure_file(Path("my.npz"), sharded=True),
        lambda: measure_credibility(here / "train.npz", here / "calibrate.npz", Path("my.npz"), k=5, sharded=True),
        lambda: measure_network("my.py:net", "digits", data=here / "data", device="cpu", sharded=True),
        lambda: measure_network(str(here / "my.py:net"), f"images:{rank()}", data=here, device="cpu", sharded=True),
        lambda: measure_images(still, images, replace(pixels(), sharded=True)),
    ):
        with pytest.raises(WorkbenchError, match=r"processes have not read the same of (my|the images)"):
            work()
    os.chdir(here)


def measured(sharded):
    """Everything that processes can share, as JSON-ready values; of each process the whole."""
    files = {name: Path(f"{name}.npz") for name in SIZES}
    credibility = measure_credibility(**files, k=5, mode="smoothed", sharded=sharded)
    layers = {"imageset": "digits", "data": Path("data"), "n": 61, "device": "cpu", "out": Path("layers.npz")}
    real, generated = torch.load("images.pt")
    sides = Images("real", real, torch.arange(len(real)) % 2), Images("generated", generated)
    images = measure_images(*sides, replace(pixels(), sharded=sharded), n=50, runs=Path("runs"))
    found = {
        "features": measure_file(files["train"], sharded=sharded).plain(),
        "credibility": credibility.plain(),
        "neighbors": {name: x.tolist() for name, x in credibility.found.neighbors.items()},
        "layers": measure_network("my.py:net", **layers, sharded=sharded).plain(),
        "images": images.plain(),
        "losses": images.found.entanglement.per_sample.tolist(),
    }
    with np.load("layers.npz") as kept:
        return found | {"kept": {name: kept[name].tolist() for name in kept.files}}


def work():
    """In each of several processes: what is measured, and what the command prints of it."""
    refuse_what_changes()
    found = measured(sharded=True)
    Path(f"found-{rank()}").write_text(json.dumps(found))
    with Path(f"said-{rank()}").open("w") as sys.stdout:
        measure.command(["features", "train.npz", "--processes", "2"], standalone_mode=False)


def test_every_process_finds_what_one_finds_and_the_first_one_tells(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    forks.together(__file__, "work", 2)
    found = [json.loads(Path(f"found-{number}").read_text()) for number in (0, 1)]
    assert found[0] == found[1]
    assert "class 2" in Path("said-0").read_text() and not Path("said-1").read_text()
    assert_close(found[0], measured(sharded=False))


def assert_close(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_close(one[name], other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_close(*pair)
    else:
        assert one == (pytest.approx(other, rel=1e-3, abs=1e-5) if isinstance(one, float) else other)


def test_the_command_starts_as_many_processes_as_it_is_asked_for(snnl, tmp_path):
    """The second one refuses its part, and the reason is told once."""
    x, labels = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    np.savez(tmp_path / "bad.npz", x=np.where(np.arange(40)[:, None] == 30, np.nan, x), labels=labels)
    refused = snnl("measure", "features", "bad.npz", "--processes", 2, cwd=tmp_path)
    assert refused.returncode == 1 and not refused.stdout
    told = "Error: bad.npz: process 1: row 10 of x is not finite; 1 of 20 rows are not."
    assert refused.stderr.splitlines()[1:] == [told]


@pytest.mark.parametrize(
    "error, code, kind, words",
    [
        (UsageError("50 images are asked for"), 1, UsageError, "^50 images are asked for$"),
        (
            RuntimeError("Connection closed by peer"),
            128 + 9,
            WorkbenchError,
            "one of 2 processes was ended by signal 9",
        ),
        (None, 1, WorkbenchError, "^one of 2 processes died$"),
    ],
)
def test_why_they_failed_is_told_by_who_started_them(monkeypatch, error, code, kind, words):
    def run(count, script, log, shown):
        if error:
            with pytest.raises(SystemExit), several.one_of_those():
                raise error
        return code

    monkeypatch.setattr(several, "run", run)
    with pytest.raises(kind, match=words) as told:
        several.again(2)
    assert told.value.exit_code == kind.exit_code and several.HOME not in os.environ


def test_who_was_started_by_hand_tells_it_alone_and_is_counted(monkeypatch):
    with pytest.raises(ZeroDivisionError), several.one_of_those():
        1 / 0  # noqa: B018
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="--processes 2 are asked for, and 3 came"):
        measure.command(["features", __file__, "--processes", "2"], standalone_mode=False)


@pytest.mark.parametrize(
    "number, out, err", [(0, "rows\n", "Warning: few.\nso far\n"), (1, "", "Warning: few. (process 1)\n")]
)
def test_the_first_tells_all_and_the_others_warnings_alone(monkeypatch, capsys, number, out, err):
    ended = []
    accelerator = SimpleNamespace(end_training=lambda: ended.append(True))
    monkeypatch.setattr(frame, "make_accelerator", lambda device: accelerator)
    for name, value in (("rank", number), ("world_size", 2), ("forget_launchers", None)):
        monkeypatch.setattr(_sharing, name, lambda value=value: value)
    with _sharing._together(2, "cpu"):
        say("Warning: few.")
        say("so far")
        click.echo("rows")
    assert capsys.readouterr() == (out, err) and ended == [True]


def test_what_one_process_alone_can_make_is_made_before_there_are_others(monkeypatch):
    done = []
    monkeypatch.setattr(several, "check_gpus", lambda device, processes: done.append(("gpus", device, processes)))
    monkeypatch.setattr(several, "again", lambda processes: done.append(("again", processes)))
    monkeypatch.setattr(_sharing, "world_size", lambda: 1)
    shared = _sharing.shared(lambda **values: done.append(("ready", values)))(lambda **values: done.append(values))
    shared(processes=2, n=3)
    shared(processes=1, n=3)
    assert done == [("gpus", "cpu", 2), ("ready", {"n": 3}), ("again", 2), {"sharded": False, "n": 3}]
