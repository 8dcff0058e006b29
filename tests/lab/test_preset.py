"""Settings of a study in a file."""

import json
from types import SimpleNamespace

import pytest
from pydantic import Field

from lab.cells import layout
from lab.cells.record import read_study
from lab.config import Config
from lab.errors import UsageError
from lab.studying import plan
from lab.studying.preset import read_preset, write_preset


class Settings(Config):
    """Of a study."""

    length: float = Field(description="how long")
    names: tuple[str, ...] = Field((), description="who")
    seeds: int = Field(5, ge=1, description="how often")


PRESETS = {"laptop": {"length": 1.0, "names": ("a",), "seeds": 5}, "smoke": {"length": 0.1}}


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(plan.registry, "load", lambda kind, name: SimpleNamespace(Config=Settings, PRESETS=PRESETS))
    return tmp_path / "preset.json"


def test_a_file_stands_above_the_preset_and_below_what_is_given(file):
    write_preset(file, "mine", {"length": 2.0, "names": ["b", "c"]})
    found = plan.study_config("mine", "laptop", {"length": 3.0}, file)
    assert found == Settings(length=3.0, names=("b", "c"), seeds=5)
    assert plan.study_config("mine", "smoke", {}, file) == Settings(length=2.0, names=("b", "c"))
    assert json.loads(file.read_text()) == {"study": "mine", "config": {"length": 2.0, "names": ["b", "c"]}}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_file_may_be_in_what_editors_write(file, encoding):
    file.write_text('{"study": "mine", "config": {"names": ["\u00e9"]}}', encoding=encoding)
    assert read_preset(file, "mine", Settings) == {"names": ["\u00e9"]}


@pytest.mark.parametrize(
    "text, words",
    [
        ("length: 2", "is no JSON file of settings"),
        ("[1]", r"is no JSON file of settings: it is no object"),
        ('{"study": ' * 100_000 + "1" + "}" * 100_000, r"is no JSON file of settings: it is nested too deeply"),
        ('{"study": "mine", "config": {"seeds": 2, "seeds": 3}}', "no JSON file of settings: 'seeds' is there twice"),
        ('{"study": "mine"}', "holds no settings"),
        ('{"study": "mine", "config": 3}', "holds no settings"),
        ('{"study": "mine", "config": {}, "seeds": 3}', r"Unknown key 'seeds'\. Known: config, study"),
        ('{"study": "yours", "config": {}}', "holds settings of the study 'yours', not of mine"),
        ('{"study": "mine", "config": {"lenght": 2}}', "Unknown setting 'lenght'; did you mean 'length'"),
    ],
)
def test_another_file_is_refused(file, text, words):
    file.write_text(text)
    with pytest.raises(UsageError, match=words) as error:
        plan.study_config("mine", "laptop", {}, file)
    assert "preset.json" in str(error.value) and "\n" not in str(error.value)


def test_a_value_out_of_range_is_refused_unless_another_is_given(file):
    write_preset(file, "mine", {"seeds": 0})
    with pytest.raises(UsageError, match="seeds: "):
        plan.study_config("mine", "laptop", {}, file)
    assert plan.study_config("mine", "laptop", {"seeds": 2}, file).seeds == 2


def test_a_file_that_is_no_text_is_refused(file):
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is no JSON file"):
        read_preset(file, "mine", Settings)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_file_may_be_in_any_unicode_with_or_without_a_byte_order_mark(file, encoding):
    """As Windows' Notepad and PowerShell write them."""
    file.write_text('{"study": "mine", "config": {"names": ["ä", "犬"]}}', encoding=encoding)
    assert read_preset(file, "mine", Settings) == {"names": ["ä", "犬"]}


def test_the_settings_of_a_studys_folder_are_taken_whole(file, tmp_path):
    folder = tmp_path / "studies" / "mine" / "1f"
    folder.mkdir(parents=True)
    settings, cells = folder / "config.json", ["a-1f"]
    settings.write_text('{"length": 2.0, "names": [], "seeds": 7}')
    (folder / "plan.json").write_text(json.dumps({"study": "mine", "cells": cells}))
    assert plan.study_config("mine", "laptop", {}, settings) == Settings(length=2.0, names=(), seeds=7)
    assert plan.study_config("mine", "laptop", {"seeds": 3}, settings).seeds == 3
    with pytest.raises(UsageError, match=r"config\.json holds settings of the study 'mine', not of yours"):
        read_preset(settings, "yours", Settings)
    settings.write_text('{"lenght": 2.0}')
    with pytest.raises(UsageError, match="Unknown setting 'lenght'; did you mean 'length'"):
        read_preset(settings, "mine", Settings)
    settings.write_text("{")
    with pytest.raises(UsageError, match=r"config\.json is damaged"):
        read_preset(settings, "mine", Settings)


def test_the_settings_of_a_published_study_plan_its_cells(tmp_path):
    folder = layout.PUBLISHED / "studies" / "gan-entanglement" / "cda2ce9b"
    config = plan.study_config("gan-entanglement", "smoke", {}, folder / "config.json")
    planned = plan.plan_study("gan-entanglement", config, tmp_path, tmp_path)
    assert [cell.cell.folder_name for cell in planned.cells] == read_study(folder).cells
