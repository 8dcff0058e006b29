"""Where a training goes on from, on every one of its processes."""

import pickle
import shutil

import pytest
from making import made

from lab.cells.folder import CellFolder
from lab.training import checkpoint, resume, together
from lab.training.checkpoint import Arithmetic

FILES = {"weights": bytes(range(256)), "optimizers": b"\0" * 1000}


def test_all_processes_go_on_from_what_the_first_one_read(tmp_path, monkeypatch):
    """Another cell's checkpoint may be removed before the others come to read it."""
    shorter, longer = (
        CellFolder.create(made("train", f"{kimg}", {"kimg": kimg}), tmp_path, {"data": "", "download": False})
        for kimg in (1, 2)
    )
    checkpoint.save(shorter.path / "checkpoints", 7, shorter.key, Arithmetic("cpu", "bf16"), FILES)
    sent = []

    def send(objects):
        sent.append(pickle.dumps(objects))
        return objects

    def receive(objects):
        assert objects == [None]
        return pickle.loads(sent[0])

    monkeypatch.setattr(together, "world_size", lambda: 2)
    starts = []
    for rank, broadcast in enumerate((send, receive)):
        monkeypatch.setattr(resume, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(together, "broadcast_object_list", broadcast)
        starts.append(resume.agreed_start(longer, {}, 10, ["kimg"], Arithmetic("cpu", "bf16")))
        shutil.rmtree(shorter.path, ignore_errors=True)
    assert starts[0].checkpoint == starts[1].checkpoint
    assert starts[1].checkpoint.files == FILES and starts[1].checkpoint.step == 7
    assert starts[1].source.key == shorter.key


def test_another_arithmetic_is_not_gone_on_from(tmp_path):
    shorter, longer = (
        CellFolder.create(made("train", f"{kimg}", {"kimg": kimg}), tmp_path, {"data": "", "download": False})
        for kimg in (1, 2)
    )
    checkpoint.save(shorter.path / "checkpoints", 7, shorter.key, Arithmetic("cpu", "bf16"), FILES)
    assert resume.find_start(longer, {}, 10, ["kimg"], Arithmetic("cpu", "float32")) is None
    assert resume.find_start(longer, {}, 10, ["kimg"], Arithmetic("cpu", "bf16")).source.key == shorter.key


def test_a_checkpoint_from_beyond_the_end_is_not_gone_on_from(tmp_path):
    """Though all that is to be kept up to the end is there."""
    longer, shorter = (
        CellFolder.create(made("train", f"{kimg}", {"kimg": kimg}), tmp_path, {"data": "", "download": False})
        for kimg in (2, 1)
    )
    how = Arithmetic("cpu", "bf16")
    checkpoint.save(longer.path / "checkpoints", 7, longer.key, how, FILES)
    assert resume.find_start(shorter, {}, 6, ["kimg"], how) is None
    assert resume.find_start(shorter, {}, 7, ["kimg"], how).checkpoint.step == 7


@pytest.mark.parametrize(
    "change",
    [
        {"task": "tune"},
        {"data": "others"},
        {"versions": {"gans/x": 2}},
        {"processes": 2},
        {"needs": (made("guide", "guide"),)},
        {"config": {"seed": 1}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_cell_that_differs_in_more_than_its_length_is_not_gone_on_from(tmp_path, change):
    def cell(kimg, task="train", config=None, **more):
        settings = {"kimg": kimg, **(config or {})}
        own = {"versions": {"gans/x": 1}, "data": "images", **more}
        return CellFolder.create(made(task, f"{kimg}", settings, **own), tmp_path, {"data": "", "download": False})

    how, longer = Arithmetic("cpu", "bf16"), cell(2)
    other = cell(1, **change)
    checkpoint.save(other.path / "checkpoints", 7, other.key, how, FILES)
    assert resume.find_start(longer, {}, 10, ["kimg"], how) is None
    alike = cell(1)
    checkpoint.save(alike.path / "checkpoints", 7, alike.key, how, FILES)
    assert resume.find_start(longer, {}, 10, ["kimg"], how).source.key == alike.key
