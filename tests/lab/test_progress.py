"""What people see while cells are at work."""

import sys
import time
from types import SimpleNamespace

import pytest

from lab import pace
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.config import Config
from lab.pace import duration, paced
from lab.running import progress
from lab.running.progress import Display


@pytest.mark.parametrize(
    "seconds, words", [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_lines_come_every_few_seconds_and_in_long_work_every_minute():
    lines, elapsed = 0, 0.0
    while elapsed < 8 * 3600:
        elapsed += pace.pause(elapsed)
        lines += elapsed <= 60
    assert lines == 12 and pace.pause(1200) == 20 and pace.pause(elapsed) == 60


def test_a_line_that_tells_nothing_new_is_left_out(tmp_path, monkeypatch, capsys):
    display, said = Display({tmp_path: 10.0}, jobs=1), ["a", "a", "b", "a", "a"]

    def line():
        if len(said) == 1:
            display._stop.set()
        return said.pop(0)

    monkeypatch.setattr(display, "_line", line)
    monkeypatch.setattr(pace, "LINE_SECONDS", 0.0)
    display._tell()
    assert capsys.readouterr().err.split() == ["a", "b", "a"]


def line_with(words, capsys):
    """The first line that is drawn with some words, however late its thread comes to it."""
    said, deadline = "", time.monotonic() + 60
    while not (found := [line for line in said.splitlines(keepends=True) if words in line and line.endswith("\n")]):
        assert time.monotonic() < deadline, said
        time.sleep(0.01)
        said += capsys.readouterr().err
    return found[0].removesuffix("\n")


def test_lines_tell_what_runs_how_fast_and_how_long_still(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pace, "LINE_SECONDS", 0.05)
    folder = CellFolder.create(Cell("train-gan", "gan-x", Config()), tmp_path, {})
    with Display({folder.path: 10.0}, jobs=1) as display:
        display.started(folder)
        folder.event("progress", done=2, total=4, text="2 of 4 kimg, 800 images/s")
        line = line_with("gan-x: 2 of 4", capsys)
    assert "50%" in line and "left" in line and "gan-x: 2 of 4 kimg, 800 images/s" in line


@pytest.mark.parametrize(
    "terminal, name, value", [(False, "JPY_PARENT_PID", ""), (True, "JPY_PARENT_PID", "1"), (True, "TERM", "dumb")]
)
def test_bars_move_only_where_a_terminal_shows_it(tmp_path, monkeypatch, capsys, terminal, name, value):
    """A notebook's kernel asks for colours in pipes, too, and keeps each state of its cells' output; one that is dumb
    would show nothing."""
    monkeypatch.setattr(pace, "LINE_SECONDS", 0.05)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv(name, value)
    with Display({tmp_path: 10.0}, jobs=1):
        assert line_with("0%", capsys) == "  0%, about 10 s left"


def test_after_an_interrupt_it_is_told_what_was_saved(tmp_path, capsys):
    folders = [CellFolder.create(Cell("train-gan", name, Config()), tmp_path, {}) for name in ("a", "b")]
    for error in (KeyboardInterrupt, ZeroDivisionError):
        with pytest.raises(error), Display({folder.path: 1.0 for folder in folders}, jobs=2) as display:
            for folder in folders:
                display.started(folder)
            folders[0].event("stopped", text="2.0 of 4 kimg", step=7)
            raise error
    assert capsys.readouterr().err == "a: saved at 2.0 of 4 kimg.\n"


@pytest.mark.parametrize(
    "told, line",
    [
        ({}, "  0%, about 10 s left | gan-x: starting"),
        ({"done": 2, "total": 4, "text": "half"}, " 50%, about 1 min 0 s left | gan-x: half"),
        ({"done": 4, "total": 4, "text": "all"}, "100%, about 1 s left | gan-x: all"),
    ],
)
def test_what_is_left_is_the_guess_at_first_then_goes_by_the_pace_and_is_never_nothing(
    tmp_path, monkeypatch, capsys, told, line
):
    """A minute has gone by, of a cell that was guessed to take ten seconds."""
    clock = iter([0.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock, 60.0)))
    monkeypatch.setattr(pace, "LINE_SECONDS", 0.05)
    folder = CellFolder.create(Cell("train-gan", "gan-x", Config()), tmp_path, {})
    folder.event("progress", **told)
    with Display({folder.path: 10.0}, jobs=1) as display:
        display.started(folder)
        assert line_with("gan-x", capsys) == line


def test_items_are_given_as_they_come_with_a_line_now_and_then(monkeypatch, capsys):
    assert list(paced(iter("abc"), 3, "batches")) == ["a", "b", "c"]
    assert not capsys.readouterr().err
    monkeypatch.setattr(pace, "LINE_SECONDS", 0)
    assert list(paced(iter("abc"), 3, "batches")) == ["a", "b", "c"]
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first == "1 of 3 batches, about 0 s left" and last.startswith("3 of 3")


def test_a_listener_for_passes_tells_the_share_now_and_then(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 3.0, 6.5, 7.0, 20.0])
    monkeypatch.setattr(pace.time, "monotonic", lambda: next(clock))
    listen = pace.passes()
    for number, share in ((1, 0.1), (1, 0.2), (1, 0.5), (2, 0.1), (2, 0.5)):
        listen(number, share)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == ["pass 1: 50%, about 6 s left of it", "pass 2: 50%, about 13 s left of it"]
