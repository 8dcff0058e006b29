"""Rows as lines of JSON: read at once where they are flat, and line by line where something may be nested."""

import json

import pytest

from lab.cells.rows import read_rows


def lines(*rows):
    return [json.dumps(row) + "\n" for row in rows]


def test_rows_are_read_as_they_were_written():
    plain = [{"metric": "a", "value": 1.5, "seed": None}, {}, {"split": "test", "n": 3, "value": -1e300}]
    assert read_rows(lines(*plain)) == plain
    odd = [*plain, {"split": None}, {"of a task's own": [1, {"deep": None}], "value": 2}]
    assert read_rows(lines(*odd)) == odd
    assert read_rows(lines(*plain, {"group": "a {b} [c]"}))[-1] == {"group": "a {b} [c]"}
    assert read_rows([]) == []


@pytest.mark.parametrize(
    "wrong",
    [
        *(["", "{", "[]\n", "null\n", '{"metric": "a"} {"metric": "b"}\n', '{"metric": "a"}, {"metric": "b"}\n']),
        *('{"value": "1"}\n', '{"value": NaN}\n', '{"value": 1e999}\n', '{"metric": 3}\n', '{"seed": [1]}\n'),
        *('{"value": 100000000000000000000}\n', '{"seed": -9223372036854775808}\n'),
        '{"own": ' + "[" * 2000 + "]" * 2000 + "}\n",
    ],
    ids=lambda text: text[:30].strip() or "nothing",
)
@pytest.mark.parametrize("beside", [[], [{"metric": "a", "value": 1.0}]], ids=["alone", "among others"])
def test_what_is_no_row_is_refused(wrong, beside):
    with pytest.raises(ValueError):
        read_rows([*lines(*beside), wrong])


@pytest.mark.parametrize("before", ["", '{"n": 1},'], ids=["one row", "as many rows as lines"])
def test_two_lines_are_not_put_together_to_a_row(before):
    with pytest.raises(ValueError):
        read_rows([before + '{"metric": "a"\n', '"value": 1}\n'])
