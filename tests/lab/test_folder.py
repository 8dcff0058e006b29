"""A cell's folder."""

import errno
import json
import math
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pytest
from making import LOCAL, do, made

from lab import locks, registry
from lab.cells import cell, layout, record, work
from lab.cells.events import last_progress
from lab.cells.failure import Failure
from lab.cells.folder import CellFolder
from lab.cells.record import SEALED
from lab.errors import DivergedError, WorkbenchError
from lab.hashing import content_hash

CELL = made("train", "name", {"seed": 3})


def test_a_folder_tells_what_to_do(tmp_path):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)
    again = CellFolder(tmp_path / CELL.folder_name)
    assert again.config == {"seed": 3}
    assert (again.task, again.data) == ("train", {"root": Path("/somewhere"), "download": True})
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


def test_rows_that_are_kept_are_what_they_are_when_they_are_appended(tmp_path):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)
    rows = [{"metric": "temperature", "value": value} for value in (math.nan, math.inf, -math.inf, 0.1)]
    for row in rows:
        folder.row(**row)
    appended = (folder.path / "rows.jsonl").read_bytes()
    folder.keep_rows(rows)
    assert (folder.path / "rows.jsonl").read_bytes() == appended and len(folder.rows()) == 4


def test_done_is_written_last_and_only_after_success(tmp_path, monkeypatch):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)

    def broken(cell):
        raise WorkbenchError("no luck")

    with pytest.raises(WorkbenchError, match="no luck"):
        do(folder, monkeypatch, broken)
    assert folder.failure == Failure("error", "no luck") and not folder.done

    def works(cell):
        assert not cell.done
        cell.row(metric="m", value=1.0)

    do(folder, monkeypatch, works)
    assert folder.done and folder.failure is None
    assert folder.environment["seed"] == 3
    assert folder.environment["packages"]["torch"]


def test_rows_are_on_the_disk_before_the_cell_is_marked_as_done(tmp_path, monkeypatch):
    """Else a power cut may leave the mark without the rows, which were appended one by one."""
    folder, synced = CellFolder.create(CELL, tmp_path, LOCAL), []

    def sync(number):
        found = os.fstat(number)
        synced.append((found.st_ino, found.st_size, folder.done))

    monkeypatch.setattr(os, "fsync", sync)
    do(folder, monkeypatch, lambda cell: cell.row(metric="m", value=1.0))
    rows = (folder.path / "rows.jsonl").stat()
    assert rows.st_size and (rows.st_ino, rows.st_size, False) in synced


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(WorkbenchError, match="no cell's folder"):
        CellFolder(tmp_path)
    folder = CellFolder.create(CELL, tmp_path, LOCAL)
    config = folder.path / "config.json"
    config.write_text(config.read_text().replace('"format": 2,\n "identity"', '"format": 99,\n "identity"'))
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


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"seed": 4}},
        {"identity": {"config": {"seed": 4}}},
        {"key": "f" * 16},
        {"label": "other"},
        {"needs_folders": ["x"]},
        {"seal": None},
        {"local": None},
    ],
)
def test_settings_changed_by_hand_are_refused(tmp_path, change):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)
    config = folder.path / "config.json"
    config.write_text(json.dumps({**folder.record, **change}))
    for opening in (lambda: CellFolder(folder.path), lambda: CellFolder.create(CELL, tmp_path, LOCAL)):
        with pytest.raises(WorkbenchError, match=r"config.json was edited: remove the folder"):
            opening()
    config.write_text(json.dumps(folder.record))
    assert CellFolder(folder.path).config == {"seed": 3}


def test_another_cells_folder_under_this_ones_name_is_refused(tmp_path):
    other = CellFolder.create(made("train", "name", {"seed": 4}), tmp_path, LOCAL)
    other.path.rename(tmp_path / CELL.folder_name)
    with pytest.raises(WorkbenchError, match=f"holds the cell {other.path.name}: give it that name again"):
        CellFolder.create(CELL, tmp_path, LOCAL)


def test_a_need_that_is_another_cell_is_refused(tmp_path):
    """Even one that somebody made to look whole under the needed one's name."""
    upper = made("measure", "upper", needs=(CELL,))
    folder = CellFolder.create(upper, tmp_path, LOCAL)
    with pytest.raises(WorkbenchError, match="no cell's folder"):
        folder.needs  # noqa: B018
    needed = CellFolder.create(CELL, tmp_path, LOCAL)
    assert [need.key for need in folder.needs] == [CELL.key]
    forged = {**needed.record, "identity": {**needed.record["identity"], "data": "another"}}
    forged["key"] = CELL.key[:8] + content_hash(forged["identity"])[8:]
    forged["seal"] = content_hash([forged[name] for name in SEALED])
    (needed.path / layout.CONFIG).write_text(json.dumps(forged))
    with pytest.raises(WorkbenchError, match="was edited"):
        folder.needs  # noqa: B018


