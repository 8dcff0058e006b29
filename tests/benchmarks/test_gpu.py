"""The benchmarks on a GPU, as far as they can be tried without one."""

import json
import os
import re
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.parametrize("name", ["snnl", "dknn", "gan_training", "classifier_training"])
def test_without_a_gpu_it_says_so_in_one_line(load, monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = CliRunner().invoke(load(name).main, ["--device", "cuda"])
    assert done.exit_code == 2
    assert done.output.count("\n") == 1 and "torch sees no CUDA GPU here" in done.output


def test_what_is_missing_is_named(load, monkeypatch):
    gpu = load("_gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "sees no CUDA GPU here" in gpu.missing()
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA" in gpu.missing()
    assert {"accelerate", "crepes", "pydantic"} < {*gpu.PACKAGES}
    monkeypatch.setattr(gpu, "PACKAGES", ("torch", "no_such_package"))
    assert "lacks no_such_package: pip install -e '.[dev]'" in gpu.missing()


def test_figures_of_both_kinds_become_one_table(load, tmp_path):
    rows = [load("_rounds").row("loss", 0.125, "G", 0.5, at_most=0.75), load("_rounds").row("memory", 0, "MB", 20)]
    ratio = {"of": "ours bf16", "to": "plain bf16", "median": 1.25, "low": 1.0, "high": 2.0}
    figures = {"classifier": "cnn", "images_per_second": {"ours bf16": 900.0}, "ratios": [ratio]}
    for name, found in (("a", rows), ("b", figures)):
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    files = [str(tmp_path / f"{name}.json") for name in "acb"]
    assert list(load("_gpu").table(files))[2:] == [
        "| work | seconds | ratio | bound |",
        "| --- | --- | --- | --- |",
        "| loss | 0.125 | 0.5 G | at most 0.75 |",
        "| memory |  | 20 MB |  |",
        "| cnn, ours bf16: 900 images/s | | 1.25 of the time of plain bf16 | |",
    ]


@pytest.mark.skipif(os.name != "posix", reason="a script of a shell")
@pytest.mark.parametrize(
    "code, words",
    [(1, "failed with exit code 1."), (139, "failed with exit code 139."), (124, "ran out of its 150 s.")],
)
def test_a_step_that_fails_is_told_of_and_the_others_go_on(tmp_path, code, words):
    """A crash of the driver, 139, is none of time."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$2" = missing ] || [ "$2" = table ] && exit 0\necho "$@"\nexit {code}\n')
    python.chmod(0o755)
    variables = {**os.environ, "PYTHON": str(python)}
    command = ["sh", str(FOLDER / "gpu.sh"), str(tmp_path / "figures")]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "-m pytest -m cuda" in done.stdout and f"tests {words}" in done.stdout
    assert len(re.findall("ran out" if code == 124 else "failed with", done.stdout)) == done.stdout.count("== ") == 10


def test_what_a_measurement_in_a_process_of_its_own_fails_of_is_told(load, monkeypatch, capfd):
    load("snnl")
    apart = import_module("_apart")
    monkeypatch.setattr(apart, "COMMAND", (sys.executable, "-c", "raise SystemExit('CUDA out of memory')"))
    with pytest.raises(subprocess.CalledProcessError):
        apart.memory_in_a_process(1, "cpu")
    assert "CUDA out of memory" in capfd.readouterr().err


def test_a_work_that_takes_long_is_not_repeated_as_often_as_a_short_one(load, monkeypatch):
    """Else what a processor does beside a GPU takes minutes."""
    snnl, called = load("snnl"), []
    monkeypatch.setattr(snnl, "SPELL", 0.02)
    monkeypatch.setattr(snnl, "made", lambda *arguments: lambda: time.sleep(0.001))
    taken, found = snnl.ratios("loss", (2, 2), {"other": lambda: called.append(time.sleep(0.01))}, 1)
    assert len(called) <= 5 and 0.001 <= taken < 0.01 and found["other"] < 1


def test_all_of_it_takes_less_than_eight_minutes_and_names_what_there_is(load):
    script, parts = (FOLDER / "gpu.sh").read_text(), load("snnl").PARTS
    (named,) = re.findall(r"for part in (.+); do", script)
    assert set(named.split()) <= set(parts)
    budgets = re.findall(r"^( *)step (\d+) ", script, re.MULTILINE)
    assert sum(int(budget) * (len(named.split()) if inside else 1) for inside, budget in budgets) < 480
    for file in re.findall(r"benchmarks/\w+\.py", script):
        assert (FOLDER.parent / file).is_file()
