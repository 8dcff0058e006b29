"""The loss as a module: its three kinds of temperature, in training, and on its way to a file and back."""

import copy
import gc
import io
import math
import pickle
from contextlib import contextmanager
from functools import cache

import pytest
import torch
from torch import nn

from snnl_core import SoftNearestNeighborLoss, entanglement, soft_nearest_neighbor_loss

DOUBLE = torch.float64


def overlapping(dtype=DOUBLE):
    """Three classes whose best temperature is neither end of the search; (30, 4) and (30,)."""
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.randn(30, 4, generator=generator, dtype=DOUBLE), torch.arange(30) % 3
    return (x + 0.8 * labels[:, None]).to(dtype), labels


def finite_differences(function, x, step):
    """The gradient of a scalar function at x (n, d)."""
    gradient = torch.empty_like(x)
    for i in range(x.numel()):
        change = torch.zeros(x.numel(), dtype=x.dtype)
        change[i] = step
        change = change.view_as(x)
        gradient.view(-1)[i] = (function(x + change) - function(x - change)) / (2 * step)
    return gradient


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize("temperature", [0.7, math.inf])
def test_fixed_is_the_function(path, temperature, distance):
    x, labels = overlapping()
    module = SoftNearestNeighborLoss(temperature, distance)
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, expected = module(one, labels), soft_nearest_neighbor_loss(other, labels, temperature, distance=distance)
    found.backward(), expected.backward()
    assert torch.equal(found, expected)
    assert torch.equal(one.grad, other.grad)
    assert module.last_temperature == pytest.approx(temperature)
    assert not list(module.parameters())
    assert not module.state_dict()
    assert module.at_limit == {"none": 0, "cold": 0, "hot": 0}


def with_one_alone():
    """The same, with a class of one point; and three points, that one among them."""
    x, labels = overlapping()
    labels[4] = 8
    return x, labels, slice(3, 6)


@cache
def differences_of_minima(distance):
    """Differences of minima over the temperature, each found anew, by moving those three; once for all ways."""
    x, labels, some = with_one_alone()

    def least(part):
        return entanglement(torch.cat([x[: some.start], part, x[some.stop :]]), labels, distance=distance).loss

    return finite_differences(least, x[some], 1e-3)


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
def test_minimize_has_the_gradient_of_the_minimum(path, distance):
    """The envelope theorem against differences of minima."""
    x, labels, some = with_one_alone()
    module = SoftNearestNeighborLoss("minimize", distance)
    points = x.clone().requires_grad_()
    loss = module(points, labels)
    loss.backward()
    measured = entanglement(x, labels, distance=distance)
    assert loss.item() == pytest.approx(measured.loss, rel=1e-9)
    assert module.last_temperature == pytest.approx(measured.temperature, rel=1e-6)
    assert module.at_limit == {"none": 1, "cold": 0, "hot": 0}
    torch.testing.assert_close(points.grad[some], differences_of_minima(distance), atol=2e-6, rtol=1e-3)


@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32, torch.bfloat16])
def test_minimize_counts_at_which_end_it_was(path, dtype):
    x, labels = overlapping(dtype)
    module = SoftNearestNeighborLoss()
    for points, end in [
        (x + 100 * labels[:, None], "cold"),
        (torch.ones_like(x), "hot"),  # collapsed
        (x.repeat_interleave(3, 0)[:30], "hot"),  # each point in every class
        (x, "none"),
    ]:
        points = points.to(dtype).requires_grad_()
        before = module.at_limit[end]
        loss = module(points, labels)
        loss.backward()
        assert loss.dtype == (DOUBLE if dtype == DOUBLE else torch.float32)
        assert module.at_limit[end] == before + 1
        if end == "none":
            assert 0.1 < module.last_temperature < 100
            assert points.grad.abs().max() > 1e-3
        else:
            assert (module.last_temperature == math.inf) == (end == "hot")
            assert torch.equal(points.grad, torch.zeros_like(points))
    assert module.at_limit == {"none": 1, "cold": 1, "hot": 2}


