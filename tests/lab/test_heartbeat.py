"""The sign of life of a cell at work: renewed while it works, gone when it ends, and never in its way."""

import time

import pytest
from making import LOCAL, do, made
from waiting import wait_for

from lab.cells import heartbeat
from lab.cells.folder import CellFolder
from lab.cells.heartbeat import beating, last_beat


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.005)


def test_it_is_renewed_for_as_long_as_the_work_goes_on(tmp_path):
    assert last_beat(tmp_path) is None
    with pytest.raises(KeyboardInterrupt), beating(tmp_path):
        seen = set()
        wait_for(lambda: seen.add(last_beat(tmp_path)) or len(seen) == 4, pause=0.005)
        raise KeyboardInterrupt
    assert last_beat(tmp_path) is None and not list(tmp_path.iterdir())


def test_a_folder_that_is_away_does_not_end_the_work(tmp_path):
    with beating(tmp_path / "away"):
        time.sleep(0.02)
    assert last_beat(tmp_path / "away") is None


def test_every_cell_shows_it(tmp_path, monkeypatch):
    folder = CellFolder.create(made(), tmp_path, LOCAL)

    def work(folder):
        wait_for(lambda: last_beat(folder.path) is not None, pause=0.001)

    do(folder, monkeypatch, work)
    assert folder.done and last_beat(folder.path) is None
