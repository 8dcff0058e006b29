"""The study of layers: what its cells measure against the engine, its schedule, and verdicts on known tables."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import faults

import imagesets
from classifiers import _features, _rows
from classifiers._snapshots import load_classifier
from lab.cells.folder import CellFolder
from lab.cells.rows import build_table, pick
from lab.cells.work import work
from lab.config import with_preset
from lab.errors import UsageError, WorkbenchError
from lab.reporting.report import write_report
from lab.reporting.statistics import POSITIVE, SHARE, mean_interval
from lab.reporting.verdicts import judge
from lab.training.draws import subset
from lab.training.snapshots import snapshots
from snnl_core import entanglement
from studies import layers
from studies.layers.figures import class_pairs, curves, heat_maps
from studies.layers.report import _layer_table
from tasks import measure_layers, train_classifier

LOCAL = {"data": "nowhere", "download": False}
LAYERS = ["fc1", "fc2", "logits"]


def config(**given):
    return with_preset(layers.Config, layers.PRESETS, "smoke", given)


def plan(**given):
    return layers.plan(config(**given), Path("nowhere"))


TRAINING = train_classifier.cell(
    train_classifier.Config.parse(
        {
            "classifier": "mlp",
            "settings": {"width": 16, "depth": 2},
            "seed": 3,
            "epochs": 2,
            "snapshots": (0, 2),
            "precision": "float32",
            "device": "cpu",
        }
    ),
    Path("nowhere"),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small training and the measurement of its layers, done."""
    place = tmp_path_factory.mktemp("layers")
    folders = [CellFolder.create(cell, place, LOCAL) for cell in (TRAINING, measure_layers.cell(TRAINING, 120))]
    for folder in folders:
        work(folder)
    return folders


def test_every_layer_is_measured_at_every_snapshot_and_the_pixels_once(finished):
    training, measuring = finished
    table = build_table(measuring.rows())
    measured = pick(table, kind="layers")
    assert list(measured["layer"].unique()) == LAYERS
    steps = [snapshot.step for snapshot in snapshots(training.path, "classifier")]
    assert sorted(measured["step"].unique()) == steps and len(steps) == 2
    metrics = {"entanglement", "entanglement_loss", "entanglement_bound", "inverse_temperature"}
    assert len(measured) == len(LAYERS) * len(steps) * len(metrics)
    assert set(measured["metric"]) == metrics and set(measured["n"]) == {120}
    pixels = pick(table, kind="reference")
    assert set(pixels["space"]) == {"pixels"} and len(pixels) == len(metrics)
    assert set(table["setting"]) == {"alpha=0"} and set(table["seed"]) == {3}


def test_numbers_and_matrices_are_those_of_the_engine(finished):
    training, measuring = finished
    held_out = imagesets.load("digits", "test", **measuring.data)
    picked = subset(len(held_out), 120, 0, "measured", "test")
    last = snapshots(training.path, "classifier")[-1]
    network = load_classifier(last, TRAINING.config)
    with torch.no_grad():
        logits, features = network(held_out.batch(picked))
    table = build_table(measuring.rows())
    end = pick(table, kind="layers", step=last.step)
    with np.load(measuring.path / "class_pairs.npz", allow_pickle=False) as kept:
        assert kept["layers"].tolist() == LAYERS and kept["epochs"].tolist() == [0, 2]
        for place, (name, x) in enumerate({**features, "logits": logits}.items()):
            found = entanglement(x, held_out.labels[picked])
            values = pick(end, layer=name).set_index("metric")["value"]
            assert values["entanglement"] == pytest.approx(found.score, rel=1e-5)
            assert values["entanglement_loss"] == pytest.approx(found.loss, rel=1e-5)
            assert values["entanglement_bound"] == pytest.approx(found.bound)
            assert values["inverse_temperature"] == pytest.approx(1 / found.temperature, rel=1e-2)
            assert np.allclose(kept["class_pairs"][1, place], found.class_pairs, atol=1e-4)


