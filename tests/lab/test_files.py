"""A file is the old one or the whole new one."""

import json
import math

import pytest

from lab.files import atomic_write, replacing, write_json


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path):
    target = tmp_path / "file"
    atomic_write(target, "old")
    with pytest.raises(RuntimeError), replacing(target) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_text_and_bytes(tmp_path):
    atomic_write(tmp_path / "file", "ä")
    assert (tmp_path / "file").read_bytes() == "ä".encode()
    atomic_write(tmp_path / "file", b"\xff")
    assert (tmp_path / "file").read_bytes() == b"\xff"


def test_json_has_no_nan(tmp_path):
    write_json(tmp_path / "file", {"b": [math.nan, 1.5], "a": math.inf})
    text = (tmp_path / "file").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"a": None, "b": [None, 1.5]}
    assert text.index('"a"') < text.index('"b"')
