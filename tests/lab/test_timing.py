"""What is learned of how long cells take."""

import json

import pytest
from making import made

from lab import machine
from lab.running import timing

TRAIN, MEASURE = made("train", "a", {"seed": 0}, cost=10.0), made("measure", "b", {"n": 1}, cost=2.0)


def test_guesses_are_guesses_until_cells_of_each_task_were_timed(tmp_path):
    fresh = timing.read(tmp_path)
    assert not fresh.knows([TRAIN]) and fresh.knows([])
    assert fresh.estimate([TRAIN, MEASURE], 2) == 6 and fresh.estimate([TRAIN, MEASURE], 1) == 12
    assert fresh.estimate([TRAIN, MEASURE], 8) == 6, "two cells take no more than two slots"
    timing.learn(tmp_path, [(TRAIN, 30.0)])
    known = timing.read(tmp_path)
    assert known.knows([TRAIN]) and not known.knows([TRAIN, MEASURE])
    assert known.seconds(made("train", "c", {"seed": 9}, cost=1.0)) == 3 and known.seconds(MEASURE) == 2
    timing.learn(tmp_path, [(MEASURE, 1.0)], beside=8.0)
    known = timing.read(tmp_path)
    assert known.knows([TRAIN, MEASURE])
    assert known.estimate([TRAIN, MEASURE], 2) == (30 + 1) / 2 + 8 and known.estimate([], 2) == 0


def test_where_nothing_was_done_nothing_is_kept(tmp_path):
    timing.learn(tmp_path, [])
    assert not list(tmp_path.iterdir())


def test_the_latest_counts_most(tmp_path):
    for seconds in (10.0, 10.0, 10.0, 40.0):
        timing.learn(tmp_path, [(TRAIN, seconds)], beside=seconds)
    known = timing.read(tmp_path)
    assert 25 < known.seconds(TRAIN) < 40 and known.beside == 25
    assert known.seconds(TRAIN) == 10 * (40 + 10 * (1 / 2 + 1 / 4 + 1 / 8)) / (10 * (1 + 1 / 2 + 1 / 4 + 1 / 8))


def test_another_machine_knows_nothing(tmp_path, monkeypatch):
    timing.learn(tmp_path, [(TRAIN, 30.0)])
    monkeypatch.setattr(machine, "cores", lambda: 97)
    assert not timing.read(tmp_path).tasks
    timing.learn(tmp_path, [(MEASURE, 1.0)])
    assert set(timing.read(tmp_path).tasks) == {"measure"}


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", '{"machine": 1}', '{"tasks": null}', '{"beside": -1}', '{"beside": "x"}']
)
def test_a_strange_file_is_nothing_known(tmp_path, text):
    timing.learn(tmp_path, [(TRAIN, 30.0)])
    file = tmp_path / "timing.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | json.loads(text)) if text.startswith('{"') else text)
    assert timing.read(tmp_path).tasks == {}


def test_where_nothing_can_be_written_nothing_is_learned(tmp_path):
    timing.learn(tmp_path / "nowhere", [(TRAIN, 30.0)])
    assert not list(tmp_path.iterdir())


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "timing.json").symlink_to(tmp_path / "outside")
    timing.learn(tmp_path, [(TRAIN, 30.0)])
    assert not (tmp_path / "outside").exists() and timing.read(tmp_path).tasks
