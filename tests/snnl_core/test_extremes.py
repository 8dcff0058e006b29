"""The loss at the ends: hot, cold, far, short and long, in low precision and under autocast, on every path."""

import math

import pytest
import torch

from snnl_core import SoftNearestNeighborLoss, distances, entanglement, soft_nearest_neighbor_loss

DOUBLE = torch.float64


def draw(seed, n=23, dtype=DOUBLE):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=generator, dtype=DOUBLE).to(dtype)
    return x.requires_grad_(), torch.randint(4, (n,), generator=generator)


def value_and_gradient(x, labels, temperature=2.0, **settings):
    loss = soft_nearest_neighbor_loss(x, labels, temperature, **settings)
    return loss, torch.autograd.grad(loss, x)[0]


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize("trained", [False, True])
def test_gradients(path, distance, trained):
    """With a temperature that is trained, and with one that is not, which the kernel's way may take."""
    x, labels = draw(0, 11)
    labels[0] = 9
    temperature = torch.tensor(1.3, dtype=DOUBLE, requires_grad=trained)
    weights = torch.linspace(-1, 2, 11, dtype=DOUBLE)

    def loss(points, t):
        each = soft_nearest_neighbor_loss(points, labels, t, distance=distance, reduction="none")
        return soft_nearest_neighbor_loss(points, labels, t, distance=distance), each @ weights

    assert torch.autograd.gradcheck(loss, (x, temperature))