def test_needs_that_bear_another_name_than_their_keys_are_refused(tmp_path):
    """The seal of a stranger's record vouches for nothing."""
    folder = CellFolder.create(made("measure", "upper", needs=(CELL,)), tmp_path, LOCAL)
    forged = {**folder.record, "needs_folders": ["name-01234567"]}
    forged["seal"] = content_hash([forged[name] for name in SEALED])
    (folder.path / layout.CONFIG).write_text(json.dumps(forged))
    with pytest.raises(WorkbenchError, match="was edited"):
        CellFolder(folder.path)


def test_of_two_cells_whose_keys_begin_alike_neither_is_taken_for_the_other(tmp_path, monkeypatch):
    """Their folders have one name, of which a key gives 8 of its 16 digits."""
    for module in (cell, record):
        monkeypatch.setattr(module, "content_hash", lambda value: "0" * 8 + content_hash(value)[8:])
    one, other = (made("train", "name", {"seed": seed}) for seed in (3, 4))
    upper = CellFolder.create(made("measure", "upper", needs=(one,)), tmp_path, LOCAL)
    there = CellFolder.create(other, tmp_path, LOCAL)
    assert one.folder_name == there.path.name and one.key != there.key
    with pytest.raises(WorkbenchError, match="is not the cell that upper-00000000 needs: remove it"):
        upper.needs  # noqa: B018
    with pytest.raises(WorkbenchError, match=r"is the folder of another cell\. Remove it"):
        CellFolder.create(one, tmp_path, LOCAL)


def test_another_version_of_the_code_does_not_do_what_was_planned(tmp_path):
    folder = CellFolder.create(made("train-gan", "old", versions={"gans/dcgan": 0}), tmp_path, LOCAL)
    with pytest.raises(WorkbenchError, match=r"planned with version 0 of gans/dcgan, and this is version 1"):
        work.work(folder)
    assert not folder.done


def test_a_failure_has_a_kind(tmp_path, monkeypatch):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)

    def diverges(cell):
        raise DivergedError("a loss became NaN")

    with pytest.raises(DivergedError):
        do(folder, monkeypatch, diverges)
    assert folder.failure == Failure("diverged", "a loss became NaN")
    assert not (folder.path / layout.TRACEBACK).exists(), "the message says it all"

    def breaks(cell):
        raise ZeroDivisionError("division by zero")

    with pytest.raises(WorkbenchError, match=r"ZeroDivisionError: division by zero \(.*traceback.txt tells where\)"):
        do(folder, monkeypatch, breaks)
    assert folder.failure.kind == "error" and "in breaks" in (folder.path / layout.TRACEBACK).read_text()
    (folder.path / layout.FAILED).write_text("torn")
    assert "cannot be read" in str(folder.failure)


def test_rows_changed_after_the_end_are_refused(tmp_path, monkeypatch):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)
    do(folder, monkeypatch, lambda cell: cell.row(metric="m", value=1.0))
    assert len(folder.rows()) == 1
    rows = folder.path / "rows.jsonl"
    text = rows.read_text()
    rows.write_text(text.replace("1.0", "2.0"))
    with pytest.raises(WorkbenchError, match=r"rows.jsonl was edited: remove its folder"):
        folder.rows()
    rows.write_bytes(text.replace("\n", "\r\n").encode())
    assert len(folder.rows()) == 1, "line endings may change on the way through a repository"
    (folder.path / "DONE").write_text('{"seconds": 1.0}')
    with pytest.raises(WorkbenchError, match=r"is damaged \(DONE\)"):
        folder.rows()


def test_rows_of_a_cell_that_ends_while_they_are_read_are_not_edited_ones(tmp_path, monkeypatch):
    folder, read = CellFolder.create(CELL, tmp_path, LOCAL), CellFolder._rows_text

    def end_after(cell):
        text = read(cell)
        monkeypatch.undo()
        folder.row(metric="m", value=2.0)
        folder.mark_done(1.0)
        return text

    folder.row(metric="m", value=1.0)
    monkeypatch.setattr(CellFolder, "_rows_text", end_after)
    assert len(folder.rows()) == 1 and len(folder.rows()) == 2


def test_published_cells_are_whole():
    for path in (Path(registry.__file__).parent.parent / "results" / "cells").iterdir():
        assert CellFolder(path).done and CellFolder(path).rows() is not None


def test_going_on_brings_what_does_not_decide_the_result_up_to_date(tmp_path, monkeypatch):
    CellFolder.create(CELL, tmp_path, LOCAL)
    local = {"data": "/elsewhere", "download": False, "checkpoint_minutes": 2}
    folder = CellFolder.create(CELL, tmp_path, local)
    assert (folder.data, folder.checkpoint_seconds) == ({"root": Path("/elsewhere"), "download": False}, 120)
    do(folder, monkeypatch, lambda cell: None)
    assert CellFolder.create(CELL, tmp_path, LOCAL).record["local"] == local, "what is done is left alone"


