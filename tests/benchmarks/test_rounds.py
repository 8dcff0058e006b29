"""The benchmarks time their works in turn, and run at a small size."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import click
import forks
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def rounds(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("_rounds", FOLDER / "_rounds.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(FOLDER.glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_the_help_shows_each_command_on_a_line_of_its_own(monkeypatch, path):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (command,) = {value for value in vars(module).values() if isinstance(value, click.Command)}
    shown = command.get_help(click.Context(command, info_name=path.name)).splitlines()
    typed = [line.strip() for line in module.__doc__.splitlines() if line.startswith("    ")]
    assert typed and {*typed} <= {line.strip() for line in shown}


def test_works_are_done_in_turn_so_many_times_a_round(rounds):
    done = []
    works = {name: lambda name=name: done.append(name) for name in "ab"}
    assert [set(each) for each in rounds.in_turn(works, 2, calls=3)] == [{"a", "b"}] * 2
    assert "".join(done) == "aaabbbaaabbb"


def test_seconds_are_those_of_one_call(rounds, monkeypatch):
    done, clock = [], iter([2.0, 10.0])
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: next(clock))
    assert rounds.seconds(lambda: done.append(1), 4) == 2.0 and len(done) == 4


def test_ratios_are_taken_within_each_round(rounds):
    times = [{"ours": 1.0, "other": 2.0}, {"ours": 30.0, "other": 10.0}, {"ours": 4.0, "other": 4.0}]
    assert rounds.ratio(times, "ours", "other") == {"median": 1.0, "low": 0.5, "high": 3.0}
    assert rounds.shown(rounds.ratio(times, "other", "ours")) == "1.00 [0.33, 2.00]"
    assert rounds.median(times, "other") == 4.0


def test_a_line_says_whether_its_bound_is_met(rounds):
    lines = [
        rounds.row("loss", 0.5, "G", 2.0, at_most=2.0),
        rounds.row("loss", 0.5, "dense / ours", 2.0, at_least=2.5),
        rounds.row("p", 0.0, "of rows", 0.01),
    ]
    assert [line["met"] for line in lines] == [True, False, None]
    texts = [rounds.text(line).split() for line in lines]
    assert texts[0] == ["loss", "0.50000", "s", "2", "G", "<=", "2", "met"]
    assert texts[1][-3:] == [">=", "2.5", "MISSED"] and texts[2] == ["p", "0.01", "of", "rows"]


@pytest.mark.parametrize(
    "name, arguments, found",
    [
        ("gan_training", ["--gan", "sngan", "--size", "16", "--width", "4", "--steps", "1"], 1),
        ("classifier_training", ["--size", "16", "--steps", "1"], "images_per_second"),
        ("image_folder", ["--count", "60"], "memory_with_workers"),
    ],
)
def test_a_benchmark_runs_and_writes_its_figures(tmp_path, name, arguments, found):
    arguments = [*arguments, "--rounds", "1", "--json", "found.json"]
    done = forks.run(FOLDER / f"{name}.py", arguments, tmp_path, os.environ, 600)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "found.json").read_text())[found]


def test_a_process_of_several_tells_its_pace(tmp_path):
    settings = {"gan": "dcgan", "size": 16, "width": 4, "batch": 8, "precision": "float32", "steps": 1}
    done = forks.run(FOLDER / "gan_processes.py", ["--measure", json.dumps(settings)], tmp_path, os.environ, 600)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) > 0
