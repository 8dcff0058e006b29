"""Which way round the benchmarks' ratios are, told by clocks that are known: the first work takes 1 s, the next 2 s."""

import importlib.util
import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """A function that imports a benchmark anew, whose works are not done."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for file in FOLDER.glob("_*.py"):
        monkeypatch.delitem(sys.modules, file.stem, raising=False)
    rounds = import_module("_rounds")

    def told(works, *how, **more):
        return [{name: float(place) for place, name in enumerate(works, 1)}]

    monkeypatch.setattr(rounds, "in_turn", told)
    monkeypatch.setattr(rounds, "seconds", lambda work, calls=1: 1.0)

    def loaded(name):
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield loaded
    for file in FOLDER.glob("_*.py"):
        sys.modules.pop(file.stem, None)


def figures(module, words, file):
    done = CliRunner().invoke(module.main, [*words, "--json", str(file)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(file.read_text())


def test_the_engine_s_time_is_told_in_products_and_that_of_others_in_its_own(load, monkeypatch):
    snnl = load("snnl")
    monkeypatch.setattr(snnl, "made", lambda *arguments: lambda: None)
    taken, found = snnl.ratios("loss", (), {"G": lambda: None, "dense": lambda: None}, 1)
    assert (taken, found) == (1.0, {"G": 1 / 2, "dense": 1 / 3})
    product, dense = snnl.lines("loss", taken, found, {"G": 0.4}, {"dense": 2.5})
    assert (product["unit"], product["value"], product["at_most"], product["met"]) == ("G", 0.5, 0.4, False)
    assert (dense["unit"], dense["value"], dense["at_least"], dense["met"]) == ("dense / ours", 3.0, 2.5, True)


def test_decoding_is_told_in_the_time_of_pillow(load, monkeypatch, tmp_path):
    folders = load("image_folder")
    monkeypatch.setattr(folders, "some_images", lambda *arguments: None)
    monkeypatch.setattr(folders, "peak_memory", lambda *arguments: (30.0, 70.0))
    found = figures(folders, [], tmp_path / "found.json")
    assert found["ratio"]["median"] == 2.0 and (found["again"], found["memory"]) == (3.0, 30.0)


def test_loops_are_told_in_the_time_of_the_plain_ones(load, tmp_path):
    gans = figures(load("gan_training"), ["--gan", "dcgan", "--size", "16", "--width", "4"], tmp_path / "gans.json")
    assert [line["value"] for line in gans] == [1 / 2, 3 / 4]
    found = figures(load("classifier_training"), ["--classifier", "mlp", "--size", "16"], tmp_path / "found.json")
    assert [ratio["median"] for ratio in found["ratios"]] == [2 / 1, 3 / 2, 5 / 4, 6 / 5]
    assert found["images_per_second"]["with SNNL bf16"] == 128 / 6


def test_attacks_are_told_in_the_time_of_plain_passes(load, tmp_path):
    lines = figures(load("attacks"), ["--classifier", "mlp", "--n", "20"], tmp_path / "found.json")
    assert [line["value"] for line in lines] == [2.0, 3.0][: len(lines)]
