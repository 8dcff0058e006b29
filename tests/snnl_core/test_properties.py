"""What holds for any points, labels and temperature, drawn at random, on each of the engine's ways of working."""

import math

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from snnl_core import entanglement, kernel, soft_nearest_neighbor_loss

DOUBLE = torch.float64
SLACK = 16
"""How many times eps * (1 + max |x - mean|^2 / T) an error may be."""


def runs(number):
    """So many examples, the same ones each time."""
    unneeded = [HealthCheck.function_scoped_fixture]
    return settings(max_examples=number, deadline=None, derandomize=True, database=None, suppress_health_check=unneeded)


@st.composite
def inner_shapes(draw):
    return draw(st.sampled_from([(), (1,), (0,), (3,), (12,), (2, 3), (2, 0), (2, 1, 2)]))


@st.composite
def points(draw, dtypes=(DOUBLE, torch.float32, torch.bfloat16, torch.float16), shapes=None):
    """Points (n, ...), some of them copies, some of them in memory with gaps or in another order."""
    n, inner, dtype = draw(st.integers(2, 40)), draw(shapes or inner_shapes()), draw(st.sampled_from(dtypes))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    x = torch.randn(n, *inner, generator=generator, dtype=DOUBLE)
    x = x * draw(st.sampled_from([0.05, 1.0, 20.0])) + draw(st.sampled_from([0.0, 5.0]))
    if draw(st.booleans()):
        x = x[torch.randint(n, (n,), generator=generator)]
    layout = draw(st.sampled_from(["plain", "turned", "gaps"]))
    if layout == "turned":
        x = x.movedim(0, -1).contiguous().movedim(-1, 0)
    elif layout == "gaps":
        x = x.repeat_interleave(2, 0)[::2]
    return x.to(dtype)