def test_classes_of_which_no_image_was_drawn_are_left_empty(finished):
    training, _ = finished
    few = CellFolder.create(measure_layers.cell(TRAINING, 12), training.path.parent, LOCAL)
    work(few)
    with np.load(few.path / "class_pairs.npz", allow_pickle=False) as kept:
        pairs = kept["class_pairs"]
    labels = imagesets.load("digits", "test", **few.data).labels[subset(500, 12, 0, "measured", "test")]
    there = torch.zeros(10, dtype=torch.bool)
    there[labels] = True
    assert pairs.shape[2:] == (10, 10) and 0 < there.sum() < 10
    assert np.isnan(pairs[..., ~there, :]).all() and np.isnan(pairs[..., ~there]).all()
    kept = {"class_pairs": pairs, "layers": LAYERS, "epochs": [0, 2]}
    figure = class_pairs([kept], "cnn", LAYERS, list("0123456789"))
    assert len(figure.data) == 2 * len(LAYERS) * 100
    of, on = np.argwhere(~np.isnan(pairs[1, 1]))[1]
    (early, late) = pick(figure.data, layer="fc2", of=of, on=on)["mass"]
    assert early == late == float(pairs[1, 1, of, on]), "the first epoch that was kept, and the last"


@pytest.mark.filterwarnings("error")
def test_classes_that_no_font_can_write_are_numbers(tmp_path):
    kept = {"class_pairs": np.ones((2, 3, 2, 2)), "layers": LAYERS, "epochs": [0, 2]}
    figure = class_pairs([kept], "cnn", LAYERS, ["cat", "\U00010380"])
    figure.drawing.savefig(tmp_path / "figure.svg")
    assert [label.get_text() for label in figure.drawing.axes[0].get_yticklabels()] == ["cat", "1"]


def test_class_pairs_are_means_over_seeds_early_and_late():
    times = np.arange(3.0)[:, None, None, None] / 4
    seeds = [np.broadcast_to(factor * times, (3, 3, 2, 2)) for factor in (1.0, 0.5)]
    kept = [{"class_pairs": pairs, "layers": LAYERS, "epochs": [0, 1, 4]} for pairs in seeds]
    data = class_pairs(kept, "cnn", LAYERS[:1], ["a", "b"]).data
    assert data.groupby("epoch")["mass"].agg(["min", "max"]).to_numpy().tolist() == [[0.1875] * 2, [0.375] * 2]


def test_curves_and_matrices_show_the_means_of_seeds():
    about = {"kind": "layers", "model": "cnn", "split": "test", "metric": "entanglement"}
    settings, draw = ["alpha=0", "alpha=-0.01"], np.random.default_rng(0)
    times = itertools.product(settings, ["stem", "block"], range(3), (0, 5, 10))
    found = [{**about, "setting": a, "layer": b, "seed": c, "step": d, "kimg": d / 2} for a, b, c, d in times]
    found += [{**about, "kind": "reference", "space": "pixels", "seed": seed} for seed in range(3)]
    table = build_table({**row, "value": draw.uniform()} for row in found)
    shown = [draw_it(table, "cnn", ["stem", "block"], settings) for draw_it in (curves, heat_maps)]
    assert [fault for figure in shown for fault in faults(figure)] == []
    kept = [
        {"class_pairs": draw.uniform(size=(3, 2, 4, 4)), "layers": LAYERS[:2], "epochs": [0, 1, 4]} for _ in range(2)
    ]
    figure = class_pairs(kept, "cnn", LAYERS[:2], ["a", "b", "c", "d"])
    assert faults(figure) == []
    expected = (kept[0]["class_pairs"][1, 0, 2, 3] + kept[1]["class_pairs"][1, 0, 2, 3]) / 2
    (mass,) = pick(figure.data, layer=LAYERS[0], epoch=1, of=2, on=3)["mass"]
    assert mass == pytest.approx(expected)


