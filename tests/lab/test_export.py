"""What an export says of cells that it does not copy."""

import pytest
from making import made

from lab.cells import layout
from lab.cells.export import export
from lab.cells.folder import CellFolder
from lab.cells.kept import PNG
from lab.cells.record import read_study
from lab.errors import WorkbenchError
from lab.files import write_json
from lab.studying.collect import collect

TRAIN, MEASURE, OTHER = (made("train", name, {"seed": seed}) for seed, name in enumerate(("train", "measure", "other")))


@pytest.mark.parametrize(
    "shipped, of, words",
    [
        ([MEASURE], [TRAIN, MEASURE], "1 of 2 cells are copied; 1 ship with the code."),
        ([MEASURE, TRAIN], [MEASURE], "0 of 1 cells are copied; 1 ship with the code."),
        (
            [MEASURE],
            [MEASURE, OTHER],
            "0 of 2 cells are copied; 1 ship with the code. Of those in {}/cells, not finished: 1.",
        ),
        ([], [TRAIN, OTHER], "1 of 2 cells are copied. Of those in {}/cells, not finished: 1."),
    ],
)
def test_an_export_tells_cells_that_ship_with_the_code_apart(tmp_path, monkeypatch, shipped, of, words):
    """They are no loss: the report of the copy takes them from there again. What the plan took none of is not there."""
    monkeypatch.setattr(layout, "PUBLISHED", tmp_path / "results")
    for place, cells in {"results": (MEASURE, OTHER), "runs": (TRAIN,)}.items():
        for cell in cells:
            CellFolder.create(cell, tmp_path / place / "cells", {}).mark_done(1.0)
    CellFolder.create(OTHER, tmp_path / "runs" / "cells", {})
    folder, said = tmp_path / "runs" / "studies" / "s" / "one", []
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {})
    named, published = ([cell.folder_name for cell in cells] for cells in (of, shipped))
    write_json(folder / "plan.json", {"study": "s", "cells": named, "published": published})
    copied = export(folder, tmp_path / "kept", said.append)
    assert said == [words.format(tmp_path / "runs")]
    assert read_study(copied).shipped == published and len(
        collect("s", named, tmp_path / "kept", published).cells
    ) == len({*named} & {TRAIN.folder_name, *published})


def full(*writing):
    raise OSError("no room")


def test_a_copy_that_was_broken_off_is_no_finished_cell_and_the_same_export_completes_it(tmp_path, monkeypatch):
    made = CellFolder.create(TRAIN, tmp_path / "runs" / "cells", {})
    made.row(metric="m", value=1.0)
    made.mark_done(1.0)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no room"):
        patch.setattr("lab.cells.export.atomic_write", full)
        export(made.path, tmp_path / "kept")
    copied = layout.cell(tmp_path / "kept", made.path.name)
    assert copied.exists() and not layout.is_done(copied)
    assert CellFolder(export(made.path, tmp_path / "kept")).rows() == made.rows()


def test_a_study_is_copied_after_its_cells(tmp_path, monkeypatch):
    """Else one of which cells are missing would count as finished."""
    folder = tmp_path / "runs" / "studies" / "s" / "one"
    folder.mkdir(parents=True)
    CellFolder.create(TRAIN, tmp_path / "runs" / "cells", {}).mark_done(1.0)
    for name, found in {"config": {}, "plan": {"study": "s", "cells": [TRAIN.folder_name]}}.items():
        write_json(folder / f"{name}.json", found)
    layout.mark(folder, {})
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no room"):
        patch.setattr("lab.cells.export._export_cell", full)
        export(folder, tmp_path / "kept")
    assert not layout.is_done(layout.study(tmp_path / "kept", "s", "one"))
    assert layout.is_done(export(folder, tmp_path / "kept"))


@pytest.mark.parametrize("part", [slice(0, -1), slice(1, None), slice(0, 0)], ids=["end", "beginning", "all"])
def test_a_picture_that_was_cut_off_is_not_exported_though_no_hash_of_it_is_known(tmp_path, part):
    """As of cells that were finished before there were hashes."""
    made = CellFolder.create(TRAIN, tmp_path / "runs" / "cells", {})
    made.mark_done(1.0)
    layout.mark(made.path, {name: value for name, value in layout.end_of(made.path).items() if name != "files"})
    picture = made.path / "samples" / "grid.png"
    picture.parent.mkdir()
    whole = b"any".join(PNG)
    picture.write_bytes(whole[part])
    with pytest.raises(WorkbenchError, match=r"grid\.png is damaged: remove the cell's folder"):
        export(made.path, tmp_path / "kept")
    picture.write_bytes(whole)
    assert layout.is_done(export(made.path, tmp_path / "kept"))
