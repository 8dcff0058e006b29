"""Faults in closed form, false alarms at the promised rate, and cells that plant faults in real images."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

import imagesets
from imagesets import Spec
from lab.cells.folder import CellFolder
from lab.cells.rows import build_table, pick
from lab.cells.work import work
from lab.errors import UsageError, WorkbenchError
from lab.files import read_arrays
from lab.training.draws import random_generator
from tasks import _faults, _power, _resampling, measure_fault, measure_null
from tasks._spaces import evaluator

DATA = Path("data")
N, DRAWS = 24, 4


def images(n=6, channels=3, size=12, seed=0):
    shape = (n, channels, size, size)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@pytest.mark.parametrize("deviation", _faults.FAULTS["blur"].amounts)
def test_a_blur_of_constant_images_is_the_identity(deviation):
    flat = torch.arange(0, 256, 5, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 9, 9)
    assert torch.equal(_faults.blurred(flat, deviation), flat)


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.0])
def test_a_blur_is_scipys_and_each_channels_own(deviation):
    found, sigma = _faults.blurred(images(), deviation).double(), (0, 0, deviation, deviation)
    reach = max(1, round(_faults.REACH * deviation))
    known = ndimage.gaussian_filter(images().double().numpy(), sigma, mode="mirror", radius=(0, 0, reach, reach))
    assert np.abs(found.numpy() - known).max() <= 0.5 + 1e-3


def test_a_wide_blur_of_a_small_image_ends_at_its_borders():
    assert _faults.blurred(images(size=2), 3.0).shape == (6, 3, 2, 2)


def test_noise_has_its_deviation_and_is_the_same_field_for_every_amount():
    grey = torch.full((50, 1, 20, 20), 128, dtype=torch.uint8)
    small, large = (_faults.noisy(grey, share, random_generator(0)).double() - 128 for share in (0.05, 0.1))
    assert float(small.std()) == pytest.approx(0.05 * 255, rel=0.02) and abs(float(small.mean())) < 0.5
    assert float((large - 2 * small).abs().max()) <= 1.5, "each is rounded once"
    assert _faults.noisy(grey, 3.0, random_generator(0)).unique().tolist()[::255] == [0, 255], "and clipped"


def test_points_keep_their_mean_and_change_their_distances_by_the_factor():
    points = torch.randn(30, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = _faults.respread(points, points.mean(0), 0.7)
    assert torch.allclose(found.mean(0), points.mean(0)) and torch.allclose(
        torch.pdist(found), 0.7 * torch.pdist(points)
    )


@pytest.mark.parametrize("share, missing", [(0.001, 1), (0.2, 2), (0.5, 5), (0.999, 9)])
def test_dropped_classes_are_missing_and_one_at_least_is_left(share, missing):
    weights = _faults.class_weights("dropped", share, 10, random_generator(0))
    assert sorted(weights.tolist()) == [0.0] * missing + [1.0] * (10 - missing)
    labels = torch.arange(10).repeat(20)
    kept = labels[_faults.thinned(labels, weights, random_generator(1))]
    assert kept.bincount(minlength=10).tolist() == (20 * weights).long().tolist()


def test_reweighted_classes_come_in_proportion_to_their_weights():
    weights = _faults.class_weights("reweighted", 0.6, 4, random_generator(0))
    assert sorted(weights.tolist()) == pytest.approx([0.4, 0.4, 1.6, 1.6])
    labels = torch.arange(4).repeat(20_000)
    counts = labels[_faults.thinned(labels, weights, random_generator(1))].bincount().double()
    assert torch.allclose(counts / counts.sum(), weights.double() / 4, atol=0.01)


def test_a_larger_amount_changes_what_is_drawn_by_more_of_the_same():
    labels = torch.arange(10).repeat(20)
    kept = []
    for amount in (0.1, 0.3, 0.5):
        generator = random_generator(0)
        weights = _faults.class_weights("dropped", amount, 10, generator)
        kept.append({*_faults.thinned(labels, weights, generator).tolist()})
    assert kept[0] > kept[1] > kept[2]


@pytest.mark.parametrize("tail, expected", [("low", (2.0, np.inf)), ("high", (-np.inf, 38.0)), ("either", (1.0, 39.0))])
def test_critical_values_are_order_statistics(tail, expected):
    values = np.arange(1, 40)[::-1]
    assert _power.critical_values(values, tail) == expected
    assert (
        _power.alarms([0.5, 1, 1.5, 20, 38.5, 39, 40], expected).tolist()
        == {
            "low": [True, True, True, False, False, False, False],
            "high": [False, False, False, False, True, True, True],
            "either": [True, False, False, False, False, False, True],
        }[tail]
    )


@pytest.mark.parametrize("tail", ["low", "high", "either"])
@pytest.mark.parametrize("n", [39, 50, 79])
def test_false_alarms_come_at_the_promised_rate_and_no_oftener(tail, n):
    random, trials = np.random.default_rng(0), 4000
    rate = np.mean(
        [_power.alarms(x[:1], _power.critical_values(x[1:], tail))[0] for x in random.normal(size=(trials, n + 1))]
    )
    parts = 2 if tail == "either" else 1
    promised = parts * int(0.05 / parts * (n + 1) + 1e-9) / (n + 1)
    assert promised <= 0.05 and abs(rate - promised) < 4 * (0.05 * 0.95 / trials) ** 0.5


def test_values_that_are_all_the_same_alarm_at_any_other_and_never_at_their_own():
    critical = _power.critical_values([10.0] * 39, "low")
    assert _power.alarms([10.0, 9.0, 11.0], critical).tolist() == [False, True, False]


def test_too_few_values_set_no_critical_one():
    with pytest.raises(UsageError, match="needs 39 draws of real against real; there are 38"):
        _power.critical_values([0.0] * 38, "low")


def null_cell(n=N, space="pixels"):
    return measure_null.cell("digits", n, space, DRAWS, 39, 60, DATA)


@pytest.fixture(scope="module")
def cells(planted):
    """The folder of a cell of the study."""
    home, _ = planted
    return lambda cell: CellFolder(home / "runs" / "cells" / cell.folder_name)


@pytest.fixture(scope="module")
def null(cells):
    return cells(null_cell())


def test_a_null_sets_critical_values_from_other_draws_than_it_reports_on(null):
    table, values = build_table(null.rows()), read_arrays(null.path / _resampling.VALUES)
    scores = pick(table, side="joint", metric="entanglement")
    drawn = values["null/joint/entanglement"]
    assert len(drawn) == 39 and len(values["joint/entanglement"]) == DRAWS
    assert pick(scores, kind="critical")["value"].tolist() == [sorted(drawn)[1]], "low alone"
    assert pick(scores, kind="mean")["value"].item() == pytest.approx(values["joint/entanglement"].mean())
    assert not {*values["null/joint/fid"].tolist()} & {*values["joint/fid"].tolist()}
    rates = pick(table, kind="power")
    assert set(rates["group"]) == {"none"} and rates["value"].isin([k / DRAWS for k in range(DRAWS + 1)]).all()
    assert {("generated", "memorized"), ("joint", "kid_gap")} <= {*zip(rates["side"], rates["metric"], strict=True)}
    costs = pick(table, kind="cost", metric="seconds")
    assert {"entanglement", "training"} <= {*costs["group"]} and (costs["value"] >= 0).all()


@pytest.fixture(scope="module")
def stage(null):
    return _resampling.Stage.of(measure_null.Config.parse(null.config), null, None, trained=True)


def test_both_draws_are_disjoint_and_the_same_for_every_purpose_twice(stage):
    real, others = stage.order(3, "reported")
    assert len(real) == N and len({*real.tolist(), *others.tolist()}) == 500
    assert torch.equal(stage.order(3, "reported")[1], others) and not torch.equal(stage.order(3, "null")[0], real)


@pytest.mark.parametrize("fault", _faults.FAULTS)
def test_as_many_images_are_spoilt_as_are_real(stage, fault):
    _, others = stage.order(0, "reported")
    found = measure_fault.spoilt(stage, others, fault, _faults.FAULTS[fault].amounts[-1], 0)
    assert found.features.shape == (N, 256)
    same = torch.equal(found.features, stage.seen.features[others[:N]])
    assert not same


@pytest.mark.parametrize("fault, factor", [("shrunk", 0.6), ("widened", 1.4)])
def test_a_spread_is_changed_about_the_mean_of_all_held_out_points(stage, fault, factor):
    _, others = stage.order(0, "reported")
    clean, center = stage.seen.features[others[:N]].double(), stage.seen.features.double().mean(0)
    assert not torch.allclose(clean.mean(0), center, atol=1e-2)
    found = measure_fault.spoilt(stage, others, fault, 0.4, 0).features.double()
    assert torch.allclose(found - center, factor * (clean - center), atol=1e-4)


def test_amounts_of_a_fault_are_paired_for_the_chance_in_it_is_the_same(stage):
    _, others = stage.order(0, "reported")
    clean = stage.seen.features[others[:N]]
    small, large = (measure_fault.spoilt(stage, others, "noise", amount, 0).features - clean for amount in (0.1, 0.4))
    assert (small * large >= 0).all() and (small != 0).any(), "more of the same noise"
    few, many = (measure_fault.spoilt(stage, others, "copies", amount, 0).features for amount in (0.1, 0.2))
    assert torch.equal(few[:2], many[:2]), "the same copies, and more"
    one, other = (measure_fault.spoilt(stage, others, "noise", 0.4, seed).features for seed in (0, 1))
    assert not torch.equal(one, other)


def test_dropping_all_but_one_class_leaves_one(stage):
    _, others = stage.order(0, "reported")
    found = measure_fault.spoilt(stage, others, "dropped", 1.0, 0)
    labels = {
        tuple(image): int(label) for image, label in zip(stage.seen.features.tolist(), stage.images.labels, strict=True)
    }
    assert len({labels[tuple(one)] for one in found.features.tolist()}) == 1


@pytest.mark.parametrize("share, expected", [(0.02, 0), (0.1, 2), (0.2, 5), (1.0, N)])
def test_shares_of_copies_are_exact_and_each_is_of_another_training_image(stage, share, expected):
    _, others = stage.order(0, "reported")
    found = measure_fault.spoilt(stage, others, "copies", share, 0).features
    distance = torch.cdist(found.double(), stage.trained.features.double(), compute_mode="donot_use_mm_for_euclid_dist")
    near = (distance == 0).nonzero()
    assert len({*near[:, 0].tolist()}) == expected == len({*near[:, 1].tolist()})


def test_a_large_fault_is_seen_and_its_rows_say_how_often(null, cells):
    done = cells(measure_fault.cell(null_cell(), "noise", "pixels", DATA))
    table, values = build_table(done.rows()), read_arrays(done.path / _resampling.VALUES)
    powers = pick(table, kind="power", side="joint", metric="fid", group="noise")
    assert dict(zip(powers["setting"], powers["value"], strict=True))["0.4"] == 1.0
    critical = pick(build_table(null.rows()), kind="critical", side="joint", metric="fid", setting="high")[
        "value"
    ].item()
    assert powers["value"].tolist() == [float((values[f"{a}/joint/fid"] > critical).mean()) for a in powers["setting"]]
    assert pick(table, kind="draws")["value"].item() == DRAWS
    assert not any(metric.endswith("_gap") or metric == "memorized" for metric in table["metric"])


def test_an_amount_that_leaves_too_few_images_is_left_out_aloud(null, tmp_path, monkeypatch, capfd):
    """The others are measured, as they are where there are enough."""
    order, asked = _resampling.Stage.order, set()

    def few(stage, seed, purpose):
        asked.add((seed, purpose))
        real, others = order(stage, seed, purpose)
        return real, others[:40]

    monkeypatch.setattr(_resampling.Stage, "order", few)
    shutil.copytree(null.path, tmp_path / null.path.name)
    planted = measure_fault.cell(null_cell(), "dropped", "pixels", DATA)
    made = CellFolder.create(planted, tmp_path, {"data": "nowhere", "download": False})
    work(made)
    powers = pick(build_table(made.rows()), kind="power", side="joint", metric="fid")
    assert powers["setting"].tolist() == ["0.1", "0.2", "0.3"]
    assert asked == {(seed, "reported") for seed in range(DRAWS)}, "those that set critical values are others"
    assert "dropped 0.5 leaves" in (said := capfd.readouterr().err) and "This amount is left out." in said


def test_measuring_twice_gives_the_same_rows(null, cells, tmp_path):
    """With as many threads as the command had, on which last bits depend; in a copy, since other processes read it."""
    made = cells(measure_fault.cell(null_cell(), "noise", "pixels", DATA))
    for folder in (null, made):
        shutil.copytree(folder.path, tmp_path / folder.path.name)
    done = CellFolder(tmp_path / made.path.name)
    before, threads = done.rows(), torch.get_num_threads()
    (done.path / "DONE").unlink()
    torch.set_num_threads(done.environment["threads"])
    try:
        work(CellFolder(done.path))
    finally:
        torch.set_num_threads(threads)
    assert CellFolder(done.path).rows() == before


def test_a_classifier_predicts_what_is_spoilt(null, finished):
    training, _ = finished
    given = measure_null.Config.parse({**null.config, "space": "classifier"})
    stage = _resampling.Stage.of(given, null, training, trained=True)
    real, others = stage.order(0, "reported")
    for fault in ("blur", "shrunk", "dropped", "copies"):
        found = measure_fault.spoilt(stage, others, fault, 0.5, 0)
        assert found.features.shape == (N, 16) and found.predicted.shape == (N,)
        assert {("generated", "class_kl"), ("generated", "memorized")} <= {*stage.compare(real, found)}


def test_too_few_images_of_the_classes_that_are_left_are_told(stage):
    _, others = stage.order(0, "reported")
    with pytest.raises(WorkbenchError, match=r"dropped 0.9 leaves \d+ of 40 images of digits, of which 24 are needed"):
        measure_fault.spoilt(stage, others[:40], "dropped", 0.9, 0)


def test_impossible_plans_are_refused(monkeypatch):
    with pytest.raises(
        UsageError, match="digits has 500 images in its test split; planted faults need 3 times --n 167"
    ):
        null_cell(n=167)
    with pytest.raises(UsageError, match="did you mean 'widened'"):
        measure_fault.cell(null_cell(), "widend", "pixels", DATA)
    spec = imagesets.spec("digits", DATA)
    bare = Spec(spec.channels, spec.size, (), spec.splits, spec.n)
    monkeypatch.setattr(imagesets, "spec", lambda name, root: bare)
    with pytest.raises(UsageError, match="digits has no two classes, of which dropped needs some"):
        measure_fault.cell(null_cell(), "dropped", "pixels", DATA)
    assert measure_fault.cell(null_cell(), "blur", "pixels", DATA).config.fault == "blur"


def test_a_fault_needs_its_null_and_the_network_of_its_space():
    classifier = evaluator("digits", DATA)
    null = null_cell(space=classifier)
    assert measure_fault.cell(null, "blur", classifier, DATA).needs == (null, classifier)
    assert null.needs == (classifier,) and null.config.space == "classifier"