@pytest.mark.parametrize("temperature", ["minimize", "learn", 2.0])
@pytest.mark.parametrize("labels", [torch.arange(9), torch.zeros(9, dtype=torch.int64)])
def test_a_batch_that_says_nothing_gives_a_differentiable_0(path, temperature, labels):
    x = torch.randn(9, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = SoftNearestNeighborLoss(temperature)(x, labels)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("start", [0.5, 30.0])
def test_learn_has_the_gradient_of_the_logarithm(path, start):
    x, labels = overlapping()
    module = SoftNearestNeighborLoss("learn", start=start).double()
    points = x.clone().requires_grad_()
    loss = module(points, labels)
    loss.backward()
    used = module.last_temperature
    assert used == pytest.approx(start, rel=1e-6)
    assert loss.item() == pytest.approx(soft_nearest_neighbor_loss(x, labels, used).item(), rel=1e-12)
    step = 1e-4
    up, down = (soft_nearest_neighbor_loss(x, labels, used * math.exp(-sign * step)).item() for sign in (1, -1))
    assert module.log_beta.grad.item() == pytest.approx((up - down) / (2 * step), rel=1e-6)
    plain = x.clone().requires_grad_()
    soft_nearest_neighbor_loss(plain, labels, used).backward()
    torch.testing.assert_close(points.grad, plain.grad)


@contextmanager
def default_dtype(dtype):
    """What torch makes numbers in where nothing else is asked for."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("temperature", [1e-5, 1e30])
def test_every_default_dtype_has_the_temperatures_of_float32(dtype, temperature):
    """In which points of half precision are computed with, too."""
    with default_dtype(dtype):
        module = SoftNearestNeighborLoss(temperature)
    x, labels = overlapping(torch.float32)
    assert torch.equal(module(x, labels), soft_nearest_neighbor_loss(x, labels, temperature))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("start", [1e-5, 1e30])
def test_learn_starts_where_it_should_in_every_default_dtype(dtype, start):
    """Its logarithm is a number of half precision where the inverse of the temperature is none."""
    with default_dtype(dtype):
        module = SoftNearestNeighborLoss("learn", start=start)
    assert module.log_beta.dtype == dtype
    assert module.log_beta.item() == pytest.approx(-math.log(start), rel=1e-3)
    assert module(*overlapping()).isfinite()


def test_learn_finds_the_minimum():
    x, labels = overlapping(torch.float32)
    module = SoftNearestNeighborLoss("learn", start=50.0)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        loss = module(x, labels)  # the points need no gradient
        loss.backward()
        optimizer.step()
    found = entanglement(x, labels)
    assert loss.item() == pytest.approx(found.loss, abs=1e-5)
    assert module.last_temperature == pytest.approx(found.temperature, rel=0.02)


def test_learn_is_restored_from_its_state():
    x, labels = overlapping(torch.float32)
    module, fresh = SoftNearestNeighborLoss("learn", start=3.0), SoftNearestNeighborLoss("learn")
    assert list(module.state_dict()) == ["log_beta"]
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(fresh(x, labels), module(x, labels))
    assert fresh.last_temperature == pytest.approx(3.0)


@pytest.mark.parametrize("temperature", [2.0, "minimize", "learn"])
@pytest.mark.parametrize("again", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_a_copy_is_the_same_and_its_own(temperature, again):
    x, labels = overlapping()
    module = SoftNearestNeighborLoss(temperature, "cosine", start=4.0)
    expected = module(x, labels)
    other = again(module)
    assert other.last_temperature == module.last_temperature
    assert torch.equal(other(x, labels), expected)
    assert repr(other) == repr(module)
    assert sum(module.at_limit.values()) == (temperature == "minimize")
    assert sum(other.at_limit.values()) == 2 * (temperature == "minimize")
    if temperature == "learn":
        other.log_beta.data.zero_()
        assert module.last_temperature == pytest.approx(4.0)
        assert torch.equal(module(x, labels), expected)


def test_its_text_names_the_settings():
    assert "temperature=2.5, distance='cosine', gather=True" in repr(SoftNearestNeighborLoss(2.5, "cosine", True))
    assert "temperature='minimize', distance='sqeuclidean', gather=False" in repr(SoftNearestNeighborLoss())


@pytest.mark.parametrize("temperature", [20.0, "minimize", "learn"])
@pytest.mark.parametrize("sign", [1, -1])
def test_training_moves_the_entanglement_of_a_layer(temperature, sign):
    """Down with a positive weight, up with a negative one."""
    torch.manual_seed(0)
    x, labels = overlapping(torch.float32)
    network = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 4))
    criterion = SoftNearestNeighborLoss(temperature, start=20.0)
    optimizer = torch.optim.Adam([*network.parameters(), *criterion.parameters()], lr=0.01)
    before = entanglement(network(x), labels).score
    for _ in range(40):
        optimizer.zero_grad()
        loss = sign * criterion(network(x), labels)
        loss.backward()
        assert all(p.grad.isfinite().all() for p in network.parameters())
        optimizer.step()
    after = entanglement(network(x), labels).score
    assert after < 0.8 * before if sign > 0 else after > min(1.05 * before, 0.99)


def test_gather_without_other_processes_changes_nothing():
    x, labels = overlapping()
    assert torch.equal(SoftNearestNeighborLoss(1.0, gather=True)(x, labels), SoftNearestNeighborLoss(1.0)(x, labels))
    with pytest.raises(ValueError, match="at least two points"):
        SoftNearestNeighborLoss(1.0, gather=True)(x[:1], labels[:1])


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, 1e-45, "best"])
def test_impossible_temperatures_are_refused(temperature):
    with pytest.raises(ValueError, match="temperature"):
        SoftNearestNeighborLoss(temperature)
    if temperature != "best":
        with pytest.raises(ValueError, match="temperature"):
            SoftNearestNeighborLoss("learn", start=temperature)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, 1e-45, "best", None])
def test_a_temperature_that_is_set_later_is_checked_too(temperature):
    """An unknown word was taken for the best temperature, and a number did nothing to a learned one."""
    x, labels = overlapping()
    module = SoftNearestNeighborLoss(2.0)
    with pytest.raises((TypeError, ValueError), match="temperature"):
        module.temperature = temperature
    assert module.temperature == 2.0
    for word in ("minimize", 3.0):
        module.temperature = word
        assert torch.equal(module(x, labels), SoftNearestNeighborLoss(word)(x, labels))


@pytest.mark.parametrize("before, after", [("learn", 2.0), ("learn", "minimize"), (2.0, "learn")])
def test_what_is_learned_is_settled_when_the_module_is_made(before, after):
    module = SoftNearestNeighborLoss(before)
    module.temperature = before
    with pytest.raises(ValueError, match="make another module"):
        module.temperature = after
    assert module.temperature == before


def places(tensors):
    """Where in memory they lie."""
    return {each.untyped_storage().data_ptr() for each in tensors}


def alive():
    """The places of all tensors that something holds."""
    tensors = [each for each in gc.get_objects() if type(each) is torch.Tensor]
    return places(each for each in tensors if each.layout is torch.strided and each.device.type == "cpu")


@pytest.mark.parametrize("temperature", [2.0, "minimize", "learn"])
def test_a_loss_that_is_kept_keeps_no_more_than_its_value_once_it_was_differentiated(path, temperature):
    """As those of a whole epoch are, for their mean: the pairs of every batch would stay in memory with them."""
    x, labels = overlapping(torch.float32)
    points, module = x.requires_grad_(), SoftNearestNeighborLoss(temperature)
    module(points, labels)
    before = alive()
    loss = module(points, labels)
    loss.backward()
    assert alive() - before <= places([loss, points.grad, *(own.grad for own in module.parameters())])
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_what_is_kept_for_the_gradient_goes_through_the_hooks_of_the_caller(path):
    """Such as those that keep it elsewhere until it is asked for."""
    x, labels = overlapping()
    points, packed = x.requires_grad_(), []

    def pack(each):
        packed.append(each)
        return len(packed) - 1

    expected = torch.autograd.grad(soft_nearest_neighbor_loss(points, labels, 2.0), points)[0]
    with torch.autograd.graph.saved_tensors_hooks(pack, packed.__getitem__):
        before = alive()
        loss = soft_nearest_neighbor_loss(points, labels, 2.0)
    assert alive() - before - places(packed) == places([loss])
    assert torch.equal(torch.autograd.grad(loss, points)[0], expected)