def test_a_draw_of_one_image_a_class_fails_and_leaves_no_empty_figures(finished):
    training, _ = finished
    one = CellFolder.create(measure_layers.cell(TRAINING, 2), training.path.parent, LOCAL)
    with pytest.raises(WorkbenchError, match=r"digits \(test\): no two of 2 are of one class"):
        work(one)
    assert not (one.path / "DONE").exists()


def test_measuring_twice_gives_the_same_rows(finished):
    _, measuring = finished
    before = measuring.rows()
    (measuring.path / "DONE").unlink()
    work(CellFolder(measuring.path))
    assert CellFolder(measuring.path).rows() == before


def test_large_maps_are_averaged_and_neither_batches_nor_files_change_anything(monkeypatch, tmp_path):
    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, x):
            return self.weight * x.mean((1, 2, 3))[:, None], {"maps": x, "flat": x.flatten(1)}

    images = torch.randint(256, (7, 4, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    x = imagesets.to_float(images)
    found = _features.features_of(Network(), images, 40)
    assert list(found) == ["maps", "flat", "logits"]
    assert [feature.shape for feature in found.values()] == [(7, 4 * 9), (7, 144), (7, 1)]
    pooled = x.reshape(7, 4, 3, 2, 3, 2).mean((3, 5)).flatten(1)
    assert torch.allclose(found["maps"], pooled, atol=1e-6)
    monkeypatch.setattr(_features, "BATCH", 2)
    size = sum(feature.nbytes for feature in found.values())
    for limit, mapped in ((size, 0), (size - 1, 3)):
        monkeypatch.setattr(_features, "LARGE", limit)
        for scratch in (None, tmp_path):
            in_files = spy_on(monkeypatch, _features, "InFile")
            again = _features.features_of(Network(), images, 40, scratch)
            assert len(in_files) == (mapped if scratch else 0)
            assert all(torch.equal(again[name], feature) for name, feature in found.items())
    again["flat"].zero_()  # what is mapped may be written to, as what is in memory
    assert not list(tmp_path.iterdir()), "the files have no names"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_an_error_where_features_go_to_files(tmp_path, monkeypatch):
    """What is written to a memory map of such a file would end the process."""
    with Path("/dev/full").open("w+b") as full:
        monkeypatch.setattr(_rows, "TemporaryFile", lambda dir: full)
        rows = _rows.InFile(2, 3, tmp_path)
        with pytest.raises(OSError, match="No space left"):
            rows.put(torch.ones(2, 3))
            rows.whole()


def spy_on(monkeypatch, module, name):
    """The arguments of all calls of a module's function, from now on."""
    real, calls = getattr(module, name), []
    monkeypatch.setattr(module, name, lambda *given: calls.append(given) or real(*given))
    return calls


@pytest.mark.parametrize(
    "epochs, points, expected",
    [(2, 3, (0, 1, 2)), (1, 5, (0, 1)), (6, 7, (0, 1, 2, 3, 4, 6)), (30, 8, (0, 1, 2, 6, 10, 15, 22, 30))],
)
def test_the_untrained_network_the_first_epoch_and_the_last_are_measured(epochs, points, expected):
    assert measure_layers.schedule(epochs, points) == expected


def test_the_plan_trains_with_and_without_and_evaluates_once():
    cells = plan(seeds=2)
    tasks = [cell.task for cell in cells]
    assert (tasks.count("measure-layers"), tasks.count("evaluate-classifier")) == (8, 8)
    trainings = {need.key: need.config for cell in cells for need in cell.needs}
    assert sorted((c.classifier, c.alpha, c.seed) for c in trainings.values()) == sorted(
        itertools.product(("cnn", "resnet"), (0.0, -0.01), (0, 1))
    )
    assert all(0 in c.snapshots for c in trainings.values())


def test_augmentation_is_the_recipes_own_or_as_given():
    asked = config(classifiers=("resnet",), augmentation="shift")
    own, given = (one.training("resnet", 0, 0.0).settings.augmentation for one in (config(), asked))
    assert own == train_classifier.Config.parse({"classifier": "resnet"}).settings.augmentation and given == "shift"


def test_without_alpha_nothing_is_entangled_and_nothing_claimed_of_it():
    alone = config(alpha=0.0, classifiers=("cnn",))
    trainings = {need.key: need.config for cell in layers.plan(alone, Path("nowhere")) for need in cell.needs}
    assert [c.alpha for c in trainings.values()] == [0.0]
    (claim,) = layers.claims(alone)
    assert "As cnn learns" in claim.text and alone.settings == ["alpha=0"]


def test_a_new_sample_size_needs_no_new_training():
    one, two = (plan(n=n) for n in (50, 60))
    assert {need.key for cell in one for need in cell.needs} == {need.key for cell in two for need in cell.needs}
    measures = [{cell.key for cell in cells if cell.task == "measure-layers"} for cells in (one, two)]
    assert measures[0] and not measures[0] & measures[1]


@pytest.mark.parametrize(
    "given, words",
    [
        ({"classifiers": ("resnt",)}, "did you mean 'resnet'"),
        ({"imageset": "mnits"}, "did you mean 'mnist'"),
        ({"n": 501}, "digits has 500 images in its test split; --n 501 is more than that"),
        ({"alpha": 0.1}, "alpha: .*less than or equal to 0"),
        ({"alpha": float("nan")}, "alpha: .*finite number"),
        ({"points": 1}, "points: .*greater than or equal to 2"),
        ({"classifiers": ()}, "classifiers: at least 1 is needed"),
    ],
)
def test_impossible_settings_are_named(given, words):
    with pytest.raises(UsageError, match=words):
        plan(**given)


def rows(seed, setting, **scores):
    """Rows of a network whose layers have a score at the start and one at the end."""
    for layer, (start, end) in scores.items():
        for step, value in ((0, start), (5, 0.33), (9, end)):
            pixels = layer == "pixels"
            where = {"kind": "reference", "space": layer} if pixels else {"kind": "layers", "layer": layer}
            about = {"model": "cnn", "seed": seed, "step": step, "kimg": step, "setting": setting}
            yield {**where, **about, "metric": "entanglement", "value": value}


def verdicts(*trainings, **given):
    """Of the two claims: that the last part the classes, and that entangling keeps them mixed."""
    table = build_table(itertools.chain(*trainings))
    found = [judge(claim, claim.effect(table)) for claim in layers.claims(config(classifiers=("cnn",), **given))]
    stay, entangled = found
    assert "As cnn learns" in stay.claim.text and "Trained with alpha" in entangled.claim.text
    return found


def trained(seed, end=0.8):
    """Falls: conv1 and conv2 0.1 and 1 - end, fc 0.5, logits 0.7 and more with the seed."""
    scores = {"conv1": (1.0, 0.9), "conv2": (1.0, end), "fc": (0.9, 0.4), "logits": (0.9, 0.2 - 0.01 * seed)}
    return rows(seed, "alpha=0", pixels=(0.9, 0.9), **scores)


def test_the_smaller_of_the_last_two_falls_is_held_against_the_mean_of_the_others():
    found = verdicts(*(trained(seed) for seed in range(3)))[0]
    assert found.estimate.value == pytest.approx(0.5 - (0.1 + 0.2) / 2)
    assert (found.verdict, found.estimate.n) == ("supported", 3)
    deep = verdicts(*(trained(seed, end=0.0) for seed in range(3)))[0]
    assert deep.estimate.value == pytest.approx(0.5 - (0.1 + 1.0) / 2)
    assert deep.verdict == "contradicted"  # the interval has no width, and -0.05 < 0.05


def test_entangled_hidden_layers_are_compared_seed_by_seed_without_pixels_and_logits():
    rest = {"pixels": (0, 0), "conv1": (1, 1.0), "conv2": (1, 0.9), "logits": (1, 1)}
    entangled = [rows(seed, "alpha=-0.01", fc=(0.9, 0.5 + 0.1 * seed), **rest) for seed in range(4)]
    found = verdicts(*(trained(seed) for seed in (2, 0, 1)), *entangled)[1]
    differences = [(2.4 + 0.1 * seed) / 3 - 0.7 for seed in range(3)]
    assert found.estimate.value == pytest.approx(sum(differences) / 3) and found.estimate.n == 3


def test_a_seed_that_lacks_a_layer_is_left_out():
    torn = [row for row in trained(3) if row.get("layer") != "logits"]
    found = verdicts(*(trained(seed) for seed in range(3)), torn)[0]
    assert found.estimate.n == 3


@pytest.mark.parametrize("layer", ["conv1", "conv2", "fc"])
def test_a_mean_over_layers_is_of_all_of_them_or_of_none(layer):
    """Of a seed that lacks one, by itself or as no number, it would be a mean of others than its partner's."""
    layers = {"conv1": (1, 1.0), "conv2": (1, 0.9), "fc": (0.9, 0.5), "logits": (1, 1)}
    for whole, torn in (
        ([trained(seed) for seed in range(4)], [rows(seed, "alpha=-0.01", **layers) for seed in range(4)]),
        ([rows(seed, "alpha=-0.01", **layers) for seed in range(4)], [trained(seed) for seed in range(4)]),
    ):
        lacks = [[{**row} for row in training] for training in torn]
        lacks[0] = [row for row in lacks[0] if row.get("layer") != layer]
        for row in lacks[1]:
            row["value"] = None if row.get("layer") == layer else row["value"]
        stay, entangled = verdicts(*whole, *lacks)
        assert entangled.estimate.n == 2
        assert stay.estimate.n == (2 if next(iter(lacks[2]))["setting"] == "alpha=0" else 4)


def test_the_table_of_layers_has_the_start_and_the_end_of_each_measure():
    """Losses and temperatures are no shares: their intervals go on beyond 1."""
    ends = {"entanglement": (0.5, 0.6, 0.9), "entanglement_loss": (1.0, 2.0, 4.0), "inverse_temperature": (3, 4, 8)}
    about = {"kind": "layers", "layer": "fc", "model": "cnn", "setting": "alpha=0"}
    found = [
        {**about, "seed": seed, "step": step, "metric": metric, "value": value if step else value / 2}
        for metric, values in {**ends, "entanglement_bound": (5, 6, 9)}.items()
        for seed, value in enumerate(values)
        for step in (0, 9)
    ]
    (row,) = _layer_table(build_table(found), "cnn", ["fc"], ["alpha=0"]).rows
    start, end = (mean_interval(np.array(ends["entanglement"]) / part, within=SHARE) for part in (2, 1))
    assert row[:2] == ["alpha=0", "fc"] and row[2:4] == [start, end]
    assert row[4:] == [
        mean_interval(values, within=POSITIVE)
        for values in (ends["entanglement_loss"], ends["inverse_temperature"], (5, 6, 9))
    ]


def test_without_a_baseline_there_is_no_verdict():
    entangled = rows(0, "alpha=-0.01", conv1=(1, 1), fc=(0.9, 0.5), logits=(1, 1))
    assert {verdict.verdict for verdict in verdicts(entangled)} == {"no verdict"}


def test_without_measurements_there_is_no_verdict_and_still_a_report(tmp_path):
    assert {verdict.verdict for verdict in verdicts()} == {"no verdict"}
    assert write_report(
        layers.report(config(), build_table([]), []), verdicts(), [], tmp_path, formats=["svg"]
    ).exists()


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_report_is_drawn_from_rows_and_matrices(finished, tmp_path):
    given = config(classifiers=("mlp",), n=120)
    table = build_table({"cell": folder.path.name, **row} for folder in finished for row in folder.rows())
    found = layers.report(given, table, finished)
    names = {item.name for section in found.sections for item in section.items}
    figures = {"layers-mlp", "heat-map-mlp", "class-pairs-mlp", "validation-accuracy"}
    assert names == figures | {"layers-mlp-ends", "falls-mlp", "accuracy"}
    assert write_report(found, [], [], tmp_path, formats=["svg"]).exists()
