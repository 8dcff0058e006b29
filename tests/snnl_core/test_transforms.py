"""torch.func's transforms and forward mode: the same values and derivatives, or a line that says what to do."""

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, grad, grad_and_value, hessian, jacfwd, jacrev, jvp, vmap

from snnl_core import DeepKNN, SoftNearestNeighborLoss, entanglement, nearest_neighbors
from snnl_core import soft_nearest_neighbor_loss as snnl

DOUBLE = torch.float64
LABELS = torch.tensor([9, *[0, 1, 2] * 4])
searched = pytest.mark.skipif(
    torch.__version__ < (2, 10), reason="torch gives no values of what a transform is at work on"
)
minimize = pytest.param("minimize", marks=searched)


def draw(seed=0, dtype=DOUBLE):
    x = torch.randn(13, 3, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    return (x + 0.8 * torch.eye(10, 3, dtype=DOUBLE)[LABELS]).to(dtype)


def gradient(loss, x):
    """As autograd has it."""
    x = x.clone().requires_grad_()
    return torch.autograd.grad(loss(x), x)[0]


def differences(function, x, step=1e-5):
    """The derivative of a function by each entry of x, last, from differences."""
    steps = step * torch.eye(x.numel(), dtype=DOUBLE).view(-1, *x.shape)
    found = [(function(x + each) - function(x - each)) / (2 * step) for each in steps]
    return torch.stack(found, -1).unflatten(-1, x.shape)


@pytest.fixture(params=[1e-3, 1.3, float("inf"), minimize, "learn"])
def loss(request):
    """At a fixed, the best and a learned temperature."""
    module = SoftNearestNeighborLoss(request.param).double()
    return lambda x: module(x, LABELS)


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_values_are_those_of_the_loss(distance, reduction):
    settings = {"distance": distance, "reduction": reduction}
    x = torch.stack([draw(0), draw(1)])
    for temperature in (1e-6, 0.7, float("inf")):
        found = vmap(lambda points, t=temperature: snnl(points, LABELS, t, **settings))(x)
        expected = torch.stack([snnl(points, LABELS, temperature, **settings) for points in x])
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_gradients_are_those_of_autograd(loss):
    x = draw()
    expected = gradient(loss, x)
    torch.testing.assert_close(grad(loss)(x), expected, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(jacrev(loss)(x), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_directional_derivatives_are_those_of_autograd(loss):
    x, direction = draw(), draw(1)
    expected = (gradient(loss, x) * direction).sum()
    value, found = jvp(loss, (x,), (direction,))
    torch.testing.assert_close(value, loss(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(loss(forward_ad.make_dual(x, direction))).tangent
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("temperature", [1.3, minimize])
def test_second_derivatives_are_those_of_differences(temperature):
    """Those of the minimum too, whose temperature moves with the points."""
    module = SoftNearestNeighborLoss(temperature)
    found = hessian(lambda x: module(x, LABELS))(draw())
    expected = differences(lambda x: gradient(lambda points: module(points, LABELS), x), draw())
    assert module.at_limit["cold"] == module.at_limit["hot"] == 0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_each_point_of_each_set_has_its_derivatives():
    def each(x):
        return snnl(x, LABELS, 1.3, reduction="none")

    expected = differences(each, draw())
    for jacobian in (jacrev, jacfwd):
        torch.testing.assert_close(jacobian(each)(draw()), expected, rtol=1e-5, atol=1e-8)
    sets = torch.stack([draw(0), draw(1)])
    found = vmap(grad(lambda x: each(x).sum()))(sets)
    torch.testing.assert_close(found, torch.stack([gradient(lambda x: each(x).sum(), x) for x in sets]))


def test_temperatures_have_derivatives_and_may_be_many():
    x, temperatures = draw(), torch.tensor([0.5, 1.0, 4.0], dtype=DOUBLE)
    found = vmap(grad(lambda t: snnl(x, LABELS, t)))(temperatures)
    expected = torch.stack([gradient(lambda t: snnl(x, LABELS, t), each) for each in temperatures])
    torch.testing.assert_close(found, expected)
    module = SoftNearestNeighborLoss("learn").double()
    parameters = dict(module.named_parameters())
    (found,) = grad(lambda own: functional_call(module, own, (x, LABELS)))(parameters).values()
    module(x, LABELS).backward()
    torch.testing.assert_close(found.detach(), module.log_beta.grad)


def test_float32_and_halves_are_computed_in_float32():
    for dtype in (torch.float32, torch.bfloat16):
        x = draw(dtype=dtype)
        found, value = torch.func.grad_and_value(lambda points: snnl(points, LABELS, 2.0))(x)
        assert (value.dtype, found.dtype) == (torch.float32, dtype)
        assert value.item() == pytest.approx(snnl(x.double(), LABELS, 2.0).item(), rel=1e-5)


def test_copies_and_lone_points_have_finite_derivatives():
    x, labels = torch.zeros(5, 2, dtype=DOUBLE), torch.tensor([0, 0, 1, 1, 2])
    for classes in (labels, torch.zeros_like(labels), torch.arange(5)):
        assert hessian(lambda points, y=classes: snnl(points, y))(x).isfinite().all()
    assert grad(lambda points: snnl(points, torch.arange(5)))(x).abs().max() == 0


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: vmap(lambda x: SoftNearestNeighborLoss()(x, LABELS))(draw()[None]), "vmap does not reach"),
        (lambda: grad(lambda x: snnl(x, torch.arange(1025) % 2))(torch.zeros(1025, 1)), "take 1024 points, not 1025"),
        (
            lambda: grad(lambda x: SoftNearestNeighborLoss()(x, torch.arange(1025) % 2))(torch.arange(1025.0)[:, None]),
            "take 1024 points",
        ),
        (lambda: vmap(lambda x: entanglement(x, LABELS).per_sample)(draw()[None]), "do not reach into a measurement"),
        (lambda: vmap(lambda x: nearest_neighbors(x, x, 1)[0])(draw()[None]), "search for each set by itself"),
        (lambda: vmap(lambda x: DeepKNN(1).fit({"a": x}, LABELS).classes)(draw()[None]), "a search for neighbours"),
    ],
)
def test_what_is_not_served_says_what_to_do(call, words):
    with pytest.raises(RuntimeError, match=words) as refused:
        call()
    assert "\n" not in str(refused.value)


@searched
@pytest.mark.parametrize("scale", [1e-21, 1e-20, 1e-19, 1.0])
def test_the_minimum_of_points_whose_squares_are_too_small_for_float32(scale):
    """It is that of the points at their usual size, with the gradient of that over the scale."""
    module = SoftNearestNeighborLoss()
    x = draw(dtype=torch.float32)
    wanted, slope = module(x, LABELS), gradient(lambda x: module(x, LABELS), x)
    small = (scale * x).requires_grad_()
    plainly = module(small, LABELS)
    plainly.backward()
    found, value = grad_and_value(lambda x: module(x, LABELS))(small.detach())
    assert plainly.item() == pytest.approx(wanted.item(), rel=1e-4) == pytest.approx(value.item(), rel=1e-4)
    for each in (small.grad, found):
        torch.testing.assert_close(scale * each, slope, rtol=1e-3, atol=1e-4)
