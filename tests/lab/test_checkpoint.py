"""Checkpoints: whole, proven before they are used, the last two kept."""

import errno
import json
import os
from pathlib import Path

import pytest

from lab.errors import WorkbenchError
from lab.training import checkpoint

KEY = "0123456789abcdef"
ARITHMETIC = checkpoint.Arithmetic("cpu", "bf16", "onednn")


def save(folder, *steps, key=KEY):
    for step in steps:
        checkpoint.save(folder, step, key, ARITHMETIC, {"weights": b"w%d" % step, "losses": b""})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_saved_is_read_and_the_last_two_are_kept(tmp_path):
    save(tmp_path, 1, 20, 300)
    assert names(tmp_path) == ["step-00000020", "step-00000300"]
    newest, before = checkpoint.newest_first(tmp_path)
    assert [checkpoint.step_of(path) for path in (newest, before)] == [300, 20]
    assert checkpoint.read(newest, KEY) == checkpoint.Checkpoint(
        newest, 300, ARITHMETIC, {"weights": b"w300", "losses": b""}
    )


def flip(path):
    path.write_bytes(b"W" + path.read_bytes()[1:])


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda at: flip(at / "weights"), "damaged: weights is not what was saved"),
        (lambda at: (at / "weights").write_bytes(b"w"), "damaged: weights is not what was saved"),
        (lambda at: (at / "weights").unlink(), "damaged: weights cannot be read"),
        (lambda at: (at / "state.json").unlink(), "no checkpoint: it has no readable state.json"),
        (lambda at: (at / "state.json").write_text('{"step": 5'), "no readable state.json"),
        (lambda at: (at / "state.json").write_text("[]"), "no readable state.json"),
        (lambda at: (at / "state.json").write_text('{"step": 5}'), "no readable state.json"),
        (lambda at: edit(at / "state.json", arithmetic="bf16"), "no readable state.json"),
        (lambda at: edit(at / "state.json", step=6), "damaged: its state.json tells of step 6"),
        (lambda at: edit(at / "state.json", key="f" * 16), "the checkpoint of another cell"),
        (lambda at: edit(at / "state.json", files={"../w": checkpoint._proof(b"")}), "names files elsewhere: ../w"),
        (lambda at: edit(at / "state.json", files={"/etc/hosts": {}}), "names files elsewhere: /etc/hosts"),
        (lambda at: edit(at / "state.json", files={"a\0": {}}), "damaged: a\0 cannot be read"),
        (lambda at: edit(at / "state.json", files={"weights": []}), "damaged: weights is not what was saved"),
        (lambda at: os.truncate(at / "weights", 1 << 36), "damaged: weights is not what was saved"),
        (lambda at: (at / "state.json").write_text("[" * 100_000), "no readable state.json"),
        (lambda at: (at / "state.json").write_text('{"step": Infinity}'), "no readable state.json"),
    ],
)
def test_what_is_damaged_or_anothers_is_refused(tmp_path, damage, words):
    save(tmp_path, 5)
    (path,) = checkpoint.newest_first(tmp_path)
    damage(path)
    with pytest.raises(WorkbenchError, match=words):
        checkpoint.read(path, KEY)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "step-mine").write_text("")
    (path,) = checkpoint.newest_first(tmp_path)
    assert checkpoint.step_of(path) == -1
    with pytest.raises(WorkbenchError, match=r"no readable state.json"):
        checkpoint.read(path, KEY)


def test_saving_overtakes_what_was_skipped_as_damaged(tmp_path):
    save(tmp_path, 1, 2)
    flip(tmp_path / "step-00000002" / "weights")
    save(tmp_path, 2)
    assert checkpoint.read(tmp_path / "step-00000002", KEY).files["weights"] == b"w2"
    save(tmp_path, 9)
    flip(tmp_path / "step-00000009" / "weights")
    save(tmp_path, 3)
    assert names(tmp_path) == ["step-00000002", "step-00000003"]


def test_a_torn_save_leaves_the_checkpoints_before_it_and_is_cleared_by_the_next(tmp_path, monkeypatch):
    save(tmp_path, 1, 2)
    monkeypatch.setattr(Path, "rename", lambda self, target: os._exit(1))
    if os.fork() == 0:
        save(tmp_path, 3)
    os.wait()
    assert names(tmp_path) == [".step-00000003.tmp", "step-00000001", "step-00000002"]
    monkeypatch.undo()
    save(tmp_path, 3)
    assert names(tmp_path) == ["step-00000002", "step-00000003"]


def test_every_file_is_on_the_disk_before_the_folder_has_its_name_and_then_the_name_is(tmp_path, monkeypatch):
    rename, synced, before, folder = Path.rename, [], [], tmp_path / "checkpoints"

    def named(aside, target):
        before.extend((path.name, path.stat().st_ino in synced) for path in sorted(aside.iterdir()))
        synced.clear()
        return rename(aside, target)

    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino))
    monkeypatch.setattr(Path, "rename", named)
    save(folder, 1)
    assert before == [("losses", True), ("state.json", True), ("weights", True)]
    assert synced == [folder.stat().st_ino]


def test_a_removal_that_is_cut_off_leaves_nothing_that_is_taken_for_a_damaged_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, 1, 2)

    def dies(path, ignore_errors=False):
        if not ignore_errors:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("shutil.rmtree", dies)
        save(tmp_path, 3)
    assert [path.name for path in checkpoint.newest_first(tmp_path)] == ["step-00000003", "step-00000002"]


def test_a_full_disk_leaves_the_checkpoints_before_it_and_no_scrap(tmp_path, monkeypatch):
    save(tmp_path, 1, 2)

    def full(path, data):
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, 3)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def test_the_arithmetic_of_the_newest_that_tells(tmp_path):
    assert checkpoint.arithmetic(tmp_path) is None
    save(tmp_path / "checkpoints", 1, 2)
    assert checkpoint.arithmetic(tmp_path) == ARITHMETIC
    (tmp_path / "checkpoints" / "step-00000002" / "state.json").write_text("torn")
    assert checkpoint.arithmetic(tmp_path) == ARITHMETIC
