"""Every row of docs/errors.md is a test: its command, in its situation, says that message and ends with that code.

A row of the page reads | `snnl COMMAND`, SITUATION | `MESSAGE` | CODE | WHAT TO DO |. The command is run in an empty
folder; a situation, if one is named, is a function of the package `situations`, which prepares the folder. The message
is the whole line, with "..." for what varies.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import situations.files
import situations.images
import situations.machine
import situations.runs  # noqa: F401
from situations import ROOT, SITUATIONS, Place

import cli

PAGE = ROOT / "docs" / "errors.md"
ROW = re.compile(r"\| `snnl (.+?)`(?:, (.+?))? \| `(.+?)` \| (\d+) \| (.+?) \|")
FEWEST_ROWS = 60


def rows():
    """(command, situation, message, code) of each row of the page's tables."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    found = [ROW.fullmatch(line) for line in lines]
    assert all(found), f"no row: {lines[found.index(None)]}"
    return [(row[1], row[2], row[3], int(row[4])) for row in found]


NAMES = [", ".join(filter(None, row[:2])) for row in rows()]


@pytest.mark.parametrize("command, situation, message, code", rows(), ids=NAMES)
def test_rows_of_the_page(command, situation, message, code, tmp_path, monkeypatch, capfd, trained, classifier):
    monkeypatch.chdir(tmp_path)
    if situation:
        SITUATIONS[situation](Place(tmp_path, monkeypatch, trained, classifier))
    before, cells = finished(tmp_path), begun(tmp_path)
    ended, out, err = run_here(command, monkeypatch, capfd)
    assert ended == code, err
    assert "Traceback" not in err
    pattern = ".*".join(re.escape(part) for part in message.split("..."))
    told = [line for line in err.splitlines() if re.fullmatch(pattern, line)]
    assert told, err
    if code in {1, 2}:
        assert not out and err.splitlines()[-1] == told[0] and told[0].startswith("Error: ")
        assert finished(tmp_path) == before, "what failed is marked as done, or left something beside"
        assert begun(tmp_path) <= cells or "diverged" in message, "what came to nothing left something to look after"


def test_there_are_many_rows_and_none_twice():
    found = [(command, situation) for command, situation, _, _ in rows()]
    assert len(set(found)) == len(found) >= FEWEST_ROWS
    assert {situation for _, situation in found if situation} == set(SITUATIONS)


def run_here(command, monkeypatch, capfd):
    """(exit code, stdout, stderr) of a command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["snnl", *shlex.split(command)])
    capfd.readouterr()
    with mock.patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": "", "no_proxy": "127.0.0.1"}):
        os.environ.pop("SNNL_DATA", None)
        with pytest.raises(SystemExit) as end:
            cli.main()
    return (end.value.code or 0, *capfd.readouterr())


def finished(folder):
    """What a later run would take for finished work, and what an unfinished write would leave."""
    return {path for path in folder.rglob("*") if path.name in {"DONE", "report.html"} or path.suffix == ".tmp"}


def begun(folder):
    """The cells, studies and searches that are there."""
    places = ("runs/cells/*", "runs/studies/*/*", "runs/searches/*/*")
    return {path for place in places for path in folder.glob(place)}


def test_where_an_error_arose_is_shown_on_request(snnl):
    """In a process of its own: before or after the command, or by the variable; the line is the last either way."""
    line = snnl("list", "models").stderr
    assert line.count("\n") == 1
    asked = [snnl("--traceback", "list", "models"), snnl("list", "models", "--traceback")]
    for done in (*asked, snnl("list", "models", SNNL_TRACEBACK="1")):
        assert done.returncode == 2 and not done.stdout
        assert done.stderr.startswith("Traceback") and done.stderr.endswith(line) and "registry.py" in done.stderr


def test_a_line_break_in_a_name_is_no_second_line(snnl, tmp_path):
    done = snnl("measure", "features", "two\nlines.npz", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    (tmp_path / "two\nlines.npz").write_bytes(b"no archive")
    done = snnl("measure", "features", "two\nlines.npz", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to a device of Linux that is always full")
def test_a_full_disk_under_the_output_is_told():
    command = [sys.executable, str(ROOT / "cli.py"), "list", "gans"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "No space left" in done.stderr and done.stderr.count("\n") == 1
