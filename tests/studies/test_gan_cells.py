"""The cells that train and measure GANs."""

import pytest

from lab.cells.folder import CellFolder
from lab.cells.work import work
from lab.errors import UsageError
from tasks import measure_gan, measure_references, train_gan

LOCAL = {"data": "nowhere", "download": False}


def config(**given):
    return train_gan.Config.parse({"gan": "dcgan", "kimg": 0.5, "device": "cpu", **given})


@pytest.mark.parametrize("batch, processes", [(63, 2), (64, 3), (4, 4)])
def test_a_batch_is_shared_equally_or_refused(batch, processes):
    with pytest.raises(UsageError, match=f"{batch} images cannot be shared by {processes} processes"):
        config(processes=processes, settings={"batch": batch})


def test_the_number_of_processes_decides_the_result_but_defaults_leave_no_trace(tmp_path):
    def key(**compute):
        return train_gan.cell(config(**compute), tmp_path).key

    assert key() == key(processes=1, compile=False)
    assert len({key(), key(processes=2), key(compile=True)}) == 3


def test_a_broken_attempt_to_measure_is_not_counted_twice(tmp_path, monkeypatch):
    small = {"settings": {"width": 4, "batch": 64}, "precision": "float32"}
    training = train_gan.cell(config(snapshots=train_gan.schedule(0.5, 3), **small), tmp_path)
    work(CellFolder.create(training, tmp_path, LOCAL))
    for cell in (measure_gan.cell(training, 40), measure_references.cell("digits", 40, tmp_path)):
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
                work(folder)
        assert len(folder.rows()) == 30
        work(folder)
        found = [tuple(sorted(row.items(), key=str)) for row in folder.rows()]
        assert len(found) > 30
        assert len(set(found)) == len(found)


def test_measuring_twice_gives_the_same_rows(tmp_path):
    cell = measure_references.cell("digits", 30, tmp_path)
    one, two = (CellFolder.create(cell, tmp_path / name, LOCAL) for name in "ab")
    work(one)
    work(two)
    assert one.rows() == two.rows()
    assert {row["model"] for row in one.rows()} == {"real", "noise"}
    assert len({row["seed"] for row in one.rows()}) == cell.config.draws == 8


def test_a_longer_training_keeps_the_generators_of_a_shorter_one():
    shorter, longer = (config(kimg=kimg).kept_at for kimg in (4.0, 10.0))
    assert shorter == (0.0, 0.5, 2.0, 4.0)
    assert longer == (0.0, 0.5, 2.0, 4.5, 8.0, 10.0)
    assert set(shorter[:-1]) < set(longer)


@pytest.mark.parametrize("kimg", [float("inf"), 2e9, 0.0])
def test_a_training_has_an_end(kimg):
    with pytest.raises(UsageError, match="kimg: "):
        config(kimg=kimg)
