"""What float32 cannot hold: offsets and outliers, the smallest and the largest points, on every path."""

import math
import warnings

import pytest
import torch

from snnl_core import DeepKNN, EntanglementMonitor, SoftNearestNeighborLoss, entanglement, nearest_neighbors
from snnl_core import soft_nearest_neighbor_loss as snnl

DOUBLE = torch.float64
both = pytest.mark.parametrize("path", ["direct", "tiles"], indirect=True)
"""The ways of a measurement: the kernel's is that of training."""


def mixed(n=30, d=5):
    """Two classes that overlap."""
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(n) % 2
    return x + 1.2 * labels[:, None], labels


def with_a_column(x, step):
    """What says nothing of the classes and is much larger than what does."""
    chosen = torch.rand(len(x), 1, generator=torch.Generator().manual_seed(1)) < 0.25
    return torch.cat([x, step * chosen], 1)


def with_a_row(x, value):
    """A value that stands for a missing one, say; the point's own class is on that side."""
    x = x.clone()
    x[7 if value > 0 else 6] = value
    return x


@pytest.fixture
def silent():
    """No warning goes unseen."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@both
@pytest.mark.parametrize("step", [1e3, 1e5])
def test_a_large_column_does_not_turn_a_verdict_round(path, silent, step):
    x, labels = mixed(40)
    large = with_a_column(x, step)
    expected = entanglement(large.double(), labels)
    assert 0.1 < expected.score < 0.9 and expected.at_limit == "none"
    found = entanglement(large, labels)
    assert found.score == pytest.approx(expected.score, abs=1e-4)
    assert found.by_class[1].score == pytest.approx(expected.by_class[1].score, abs=1e-4)
    assert found.per_sample.double() == pytest.approx(expected.per_sample, abs=1e-2)


@both
def test_of_distances_of_two_sizes_the_short_ones_are_held(path, silent):
    """Half of all are so long that a sample takes their median for that of all."""
    x, labels = mixed(60)
    large = torch.cat([x, 1e5 * (torch.arange(60) // 2 % 2)[:, None]], 1)
    expected = entanglement(large.double(), labels)
    assert expected.score == pytest.approx(0.312, abs=1e-3)
    assert entanglement(large, labels).score == pytest.approx(expected.score, abs=1e-4)


@both
def test_in_many_dimensions_what_distances_differ_by_is_held(path, silent):
    """All are nearly the same: rounding that is little of one is much of what they differ by."""
    x = torch.randn(30, 500, generator=torch.Generator().manual_seed(0))
    x[7] *= 3000
    expected, found = (entanglement(points, torch.arange(30) % 2).by_class[0] for points in (x.double(), x))
    assert found.score == pytest.approx(expected.score, abs=1e-4)


@both
@pytest.mark.parametrize("value", [-9999.0, 1e8, -1e30])
def test_one_far_point_changes_the_score_of_the_others_little(path, silent, value):
    x, labels = mixed()
    far = with_a_row(x, value)
    others = (far == x).all(1)
    expected = entanglement(x[others].double(), labels[others])
    for points in (far, far.double()):
        found = entanglement(points, labels)
        assert found.score == pytest.approx(expected.score, abs=0.05)
        assert found.temperature == pytest.approx(expected.temperature, rel=0.1)


@both
def test_the_same_anchors_are_measured_again_in_float64(path):
    x, labels = mixed()
    far, settings = with_a_row(x, 1e6), {"anchors": 20, "groups": labels}
    found, wide = (
        entanglement(points, labels, **settings, generator=torch.Generator().manual_seed(5))
        for points in (far, far.double())
    )
    assert torch.equal(found.per_sample > 0, wide.per_sample > 0)
    assert found.loss == pytest.approx(wide.loss, rel=1e-4)
    assert found.stderr == pytest.approx(wide.stderr, rel=1e-4)


@both
def test_what_float32_holds_is_measured_in_float32(path, silent):
    x, labels = mixed()
    copies = x[torch.arange(len(x)) // 3]
    for points in (x, x + 1000, x * 1e-9, x * 1e9, copies, torch.zeros_like(x), x.relu().floor(), with_a_row(x, 30.0)):
        assert entanglement(points, labels).per_sample.dtype == torch.float32
    assert entanglement(x.half(), labels).per_sample.dtype == torch.float32


@both
def test_what_float64_cannot_hold_is_warned_of(path):
    x, labels = mixed()
    with pytest.warns(UserWarning, match="float64 cannot hold the distances of x"):
        entanglement(with_a_column(x.double(), 1e12), labels)


@both
@pytest.mark.parametrize("power", [-110, -80, -66, -50, 50, 63, 100])
def test_a_score_is_the_same_at_every_scale(path, silent, power):
    """Bit for bit, as far as float32 reaches: points are multiplied by powers of two."""
    x, labels = mixed()
    whole, found = entanglement(x, labels), entanglement(x * 2.0**power, labels)
    assert (found.loss, found.score, found.at_limit) == (whole.loss, whole.score, whole.at_limit)
    assert found.temperature == math.ldexp(whole.temperature, 2 * power)
    assert found.by_class[0].temperature == math.ldexp(whole.by_class[0].temperature, 2 * power)
    assert torch.equal(found.per_sample, whole.per_sample)
    assert torch.equal(found.class_pairs, whole.class_pairs)


@both
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e30])
def test_a_score_does_not_depend_on_units(path, silent, scale):
    x, labels = mixed()
    whole = entanglement(x, labels)
    found = entanglement(x * scale, labels)
    assert found.score == pytest.approx(whole.score, rel=1e-4)
    assert found.temperature == pytest.approx(whole.temperature * scale**2, rel=1e-3)
    far = entanglement(with_a_row(x, 1e6) * scale, labels)
    assert far.score == pytest.approx(whole.score, abs=0.02)


def test_points_too_small_for_float64_are_refused():
    x, labels = mixed()
    whole = entanglement(x.double(), labels)
    assert entanglement(x.double() * 2.0**-400, labels).score == pytest.approx(whole.score, rel=1e-8)
    with pytest.raises(ValueError, match=r"too small for torch\.float64: scale x up"):
        entanglement(x.double() * 1e-160, labels)


@pytest.mark.parametrize("scale", [1e-18, 1e-20, 1e-30])
def test_the_best_temperature_of_a_batch_is_found_at_every_scale(path, silent, scale):
    x, labels = mixed()
    found = []
    for factor in (1.0, scale):
        module, points = SoftNearestNeighborLoss(), (x * factor).requires_grad_()
        loss = module(points, labels)
        loss.backward()
        assert module.at_limit == {"none": 1, "cold": 0, "hot": 0}
        found.append((loss.item(), module.last_temperature / factor**2, points.grad * factor))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-5)
    assert found[1][1] == pytest.approx(found[0][1], rel=1e-3)
    torch.testing.assert_close(found[1][2], found[0][2], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("temperature", ["minimize", "learn", 2.0])
def test_a_batch_that_float32_cannot_hold_is_warned_of(path, temperature):
    x, labels = mixed()
    for points in (with_a_row(x, -999999.0), with_a_column(x, 1e5)):
        with pytest.warns(UserWarning, match=r"torch\.float32 cannot hold the distances of this batch.*x\.double\(\)"):
            SoftNearestNeighborLoss(temperature)(points, labels)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            SoftNearestNeighborLoss(temperature)(points.double(), labels)


@pytest.mark.parametrize("temperature", ["minimize", 1e-3, 1.0])
def test_a_batch_that_float32_holds_is_not_warned_of(path, silent, temperature):
    x, labels = mixed()
    for points in (x, 100 * x, x + 1000, x[torch.arange(len(x)) // 3], torch.zeros_like(x), x + 100 * labels[:, None]):
        SoftNearestNeighborLoss(temperature)(points, labels)


def test_a_monitor_and_its_layers_are_measured_alike(silent):
    x, labels = mixed()
    monitor = EntanglementMonitor(len(x))
    monitor.update({"small": x * 1e-25, "far": with_a_row(x, 1e8), "large": x * 1e25}, labels)
    expected = entanglement(x.double(), labels).score
    for name, found in monitor.compute().items():
        assert found.score == pytest.approx(expected, abs=0.02), name


@pytest.mark.parametrize("itself", [False, True])
@pytest.mark.parametrize("change", [lambda x: x * 1e-25, lambda x: x * 1e25, lambda x: with_a_row(x, -999999.0)])
def test_neighbours_are_those_of_float64(itself, change):
    x, _ = mixed()
    points = change(x)
    queries = points if itself else change(x + 0.1)
    distances, found = nearest_neighbors(queries, points, 4, exclude_self=itself)
    expected, places = nearest_neighbors(queries.double(), points.double(), 4, exclude_self=itself)
    near = queries.abs().amax(1) < 999999  # to a far one, all others are as far
    assert torch.equal(found[near], places[near])
    torch.testing.assert_close(distances.double(), expected, rtol=1e-5, atol=0)


def test_neighbours_of_two_scales_are_found():
    x, _ = mixed()
    for small, large in ((1e-25, 1.0), (1.0, 1e25), (1e-25, 1e25)):
        found = nearest_neighbors(x * large, x * small, 3)[1]
        assert torch.equal(found, nearest_neighbors(x.double() * large, x.double() * small, 3)[1])
    with pytest.raises(ValueError, match=r"too small for torch\.float64: scale them up"):
        nearest_neighbors(x.double() * 1e-160, x.double() * 1e-160, 1)


@pytest.mark.filterwarnings("ignore:.*calibration rows")
@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_deep_knn_does_not_depend_on_units(scale):
    x, labels = mixed()
    found = []
    for factor in (1.0, scale):
        bank, held_out, asked = ({"a": part * factor} for part in (x[:14], x[14:24], x[24:]))
        knn = DeepKNN(3, "sqeuclidean").fit(bank, labels[:14]).calibrate(held_out, labels[14:24])
        found.append(knn.predict(asked))
    assert torch.equal(found[1].p_values, found[0].p_values)
    assert torch.equal(found[1].neighbors["a"], found[0].neighbors["a"])


def test_integers_are_told_what_to_become():
    x, labels = mixed()
    for call in (entanglement, snnl, lambda x, y: EntanglementMonitor().update({"a": x}, y)):
        with pytest.raises(TypeError, match=r"double\(\)"):
            call(x.long(), labels)
    with pytest.raises(TypeError, match=r"double\(\)"):
        nearest_neighbors(x.long(), x.long(), 1)