@st.composite
def labels_of(draw, n):
    """Labels (n,) from one class to as many as points, under names of any kind."""
    kind = draw(st.sampled_from(["one class", "all distinct", "few", "some", "all but one"]))
    if kind in ("few", "some"):
        most = 2 if kind == "few" else max(2, n // 2)
        labels = torch.tensor(draw(st.lists(st.integers(0, most), min_size=n, max_size=n)))
    elif kind == "all but one":
        labels = torch.arange(n).clamp_max(1)
    else:
        labels = torch.zeros(n, dtype=torch.int64) if kind == "one class" else torch.arange(n)
    name = draw(st.sampled_from(["int64", "negative", "huge", "uint8", "int32", "int16", "uint16", "uint64"]))
    if name == "negative":
        return -3 * labels
    if name == "huge":
        return torch.where(labels % 2 == 0, 2**62 + labels, -(2**62) - labels)
    return labels.to(getattr(torch, "int64" if name == "huge" else name))


@st.composite
def problems(draw, **kinds):
    x = draw(points(**kinds))
    return x, draw(labels_of(len(x)))


temperatures = st.one_of(st.floats(-6, 6).map(lambda power: 10.0**power), st.just(math.inf))
distances = st.sampled_from(["sqeuclidean", "cosine"])


def spread(x, distance="sqeuclidean"):
    """The largest squared distance from the mean."""
    if distance == "cosine":
        return 0.5
    flat = x.double().reshape(len(x), -1)
    return (flat - flat.mean(0)).square().sum(1).max().item()


def error_of(x, temperature, distance="sqeuclidean"):
    """The error that the docstring grants."""
    eps = torch.finfo(DOUBLE if x.dtype == DOUBLE else torch.float32).eps
    return SLACK * eps * (1 + spread(x, distance) / temperature)


def assert_near(found, expected, error):
    """Near in the arithmetic, and then rounded to the found numbers' type, which may have no room for them."""
    limits = torch.finfo(found.dtype)
    room = expected.abs() < 0.99 * limits.max
    apart = (found.double() - expected).abs()[room]
    allowed = error + 2 * limits.eps * expected.abs()[room] + limits.tiny
    assert bool((apart <= allowed).all()), f"apart by {(apart / allowed).max():.3g} times what is allowed"
    assert not bool(found.isnan().any())


def measurable(x, distance):
    """Whether the distance means something: a point at the origin has no direction."""
    return distance == "sqeuclidean" or bool((x.double().reshape(len(x), -1).abs().sum(1) > 0).all())


@runs(150)
@given(problems(), temperatures, distances)
def test_value_is_that_of_the_naive_loop(path, reference, problem, temperature, distance):
    x, labels = problem
    if not measurable(x, distance):
        return
    each = reference(x, labels, temperature, distance)
    valid = (labels.long()[:, None] == labels.long()).sum(1) > 1
    error = error_of(x, temperature, distance) * (1 + each.max().item())
    found = {
        reduction: soft_nearest_neighbor_loss(x, labels, temperature, distance=distance, reduction=reduction)
        for reduction in ("none", "sum", "mean")
    }
    assert all(value.dtype == (DOUBLE if x.dtype == DOUBLE else torch.float32) for value in found.values())
    assert_near(found["none"], each, error)
    assert_near(found["sum"], each.sum(), error * len(x))
    assert_near(found["mean"], each.sum() / max(1, int(valid.sum())), error)
    assert bool((found["none"][~valid] == 0).all())


@runs(150)
@given(problems(), temperatures, distances, st.booleans())
def test_gradient_is_that_of_the_naive_loop(path, reference, problem, temperature, distance, weighted):
    x, labels = problem
    if not measurable(x, distance):
        return
    weights = torch.linspace(-1, 1, len(x), dtype=DOUBLE).to(x.dtype) if weighted else torch.ones(len(x), dtype=x.dtype)
    exact, x = x.double().requires_grad_(), x.requires_grad_()
    (expected,) = torch.autograd.grad(reference(exact, labels, temperature, distance) @ weights.double(), exact)
    found = soft_nearest_neighbor_loss(x, labels, temperature, distance=distance, reduction="none")
    (gradient,) = torch.autograd.grad(found, x, weights)
    assert gradient.dtype == x.dtype
    assert gradient.shape == x.shape
    # Each pair pulls with its weight over T, times its difference; each weight has the error of its exponent.
    reach = 4 * len(x) * spread(x, distance) ** 0.5 / temperature
    if distance == "cosine" and x.numel():
        reach /= torch.linalg.vector_norm(x.detach().double().reshape(len(x), -1), dim=1).min().item()
    assert_near(gradient, expected, min(1.0, error_of(x, temperature, distance)) * reach)


@runs(60)
@given(problems(dtypes=(DOUBLE,)), temperatures.filter(lambda t: t > 1e-3), st.randoms(use_true_random=False))
def test_order_names_and_place_do_not_matter(path, problem, temperature, chance):
    x, labels = problem
    each = soft_nearest_neighbor_loss(x, labels, temperature, reduction="none")
    error = error_of(x + 100, temperature) * (1 + each.max().item())
    order = torch.tensor(chance.sample(range(len(x)), len(x)))
    known, places = labels.long().unique(return_inverse=True)
    names = torch.tensor(chance.sample(range(-1000, 1000), len(known)))[places]
    kept = labels.long()[order].to(labels.dtype)  # torch 2.6 does not index all dtypes
    for moved, named in ((x[order], kept), (x[order], names[order]), (x[order] + 100, names[order])):
        found = soft_nearest_neighbor_loss(moved, named, temperature, reduction="none")
        assert_near(found, each[order], error + 100 * SLACK * 2**-52 * (1 + spread(x) ** 0.5) / temperature)


@runs(60)
@given(problems(dtypes=(torch.float32,)), st.floats(-3, 6), st.integers(-20, 20))
def test_only_the_ratio_of_distances_to_the_temperature_counts(path, problem, power, scale):
    """To the last digit, as a power of 2 rounds nothing."""
    x, labels = problem
    temperature, scale = 10.0**power, 2.0**scale
    losses, gradients = [], []
    for factor in (1.0, scale):
        moved = (x * factor).requires_grad_()
        heat = torch.tensor(temperature, dtype=torch.float32).item() * factor**2
        losses.append(soft_nearest_neighbor_loss(moved, labels, heat))
        gradients.append(torch.autograd.grad(losses[-1], moved)[0] * factor)
    assert losses[0] == losses[1]
    # Numbers next to 0 lose digits, which a power of 2 can do too.
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-30 * max(1, scale))


