"""What a command that comes to nothing leaves behind."""

from contextlib import ExitStack

import pytest
from making import LOCAL, made

from lab import locks
from lab.cells import layout
from lab.cells.failure import Failure, keep_failure
from lab.cells.folder import CellFolder
from lab.cells.fresh import dropped_if_bare
from lab.errors import WorkbenchError
from lab.files import write_json

CELL = made("train", "name", {"seed": 3})


def end(root, leave=lambda folder: None, error=WorkbenchError):
    """The cell's folder after work that failed; `leave` leaves something there."""
    with pytest.raises(error), dropped_if_bare([root / CELL.folder_name]):
        folder = CellFolder.create(CELL, root, LOCAL)
        leave(folder)
        raise error("no luck")
    return root / CELL.folder_name


def failed(kind):
    return lambda folder: keep_failure(folder.path, Failure(kind, "why"))


@pytest.mark.parametrize("leave", [lambda folder: None, failed("error"), lambda folder: folder.event("progress")])
@pytest.mark.parametrize("error", [WorkbenchError, KeyboardInterrupt])
def test_a_cell_that_never_began_is_gone(tmp_path, leave, error):
    assert not end(tmp_path, leave, error).exists()


@pytest.mark.parametrize(
    "leave",
    [
        lambda folder: folder.row(metric="m", value=1.0),
        lambda folder: (folder.path / "checkpoints").mkdir(),
        lambda folder: (folder.path / "log.txt").write_text("why"),
        lambda folder: keep_failure(folder.path, Failure("error", "why"), ZeroDivisionError("x")),
        failed("diverged"),
        lambda folder: folder.mark_done(1.0),
    ],
)
def test_work_is_kept_and_so_is_what_tells_why_it_failed(tmp_path, leave):
    assert end(tmp_path, leave).exists()


def test_the_folders_around_go_too_but_not_those_that_others_use(tmp_path):
    (tmp_path / "old").mkdir()
    for root in (tmp_path / "old" / "runs" / "cells", tmp_path / "new" / "cells"):
        end(root)
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]
    end(tmp_path / "runs" / "cells", lambda folder: (folder.path.parent.parent / "timing.json").write_text("{}"))
    assert {path.name for path in (tmp_path / "runs").rglob("*")} == {"timing.json"}


def test_what_was_there_before_is_kept(tmp_path):
    CellFolder.create(CELL, tmp_path, LOCAL)
    assert end(tmp_path).exists()


def test_what_another_command_took_up_is_kept(tmp_path):
    path = tmp_path / CELL.folder_name
    with ExitStack() as other:
        with pytest.raises(WorkbenchError), dropped_if_bare([path]):
            CellFolder.create(CELL, tmp_path, LOCAL)
            other.enter_context(locks.at_work(path))
            raise WorkbenchError("no luck")
        assert path.exists()


@pytest.mark.parametrize("at_work", [True, False])
def test_a_cell_that_a_study_of_another_command_waits_for_is_kept(tmp_path, at_work):
    """Both made it; the other one would find it gone, and take that for a failure."""
    path, study = layout.cell(tmp_path, CELL.folder_name), layout.study(tmp_path, "toy", "0123abcd")
    study.mkdir(parents=True)
    write_json(study / layout.CONFIG, {})
    write_json(study / layout.PLAN, {"study": "toy", "cells": [CELL.folder_name], "claims": []})
    with ExitStack() as other:
        with pytest.raises(KeyboardInterrupt), dropped_if_bare([path]):
            CellFolder.create(CELL, layout.cells(tmp_path), LOCAL)
            if at_work:
                other.enter_context(locks.at_work(study))
            raise KeyboardInterrupt
        assert path.exists() == at_work


@pytest.mark.parametrize("queued", [True, False])
@pytest.mark.parametrize("kind, mark", [("studies", layout.PLAN), ("searches", layout.SEARCH)])
def test_a_study_or_search_whose_cells_wait_in_a_queue_is_kept(tmp_path, kind, mark, queued):
    """They are done without the command that was broken off, and found by this folder."""
    folder = tmp_path / kind / "toy" / "0123abcd"
    with pytest.raises(KeyboardInterrupt), dropped_if_bare([folder]):
        cell = CellFolder.create(CELL, layout.cells(tmp_path), LOCAL).path
        folder.mkdir(parents=True)
        write_json(folder / layout.CONFIG, {})
        write_json(folder / mark, {"study": "toy", "cells": [CELL.folder_name]})
        if queued:
            (cell / layout.JOB).touch()
        raise KeyboardInterrupt
    assert folder.exists() == queued


def test_all_that_went_well_is_kept(tmp_path):
    with dropped_if_bare([tmp_path / CELL.folder_name]):
        CellFolder.create(CELL, tmp_path, LOCAL)
    assert (tmp_path / CELL.folder_name).exists()