def test_work_begins_without_what_a_killed_attempt_left(tmp_path, monkeypatch):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)
    for name in (".rows.jsonl.77.tmp", "FAILED", "traceback.txt", "rows.jsonl"):
        (folder.path / name).write_text("old")
    do(folder, monkeypatch, lambda cell: None)
    assert {path.name for path in folder.path.iterdir()} == {"config.json", "environment.json", "rows.jsonl", "DONE"}
    assert folder.rows() == []


def test_a_full_disk_ends_the_cell_with_one_line_and_it_can_go_on(tmp_path, monkeypatch):
    """/dev/full has room for nothing."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    folder = CellFolder.create(CELL, tmp_path, LOCAL)

    def fill(cell):
        (cell.path / "rows.jsonl").unlink()
        (cell.path / "rows.jsonl").symlink_to("/dev/full")
        cell.row(metric="m", value=1.0)

    with pytest.raises(WorkbenchError, match=r"No room for .*No space left.* Free some; the same command goes on"):
        do(folder, monkeypatch, fill)
    assert "No room" in str(folder.failure) and not folder.done
    do(folder, monkeypatch, lambda cell: cell.row(metric="m", value=1.0))
    assert folder.done and folder.failure is None


def test_a_full_disk_on_which_no_folder_can_be_made_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "write_bytes", Mock(side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    with pytest.raises(WorkbenchError, match=r"No room for .*config.json \(No space left on device\)"):
        CellFolder.create(CELL, tmp_path, LOCAL)


def test_where_not_even_the_failure_can_be_written_the_message_is_the_same(tmp_path, monkeypatch):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)

    def turns_read_only(cell):
        def refuses(path, *arguments, **settings):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

        monkeypatch.setattr(Path, "open", refuses)
        monkeypatch.setattr(Path, "write_bytes", refuses)
        cell.row(metric="m", value=1.0)

    with pytest.raises(WorkbenchError, match=r"rows.jsonl cannot be written .*Make .* writable; the same command"):
        do(folder, monkeypatch, turns_read_only)
    monkeypatch.undo()
    assert folder.failure is None and not folder.done
    do(folder, monkeypatch, lambda cell: None)
    assert folder.done


def test_who_waited_does_nothing_in_a_folder_that_was_removed_meanwhile(tmp_path, monkeypatch):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)
    shutil.rmtree(folder.path)
    for _ in range(2):
        with pytest.raises(WorkbenchError, match="has been removed or moved meanwhile: the same command makes it anew"):
            do(folder, monkeypatch, lambda cell: cell.row(metric="m", value=1.0))
        assert not folder.path.exists() or not any(folder.path.iterdir())
        folder.path.mkdir(exist_ok=True)  # as `runs remove` leaves it for a moment


@pytest.mark.parametrize("anew", [Path.mkdir, lambda path: CellFolder.create(CELL, path.parent, LOCAL)])
def test_work_whose_folder_was_removed_is_not_done_with_the_rows_after_that(tmp_path, monkeypatch, anew):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)

    def loses_its_folder(cell):
        cell.row(metric="m", value=1.0)
        shutil.rmtree(cell.path)
        anew(cell.path)
        cell.row(metric="m", value=2.0)

    with pytest.raises(WorkbenchError, match="has been removed or moved meanwhile"):
        do(folder, monkeypatch, loses_its_folder)
    assert not folder.done


def test_a_folder_that_is_gone_while_it_is_written_to_is_told_in_one_line(tmp_path, monkeypatch):
    folder = CellFolder.create(CELL, tmp_path, LOCAL)

    def loses_its_folder(cell):
        while cell.path.exists():  # the sign of life may be written just then
            shutil.rmtree(cell.path, ignore_errors=True)
        cell.row(metric="m", value=2.0)

    with pytest.raises(WorkbenchError, match="has been removed or moved meanwhile"):
        do(folder, monkeypatch, loses_its_folder)
    assert not folder.path.exists()


def test_who_makes_a_folder_waits_for_another_who_makes_it(tmp_path):
    other, path = CellFolder.create(CELL, tmp_path / "other", LOCAL), tmp_path / "cells" / CELL.folder_name
    path.mkdir(parents=True)
    with ThreadPoolExecutor(1) as pool, locks.exclusive(path / "lock"):
        found = pool.submit(CellFolder.create, CELL, path.parent, LOCAL)
        with pytest.raises(TimeoutError):
            found.result(timeout=0.1)
        shutil.copy(other.path / "config.json", path)
    assert found.result(5).key == CELL.key
