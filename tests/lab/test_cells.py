"""A cell's identity is all that decides its result, and nothing else."""

import dataclasses

from lab.cells.cell import Cell, recorded_cell, with_needs
from lab.hashing import content_hash

BASE = Cell("a.b:c", "label", {"seed": 0, "kimg": 1.5}, {"images": "x", "a.b": 1})


def test_what_decides_the_result_decides_the_key():
    changes = [
        {"run": "a.b:d"},
        {"config": {"seed": 1, "kimg": 1.5}},
        {"parts": {"images": "y", "a.b": 1}},
        {"parts": {"images": "x", "a.b": 2}},
        {"needs": (BASE,)},
        {"processes": 2},
    ]
    keys = {dataclasses.replace(BASE, **change).key for change in changes}
    assert len(keys | {BASE.key}) == len(changes) + 1


def test_what_does_not_decide_it_does_not():
    same = dataclasses.replace(BASE, label="other", cost=99.0, config={"kimg": 1.5, "seed": 0})
    assert same.key == BASE.key
    assert same.folder_name == f"other-{BASE.key[:8]}"


def test_a_need_changes_the_key_all_the_way_up():
    other = dataclasses.replace(BASE, config={"seed": 9})
    upper = [Cell("a.b:m", "m", {}, needs=(need,)) for need in (BASE, other)]
    top = [Cell("a.b:n", "n", {}, needs=(cell,)) for cell in upper]
    assert top[0].key != top[1].key


def test_needs_come_first_and_once():
    one, two = (Cell("a.b:m", name, {"name": name}, needs=(BASE,)) for name in "12")
    assert [cell.label for cell in with_needs([one, two])] == ["label", "1", "2"]


def test_hash_is_stable():
    assert content_hash({"b": 1, "a": [1.5, None, "ä"]}) == content_hash({"a": [1.5, None, "ä"], "b": 1})
    assert content_hash({"a": 1}) == "015abd7f5cc57a2d"


def test_a_record_tells_its_cell():
    cell = dataclasses.replace(BASE, processes=2)
    record = {**cell.identity(), "key": cell.key, "label": cell.label, "local": {"data": "x"}}
    assert recorded_cell(record).folder_name == cell.folder_name
