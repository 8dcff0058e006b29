"""Which way round the benchmarks' ratios are, told by clocks that are known: the first work takes 1 s, the next 2 s."""

import json
from importlib import import_module
from types import SimpleNamespace

import pytest
from click.testing import CliRunner


@pytest.fixture
def load(load, monkeypatch):
    """The function that imports a benchmark, whose works are not done."""
    rounds = import_module("_rounds")

    def told(works, *how, **more):
        return [{name: float(place) for place, name in enumerate(works, 1)}]

    monkeypatch.setattr(rounds, "in_turn", told)
    monkeypatch.setattr(rounds, "seconds", lambda work, calls=1: 1.0)
    return load


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
    assert lines and [line["value"] for line in lines] == [2.0, 3.0][: len(lines)]


def test_the_measures_are_told_in_the_time_and_memory_of_the_packages(load, monkeypatch):
    measures = load("measures")

    def told(works, rounds):
        return [work() or {"ours": 1.0, "theirs": 4.0} for work in works.values()]

    monkeypatch.setattr(measures._rounds, "in_turn", told)
    monkeypatch.setattr(measures, "manifolds", lambda points: {"density": 1.0, "coverage": 0.5})
    monkeypatch.setattr(measures, "by_prdc", lambda points: {"density": 1.5, "coverage": 0.25})
    time, memory, apart = measures.bench_prdc({}, 1, {"manifolds": 10.0, "by_prdc": 40.0}.get)
    assert (time["value"], memory["value"], apart["value"]) == (0.25, 0.25, 0.5)


def test_neighbours_and_p_values_are_told_in_the_time_of_faiss_and_crepes(load):
    dknn = load("dknn")
    first = next(dknn.bench_pipeline((20, 4, 4), 1, "cpu"))
    assert (first["unit"], first["value"]) == ("faiss-cpu, search alone", 0.5)
    assert [line["value"] for line in dknn.bench_p_values((0, 20, 30), 1, "cpu")] == [1.0, 0.5] * 2


def test_processes_are_told_in_the_pace_of_one(load, monkeypatch, tmp_path):
    processes = load("gan_processes")
    monkeypatch.setattr(processes, "images_per_second", lambda count, threads, settings: {1: 100.0, 4: 250.0}[count])
    found = figures(processes, ["--gan", "dcgan", "--processes", "4", "--rounds", "2"], tmp_path / "found.json")
    assert [(gan["one"], gan["several"], gan["ratio"]["median"]) for gan in found["gans"]] == [(100.0, 250.0, 2.5)]


def test_ways_to_wait_are_told_in_the_time_of_the_first_on_free_cores(load):
    idle, busy = ({"default": {"work": free}, "passive": {"work": other}} for free, other in ((1.0, 2.0), (3.0, 5.0)))
    lines = [*load("waiting")._lines({"idle": [idle], "busy": [busy]}, ["default", "passive"])]
    assert [(line["seconds"], line["value"]) for line in lines] == [(1.0, 1.0), (3.0, 3.0), (2.0, 2.0), (5.0, 5.0)]


def test_a_preset_s_hours_are_those_of_all_its_trainings_of_which_one_a_kind_is_timed(load, monkeypatch, tmp_path):
    presets, timed = load("presets"), []
    config = SimpleNamespace(replaced=lambda seed: SimpleNamespace(changed=dict))
    cells = [SimpleNamespace(task="train-gan", label=f"dcgan-s{seed}", config=config) for seed in range(3)]
    other = SimpleNamespace(task="evaluate", label="evaluate", cost=7200.0)
    training = SimpleNamespace(last=3600, arithmetic=("cpu", "float32"), images_per_step=10)
    monkeypatch.setattr(presets, "took_by_guess", lambda: {"evaluate": 0.5})
    monkeypatch.setattr(presets, "planned", lambda name, preset: [*cells, other])
    monkeypatch.setattr(presets, "training_of", lambda cell, home: timed.append(cell) or training)
    monkeypatch.setattr(presets, "seconds_a_step", lambda training, steps: 2.0)
    (found,) = presets.figures(["layers"], 1, tmp_path)
    assert found["hours"] == {"trainings": 6.0, "others": 1.0} and found["longest"] == 2.0 and timed == cells[:1]
    assert (found["trainings"], found["cells"], found["images"]) == (3, 4, 108_000)
