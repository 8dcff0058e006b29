"""A cell that is made anew from its folder has the key that made it, or is refused."""

import pytest
from pydantic import Field

from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.cells.record import recorded_cell
from lab.config import Config
from lab.errors import UsageError, WorkbenchError


class Settings(Config):
    """As they were when the cell was planned."""

    width: int = Field(2, description="width")
    rate: float = Field(0.5, description="rate")


class More(Settings):
    """With a setting that was added later."""

    depth: int = Field(1, description="depth")


class Other(Settings):
    """With another default, under which the same words mean other work."""

    rate: float = Field(0.1, description="rate")


class Fewer(Config):
    """With a setting that is gone."""

    width: int = Field(2, description="width")


CELL = Cell("train", "name", Settings(width=3), {"tasks/train": 7}, "images", processes=2)


@pytest.fixture
def folder(tmp_path):
    return CellFolder.create(CELL, tmp_path, {"data": "there"}).path


@pytest.mark.parametrize("settings", [Settings, More])
def test_it_is_the_cell_that_made_the_folder(folder, settings):
    found = recorded_cell(folder, settings)
    assert found.identity() == CELL.identity() and found.folder_name == folder.name


@pytest.mark.parametrize("settings", [Other, Fewer])
def test_settings_that_mean_something_else_are_refused(folder, settings):
    with pytest.raises(WorkbenchError, match="made by another version"):
        recorded_cell(folder, settings)


def test_a_cell_that_needs_others_is_refused(tmp_path):
    folder = CellFolder.create(Cell("measure", "name", Settings(), needs=(CELL,)), tmp_path, {}).path
    with pytest.raises(WorkbenchError, match="made by another version"):
        recorded_cell(folder, Settings)


def test_settings_that_the_code_knows_no_more_are_told_as_such(folder):
    class Later(Config):
        other: int = Field(1, description="another")

    with pytest.raises(UsageError, match=r"config.json: Unknown setting .* take that of then: the commit stands in"):
        CellFolder(folder).settings(Later)
