"""The cells that measure."""

import pytest

from lab.cells.folder import CellFolder
from lab.errors import UsageError
from lab.training.compute import Compute
from tasks import measure_gan as cells

LOCAL = {"data": "nowhere", "download": False}


@pytest.mark.parametrize("batch, processes", [(63, 2), (64, 3), (4, 4)])
def test_a_batch_is_shared_equally_or_refused(batch, processes):
    with pytest.raises(UsageError, match=f"{batch} images cannot be shared by {processes} processes"):
        cells.training_cell(
            "dcgan", "digits", seed=0, kimg=0.5, snapshots=(), compute=Compute(processes=processes),
            settings={"batch": batch},
        )  # fmt: skip


def test_the_number_of_processes_decides_the_result_but_defaults_leave_no_trace():
    def key(**compute):
        return cells.training_cell(
            "dcgan", "digits", seed=0, kimg=0.5, snapshots=(), compute=Compute(device="cpu", **compute)
        ).key

    assert key() == key(processes=1, compile=False)
    assert len({key(), key(processes=2), key(compile=True)}) == 3


def test_a_broken_attempt_to_measure_is_not_counted_twice(tmp_path, monkeypatch):
    training = cells.training_cell(
        "dcgan", "digits", seed=0, kimg=0.5, snapshots=cells.schedule(0.5, 3),
        compute=Compute(precision="float32", device="cpu"), settings={"width": 4, "batch": 64},
    )  # fmt: skip
    CellFolder.create(training, tmp_path, LOCAL).work()
    for cell in (cells.measuring_cell(training, 40), cells.reference_cell("digits", 40)):
        folder = CellFolder.create(cell, tmp_path, LOCAL)
        row, written = CellFolder.row, []

        def breaks(self, row=row, written=written, **fields):
            if len(written) == 30:
                raise KeyboardInterrupt
            written.append(fields)
            row(self, **fields)

        with monkeypatch.context() as patch:
            patch.setattr(CellFolder, "row", breaks)
            with pytest.raises(KeyboardInterrupt):
                folder.work()
        assert len(folder.rows()) == 30
        folder.work()
        found = [tuple(sorted(row.items(), key=str)) for row in folder.rows()]
        assert len(found) > 30
        assert len(set(found)) == len(found)


def test_measuring_twice_gives_the_same_rows(tmp_path):
    cell = cells.reference_cell("digits", 30)
    one, two = (CellFolder.create(cell, tmp_path / name, LOCAL) for name in "ab")
    one.work()
    two.work()
    assert one.rows() == two.rows()
    assert {row["model"] for row in one.rows()} == {"real", "noise"}
    assert len({row["seed"] for row in one.rows()}) == cells.REFERENCE_DRAWS


def test_a_longer_training_keeps_the_generators_of_a_shorter_one():
    shorter, longer = cells.growing_schedule(4.0, 0.5), cells.growing_schedule(10.0, 0.5)
    assert shorter == (0.0, 0.5, 2.0, 4.0)
    assert longer == (0.0, 0.5, 2.0, 4.5, 8.0, 10.0)
    assert set(shorter[:-1]) < set(longer)
    assert cells.growing_schedule(float("inf"), 0.5) == (float("inf"),)