def test_the_temperature_alone_has_a_gradient(path):
    x, labels = draw(1)
    slopes = []
    for points in (x, x.detach()):
        temperature = torch.tensor([1.7], dtype=DOUBLE, requires_grad=True)
        soft_nearest_neighbor_loss(points, labels, temperature).backward()
        slopes.append(temperature.grad)
    assert slopes[0].shape == (1,)
    torch.testing.assert_close(*slopes, rtol=1e-12, atol=0)
    step = 1e-5
    up, down = (soft_nearest_neighbor_loss(x.detach(), labels, 1.7 + sign * step) for sign in (1, -1))
    assert slopes[0].item() == pytest.approx(((up - down) / (2 * step)).item(), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_gradient_has_the_type_of_the_points(path, dtype):
    x, labels = draw(2, dtype=dtype)
    found, gradient = value_and_gradient(x, labels)
    expected, exact = value_and_gradient(x.detach().double().requires_grad_(), labels)
    assert (found.dtype, gradient.dtype) == (torch.float32, dtype)
    eps = max(torch.finfo(dtype).eps, 1e-5)  # of float32, which it is computed in, many; of halves the last one
    assert found.item() == pytest.approx(expected.item(), rel=eps)
    torch.testing.assert_close(gradient.double(), exact, rtol=eps, atol=eps * exact.abs().max().item())


@pytest.mark.parametrize("dtype, temperature", [(DOUBLE, 1e-300), (DOUBLE, 1e-6), (torch.float32, 1e-34)])
def test_cold_is_the_nearest_neighbour(path, dtype, temperature):
    """T l -> max(0, distance to the own class - distance to the others), and so for the gradient."""
    x = torch.tensor([[0.0], [1.0], [1.5], [5.0], [50.0], [52.0]], dtype=dtype, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    loss, gradient = value_and_gradient(x, labels, temperature, reduction="sum")
    assert loss.item() * temperature == pytest.approx((1 - 0.25) + (12.25 - 0.25), rel=1e-5)
    # Of (x1 - x0)^2 - (x1 - x2)^2 + (x3 - x2)^2 - (x2 - x1)^2.
    expected = torch.tensor([-2.0, 2 + 1 + 1, -1 - 7 - 1, 7, 0, 0], dtype=dtype)
    torch.testing.assert_close(gradient[:, 0] * temperature, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("apart", [1e-3, 5.0, 21.0, 30.0, 300.0])
def test_no_digit_is_lost_on_the_way_from_mixed_to_apart(path, reference, apart):
    """Of losses near 0, and of those where exp(-loss) is next to nothing."""
    x = torch.tensor([[0.0], [1.0], [0.0], [1.0], [1.0]], dtype=DOUBLE) * apart**0.5
    for labels in (torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 1, 0, 1, 1])):
        found = soft_nearest_neighbor_loss(x, labels, 1.0, reduction="none")
        if labels[1] == 1:  # each point beside one of its class: log(1 + mass of the others)
            others_by_mates = torch.tensor([3, 1, 3, 1, 1], dtype=DOUBLE)
            expected = torch.log1p(others_by_mates * math.exp(-apart))
        else:
            expected = reference(x, labels, 1.0)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("temperature", [1e12, 1e30, math.inf])
def test_hot_counts_the_classes(path, temperature):
    x, _ = draw(3, 10, torch.float32)
    loss, gradient = value_and_gradient(x, torch.tensor([0] * 3 + [1] * 7), temperature)
    assert loss.item() == pytest.approx((3 * math.log(9 / 2) + 7 * math.log(9 / 6)) / 10, rel=1e-5)
    assert gradient.abs().max() < 1e-10


@pytest.mark.parametrize("cold", [1e-15, 1e-30, 1e-38])
def test_a_cold_temperature_that_does_not_count_has_a_gradient_of_0(path, cold):
    """Where 1 / T^2 overflows too."""
    x = torch.tensor([[0.0], [0.1], [9.0], [9.1]])
    temperature = torch.tensor(cold, requires_grad=True)
    loss = soft_nearest_neighbor_loss(x, torch.tensor([0, 0, 1, 1]), temperature)
    loss.backward()
    assert (loss.item(), temperature.grad.item()) == (0, 0)


@pytest.mark.parametrize("x", [torch.zeros(6, 2), torch.tensor([[0.0], [0.0], [1.0], [1.0], [2.0], [2.0]])])
def test_a_temperature_is_refused_or_gives_a_number(path, x):
    accepted = 0
    for temperature in (1e-37, 1e-38, 7e-39, 5e-39, 4e-39, 3e-39, 1e-40):
        try:
            loss, gradient = value_and_gradient(x.clone().requires_grad_(), torch.arange(6) // 2, temperature)
        except ValueError as error:
            assert "too small" in str(error)
            continue
        accepted += 1
        assert loss.isfinite()
        assert gradient.isfinite().all()
    assert accepted >= 2


@pytest.mark.parametrize("length", [1e-30, 1e-20, 1e-13, 1e-6, 1e10, 1e30])
def test_the_cosine_does_not_depend_on_lengths(path, length):
    x, labels = draw(4, dtype=torch.float32)
    expected, gradient = value_and_gradient(x, labels, 0.3, distance="cosine")
    moved = (x.detach() * length).requires_grad_()
    loss, found = value_and_gradient(moved, labels, 0.3, distance="cosine")
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(found * length, gradient, atol=1e-5, rtol=1e-4)


def test_a_point_at_the_origin_has_no_direction_to_move_in(path):
    x, labels = draw(5, dtype=torch.float32)
    x.data[0] = 0
    loss, gradient = value_and_gradient(x, labels, 0.3, distance="cosine")
    assert loss.isfinite()
    assert torch.equal(gradient[0], torch.zeros(4))
    assert gradient.abs().max() < 10


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_in_either_direction_changes_nothing(path, dtype):
    x, labels = draw(6, dtype=dtype)
    loss, gradient = value_and_gradient(x, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, back = value_and_gradient(x, labels)
        assert torch.is_autocast_enabled("cpu")
    assert torch.equal(found, loss)
    assert torch.equal(back, gradient)


def test_a_low_precision_of_products_changes_nothing_and_is_given_back(path, monkeypatch):
    x, labels = draw(7, dtype=torch.float32)
    loss, gradient = value_and_gradient(x, labels)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        settings = [getattr(owner, name) for owner, name, _ in distances.PRECISE]
        found, back = value_and_gradient(x, labels)
        assert torch.get_float32_matmul_precision() == "medium"
        assert [getattr(owner, name) for owner, name, _ in distances.PRECISE] == settings
        with pytest.raises(ValueError, match="stop"), distances.full_precision(x.device):
            raise ValueError("stop")
        assert [getattr(owner, name) for owner, name, _ in distances.PRECISE] == settings
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(found, loss)
    assert torch.equal(back, gradient)


def test_a_graph_that_is_kept_gives_the_same_again(path):
    x, labels = draw(8)
    loss = soft_nearest_neighbor_loss(x, labels, 2.0)
    first, second = (torch.autograd.grad(loss, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_points_that_change_after_the_loss_do_not_change_its_gradient(path):
    x, labels = draw(9)
    _, expected = value_and_gradient(x, labels)
    points = x * 1
    loss = soft_nearest_neighbor_loss(points, labels, 2.0)
    points.data.zero_()
    labels.zero_()
    torch.testing.assert_close(torch.autograd.grad(loss, points)[0], expected, atol=0, rtol=0)


@pytest.mark.parametrize("trained", [False, True])
def test_a_second_derivative_is_refused_not_forgotten(path, trained):
    """The gradient penalty of an objective that holds the loss and something else."""
    x, labels = draw(10)
    temperature = torch.tensor(2.0, dtype=DOUBLE, requires_grad=trained)
    objective = soft_nearest_neighbor_loss(x, labels, temperature) + x.pow(3).sum()
    for cause in [x, temperature] if trained else [x]:
        (gradient,) = torch.autograd.grad(objective, cause, create_graph=True)
        torch.testing.assert_close(gradient.detach(), torch.autograd.grad(objective, cause, retain_graph=True)[0])
        with pytest.raises(NotImplementedError, match="soft nearest neighbor loss has no second derivative"):
            torch.autograd.grad(gradient.square().sum(), x)
    weight = torch.ones((), dtype=DOUBLE, requires_grad=True)
    loss = weight * soft_nearest_neighbor_loss(x, labels, 2.0)
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(NotImplementedError, match="detach"):
        gradient.sum().backward()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_what_is_not_finite_shows_in_the_loss(path, bad):
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    x[3] = bad
    labels = torch.arange(40) % 3
    assert soft_nearest_neighbor_loss(x, labels, 5.0).isnan()
    assert SoftNearestNeighborLoss()(x, labels).isnan()


def test_a_gradient_from_above_that_is_not_a_number_stays_none(path):
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (soft_nearest_neighbor_loss(x, torch.arange(40) % 3, 5.0) * torch.nan).backward()
    assert x.grad.isnan().all()


def test_tiny_data_are_measured(path):
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(40) % 3
    whole = entanglement(x, labels)
    assert entanglement(x * 1e-18, labels).loss == pytest.approx(whole.loss, rel=1e-3)
    assert 0 <= entanglement(x * 1e-21, labels).score <= 1


@pytest.mark.parametrize("dtype, fits", [(torch.float32, 1e17), (DOUBLE, 1e70)])
def test_huge_data_are_measured_or_refused(path, dtype, fits):
    """All of float32 is measured; of float64, what has squares."""
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    labels = torch.arange(40) % 3
    expected = pytest.approx(entanglement(x, labels).loss, rel=1e-5)
    assert entanglement(x * fits, labels).loss == expected
    beyond = torch.finfo(dtype).max ** 0.5
    for length in (0.2 * beyond, beyond, 1e3 * beyond, 0.1 * torch.finfo(dtype).max):
        if dtype == torch.float32:
            assert entanglement(x * length, labels).loss == expected
            continue
        with pytest.raises(ValueError, match=f"too large for {dtype}: scale x down."):
            entanglement(x * length, labels)
    assert 0 <= entanglement(x * beyond, labels, distance="cosine").score <= 1


def test_a_graph_serves_one_backward(path):
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = soft_nearest_neighbor_loss(x, torch.arange(40) % 3, 5.0)
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()
