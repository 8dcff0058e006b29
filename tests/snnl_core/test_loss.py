"""The loss against a naive loop in float64 and against closed forms."""

import math
import threading

import pytest
import torch

from snnl_core import distances
from snnl_core import soft_nearest_neighbor_loss as snnl

DOUBLE = torch.float64


def naive(x, labels, temperature, distance="sqeuclidean"):
    """Equation (1), pair by pair, in Python numbers; None for an anchor that is alone in its class."""
    points = x.double().flatten(1).tolist()

    def apart(a, b):
        if distance == "cosine":
            lengths = math.hypot(*a) * math.hypot(*b)
            return 1 - sum(p * q for p, q in zip(a, b, strict=True)) / lengths
        return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))

    losses = []
    for i, a in enumerate(points):
        terms = [(-apart(a, b) / temperature, labels[j] == labels[i]) for j, b in enumerate(points) if j != i]
        top = max(t for t, _ in terms)
        own = sum(math.exp(t - top) for t, same in terms if same)
        alone = not any(same for _, same in terms)
        losses.append(None if alone else math.log(sum(math.exp(t - top) for t, _ in terms) / own))
    return losses


def mean(losses):
    known = [loss for loss in losses if loss is not None]
    return sum(known) / len(known)


def draw(seed, shape, classes):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(shape, generator=generator, dtype=DOUBLE),
        torch.randint(classes, shape[:1], generator=generator),
    )


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 40.0])
@pytest.mark.parametrize("shape, classes", [((2, 3), 1), ((9, 1), 3), ((30, 4), 5), ((24, 2, 3), 2), ((12, 5), 9)])
def test_equals_the_naive_loop(shape, classes, temperature, distance):
    x, labels = draw(len(shape) + shape[0], shape, classes)
    expected = naive(x, labels.tolist(), temperature, distance)
    each = snnl(x, labels, temperature, distance=distance, reduction="none")
    torch.testing.assert_close(each, torch.tensor([e or 0.0 for e in expected], dtype=DOUBLE))
    if any(e is not None for e in expected):
        assert snnl(x, labels, temperature, distance=distance).item() == pytest.approx(mean(expected), abs=1e-12)
        total = sum(e for e in expected if e is not None)
        assert snnl(x, labels, temperature, distance=distance, reduction="sum").item() == pytest.approx(total)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precision_is_computed_and_told_in_float32(dtype):
    x, labels = draw(0, (40, 6), 3)
    rounded = x.to(dtype)
    found = snnl(rounded, labels, 5.0)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(snnl(rounded.double(), labels, 5.0).item(), rel=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_of_half_precision_points_may_be_larger_than_they_can_be(reduction):
    x, labels = draw(0, (64, 6), 3)
    half = (300 * x / x.abs().max()).half().requires_grad_()
    loss = snnl(half, labels, 0.1, reduction=reduction)
    assert torch.finfo(torch.float16).max < loss.item() < math.inf
    assert loss.item() == pytest.approx(snnl(half.detach().double(), labels, 0.1, reduction=reduction).item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, half)
    assert gradient.dtype == torch.float16 and gradient.isfinite().all()


@pytest.mark.skipif(not distances.PRECISE, reason="this torch has no precision of products by backend")
def test_threads_leave_the_precision_of_products_as_they_found_it():
    """The first one in sets it, and the last one out restores it, however they overlap."""
    x, labels = draw(0, (200, 50), 3)
    x = x.float()
    owner, name, precise = distances.PRECISE[-1]
    before, seen = getattr(owner, name), []
    other = next(value for value in ("bf16", "tf32", True) if value != precise and _takes(owner, name, value))
    try:
        setattr(owner, name, other)
        for _ in range(10):
            barrier = threading.Barrier(2)

            def work(barrier=barrier):
                barrier.wait()
                for _ in range(5):
                    with distances.full_precision(x.device):
                        seen.append(getattr(owner, name))
                        snnl(x, labels, 5.0)

            threads = [threading.Thread(target=work) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert getattr(owner, name) == other
        assert set(seen) == {precise}
    finally:
        setattr(owner, name, before)


def _takes(owner, name, value):
    try:
        setattr(owner, name, value)
    except (RuntimeError, TypeError, ValueError):
        return False
    return getattr(owner, name) == value


def test_autocast_does_not_lower_the_precision():
    x, labels = draw(0, (40, 6), 3)
    x = x.float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = snnl(x, labels, 5.0)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(snnl(x.detach().double(), labels, 5.0).item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(gradient, torch.autograd.grad(snnl(x, labels, 5.0), x)[0])


def test_the_coldest_temperatures_overflow_nothing_that_can_be_represented():
    x = torch.tensor([[0.0], [10.0], [100.0], [110.0]], requires_grad=True)
    loss = snnl(x, torch.tensor([0, 0, 1, 1]), 1e-38)  # each distance / T alone is infinite in float32
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


def test_infinite_temperature_counts_the_classes():
    x, _ = draw(1, (10, 3), 2)
    labels = torch.tensor([0] * 3 + [1] * 7)
    expected = (3 * math.log(9 / 2) + 7 * math.log(9 / 6)) / 10
    assert snnl(x, labels, math.inf).item() == pytest.approx(expected)
    assert snnl(x, labels, 1e12).item() == pytest.approx(expected)


def test_cold_looks_at_the_nearest_neighbour_alone():
    x = torch.tensor([[0.0], [1.0], [1.5], [5.0]], dtype=DOUBLE)
    labels = torch.tensor([0, 0, 1, 1])
    temperature = 1e-3
    # Each loss is (distance to the own class - distance to the others) / T where that is positive, else 0.
    expected = torch.tensor([0.0, (1.0 - 0.25) / temperature, (12.25 - 0.25) / temperature, 0.0], dtype=DOUBLE)
    torch.testing.assert_close(snnl(x, labels, temperature, reduction="none"), expected)


def test_two_points():
    x = torch.tensor([[0.0], [2.0]])
    assert snnl(x, torch.tensor([4, 4])).item() == 0
    assert snnl(x, torch.tensor([4, 5])).item() == 0


def test_one_class_has_no_entanglement():
    x, _ = draw(2, (12, 3), 1)
    x.requires_grad_()
    loss = snnl(x, torch.zeros(12, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


def test_a_sample_alone_in_its_class_is_left_out_of_the_mean():
    x, _ = draw(3, (7, 3), 1)
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 9])
    each = snnl(x, labels, reduction="none")
    assert each[6] == 0
    assert snnl(x, labels).item() == pytest.approx(each[:6].mean().item())
    assert snnl(x, labels).item() == pytest.approx(mean(naive(x, labels.tolist(), 1.0)))


def test_no_valid_sample_gives_a_differentiable_zero():
    x = torch.randn(4, 2, requires_grad=True)
    loss = snnl(x, torch.arange(4))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("scale", [1e-6, 1e3])
@pytest.mark.parametrize("temperature", [1e-12, 1.0, 1e6])
def test_extreme_ratios_stay_finite_with_finite_gradients(scale, temperature):
    x, labels = draw(4, (20, 3), 3)
    x = (x * scale).float().requires_grad_()
    loss = snnl(x, labels, temperature)
    loss.backward()
    assert loss.isfinite()
    assert x.grad.isfinite().all()


def test_far_from_the_origin_nothing_is_lost():
    x, labels = draw(5, (30, 4), 3)
    assert snnl((x + 1e4).float(), labels).item() == pytest.approx(snnl(x, labels).item(), rel=2e-3)


def test_duplicates_and_odd_labels():
    x = torch.zeros(6, 2, dtype=DOUBLE)
    labels = torch.tensor([-5, -5, 2**40, 2**40, 7, 7])
    assert snnl(x, labels).item() == pytest.approx(math.log(5))


def test_names_and_order_do_not_matter():
    x, labels = draw(6, (25, 3), 4)
    order = torch.randperm(25, generator=torch.Generator().manual_seed(0))
    assert snnl(x[order], 100 - 3 * labels[order]).item() == pytest.approx(snnl(x, labels).item())


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
def test_gradients(distance):
    x, _ = draw(7, (8, 3), 1)
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 2, 5])
    temperature = torch.tensor(1.3, dtype=DOUBLE, requires_grad=True)

    def loss(points, t):
        return snnl(points, labels, t, distance=distance)

    assert torch.autograd.gradcheck(loss, (x.requires_grad_(), temperature))


@pytest.mark.parametrize(
    "x, labels, settings, error, words",
    [
        (torch.zeros(3, 2), torch.zeros(4, dtype=torch.int64), {}, ValueError, "labels must be"),
        (torch.zeros(3, 2), torch.zeros(3, 1, dtype=torch.int64), {}, ValueError, "labels must be"),
        (torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64), {}, ValueError, "at least two"),
        (torch.zeros(3, 2), torch.zeros(3), {}, TypeError, "integers"),
        (torch.zeros(3, 2, dtype=torch.int64), torch.zeros(3, dtype=torch.int64), {}, TypeError, "floating"),
        (torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64), {"temperature": 0.0}, ValueError, "temperature"),
        (torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64), {"temperature": -1.0}, ValueError, "temperature"),
        (torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64), {"temperature": math.nan}, ValueError, "temperature"),
        (torch.zeros(3, 2), torch.arange(3), {"temperature": torch.tensor(-1.0)}, ValueError, "temperature"),
        (torch.zeros(3, 2), torch.arange(3), {"temperature": torch.ones(2)}, ValueError, "one number"),
        (torch.zeros(3, 2), torch.arange(3), {"temperature": torch.tensor(1e-40)}, ValueError, "too small"),
        (torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64), {"temperature": 1e-40}, ValueError, "too small"),
        (torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64), {"distance": "l1"}, ValueError, "sqeuclidean, cosine"),
        (torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64), {"reduction": "max"}, ValueError, "mean, sum, none"),
    ],
)
def test_bad_input_is_refused(x, labels, settings, error, words):
    with pytest.raises(error, match=words):
        snnl(x, labels, **settings)
