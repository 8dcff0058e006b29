"""A cell's folder."""

import json
import math

import pytest

from lab import registry
from lab.cells import Cell
from lab.errors import WorkbenchError
from lab.folder import CellFolder
from lab.progress import last_progress

LOCAL = {"data": "/somewhere", "download": True}
CELL = Cell("a:b", "name", {"seed": 3}, {"a": 1})


def test_a_folder_tells_what_to_do(tmp_path):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)
    again = CellFolder(tmp_path / CELL.folder_name)
    assert again.config == {"seed": 3}
    assert (again.run, str(again.data_root), again.download) == ("a:b", "/somewhere", True)
    assert again.record["key"] == CELL.key
    assert not folder.done and folder.failure is None and folder.environment == {}


def test_rows_are_rows_of_the_table(tmp_path):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)
    folder.row(metric="loss", value=math.nan, seed=1)
    folder.row(metric="loss", value=0.5, seed=2)
    assert folder.rows() == [{"metric": "loss", "value": None, "seed": 1}, {"metric": "loss", "value": 0.5, "seed": 2}]
    for line in (folder.path / "rows.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)
    with pytest.raises(ValueError, match="columns"):
        folder.row(metric="loss", value=1.0, colour="red")
    with pytest.raises(ValueError, match="metric and a value"):
        folder.row(metric="loss")
    folder.keep_rows(folder.rows()[:1])
    assert len(folder.rows()) == 1


def test_done_is_written_last_and_only_after_success(tmp_path, monkeypatch):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)

    def broken(cell):
        raise WorkbenchError("no luck")

    monkeypatch.setattr(registry, "resolve", lambda reference: broken)
    with pytest.raises(WorkbenchError, match="no luck"):
        folder.work()
    assert folder.failure == "no luck" and not folder.done

    def works(cell):
        assert not cell.done
        cell.row(metric="m", value=1.0)

    monkeypatch.setattr(registry, "resolve", lambda reference: works)
    folder.work()
    assert folder.done and folder.failure is None
    assert folder.environment["seed"] == 3
    assert folder.environment["packages"]["torch"]


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(WorkbenchError, match="no cell's folder"):
        CellFolder(tmp_path)
    folder = CellFolder.create(CELL, tmp_path, LOCAL)
    config = folder.path / "config.json"
    config.write_text(config.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(WorkbenchError, match="format 99"):
        CellFolder(folder.path)


def test_the_last_progress_is_found_even_in_a_torn_file(tmp_path):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)
    assert last_progress(folder.path) == {}
    for done in range(300):
        folder.event("progress", done=done, total=300, text="x" * 50)
    folder.event("other")
    with (folder.path / "events.jsonl").open("a") as file:
        file.write('{"event": "progr')
    assert last_progress(folder.path)["done"] == 299


def test_a_row_cut_off_in_the_writing_is_left_out(tmp_path):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)
    folder.row(metric="m", value=1.0)
    with (folder.path / "rows.jsonl").open("a") as file:
        file.write('{"metric": "m", "va')
    assert folder.rows() == [{"metric": "m", "value": 1.0}]
    folder.keep_rows(folder.rows())
    folder.row(metric="m", value=2.0)
    assert [row["value"] for row in folder.rows()] == [1.0, 2.0]
