"""What an export says of cells that it does not copy."""

import pytest
from making import made

from lab.cells import layout
from lab.cells.export import export
from lab.cells.folder import CellFolder
from lab.cells.record import published_in
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
    assert published_in(copied) == published and len(collect("s", named, tmp_path / "kept", published).cells) == len(
        {*named} & {TRAIN.folder_name, *published}
    )