def test_a_cold_pair_in_small_data_keeps_its_gradient(path, reference):
    """Two points of a class at opposite ends: 1 / (mass of the own class) times 1 / T has no room in float32."""
    x = 0.1 * torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    x[:2] = torch.eye(3)[0] * torch.tensor([[1.0], [-1.0]])
    labels = torch.arange(12) // 2
    temperature = 4 * spread(x) / math.log(2) / (0.98 * kernel.ROOM[torch.float32]) if path != "tiles" else 0.06
    exact, small = x.double().requires_grad_(), (x * 2.0**-30).requires_grad_()
    (expected,) = torch.autograd.grad(reference(exact, labels, temperature).sum(), exact)
    loss = soft_nearest_neighbor_loss(small, labels, temperature * 4.0**-30, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, small)
    torch.testing.assert_close(gradient.double() * 2.0**-30, expected, rtol=1e-4, atol=1e-3)


@runs(40)
@given(problems(dtypes=(DOUBLE, torch.float32)), distances)
@example((torch.ones(6, 2), torch.arange(6) % 2), "sqeuclidean")
def test_the_minimum_is_below_the_bound_and_below_every_temperature(path, problem, distance):
    x, labels = problem
    found = entanglement(x, labels, distance=distance)
    counts = torch.bincount(labels.long().unique(return_inverse=True)[1])
    assert found.n_valid == counts[counts > 1].sum()
    assert set(found.by_class) == set(found.classes[counts > 1].tolist())
    assert found.by_group == {}
    if not found.n_valid or len(counts) == 1:
        assert math.isnan(found.score)
        return
    assert 0 <= found.loss <= found.bound
    assert found.score == pytest.approx(found.loss / found.bound)
    assert found.bound == pytest.approx(
        sum(n * math.log((len(x) - 1) / (n - 1)) for n in counts.tolist() if n > 1) / found.n_valid
    )
    rows = found.class_pairs[counts > 1]
    torch.testing.assert_close(rows.sum(1), torch.ones_like(rows[:, 0]), atol=1e-5, rtol=0)
    assert bool(found.class_pairs[counts == 1].isnan().all())
    across = (x.double().reshape(len(x), -1)[:, None] - x.double().reshape(len(x), -1)).square().sum(2)
    median = 0.1 if distance == "cosine" else across[across > 0].median().item() if across.any() else 1.0
    for power in range(-3, 7):
        heat = median * 4.0**power
        error = error_of(x, min(heat, found.temperature), distance) + 1e-6
        assert found.loss <= soft_nearest_neighbor_loss(x, labels, heat, distance=distance).item() + error


@runs(40)
@given(problems(dtypes=(DOUBLE,)), st.integers(1, 40))
def test_some_anchors_are_measured_against_all_points(path, problem, anchors):
    x, labels = problem
    found = entanglement(x, labels, anchors=anchors)
    assert found.n_valid <= min(anchors, len(x))
    assert int((found.per_sample > 0).sum()) <= found.n_valid
    if math.isnan(found.score):
        return
    each = soft_nearest_neighbor_loss(x, labels, found.temperature, reduction="none")
    counted = found.per_sample > 0
    error = error_of(x, found.temperature) * (1 + each.max().item())
    assert_near(found.per_sample[counted], each[counted], error)
    assert found.loss == pytest.approx(found.per_sample.sum().item() / found.n_valid, rel=1e-6, abs=10 * error)
    assert sum(own.n_valid for own in found.by_class.values()) == found.n_valid
    assert sum(own.n_valid * own.loss for own in found.by_class.values()) <= found.n_valid * (found.loss + 1e-6)
    rows = found.class_pairs[[int(label) in found.by_class for label in found.classes]]
    torch.testing.assert_close(rows.sum(1), torch.ones_like(rows[:, 0]), atol=1e-6, rtol=0)
