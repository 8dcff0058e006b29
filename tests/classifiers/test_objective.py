"""Equation (3): its value, its gradients, and what is told of the search for the temperature."""

import math

import pytest
import torch
from torch.nn import functional as F

from classifiers._objective import Objective
from snnl_core import entanglement, soft_nearest_neighbor_loss

LABELS = torch.arange(24) % 3


def network_output(seed=0):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(24, 3, generator=draw).requires_grad_()
    maps = torch.randn(24, 4, 3, 3, generator=draw) + LABELS[:, None, None, None] / 2
    maps = maps.to(memory_format=torch.channels_last).requires_grad_()
    flat = torch.randn(24, 5, generator=draw)
    flat = (flat + LABELS[:, None]).requires_grad_()
    return logits, {"maps": maps, "flat": flat, "other": torch.randn(24, 2, generator=draw).requires_grad_()}


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize("temperature", ["minimize", 3.0])
@pytest.mark.parametrize("alpha", [-0.1, 0.5])
def test_it_is_the_cross_entropy_plus_alpha_times_each_layers_loss(alpha, temperature, distance):
    logits, features = network_output()
    loss, logs = Objective(alpha, ("maps", "flat"), temperature, distance)(logits, features, LABELS)
    expected, told = F.cross_entropy(logits, LABELS), {}
    for layer in ("maps", "flat"):
        x = features[layer].contiguous()
        best = entanglement(x.detach(), LABELS, distance=distance).temperature if temperature == "minimize" else 3.0
        told[layer] = soft_nearest_neighbor_loss(x, LABELS, best, distance=distance)
        expected = expected + alpha * told[layer]
        assert logs["temperature", layer].item() == pytest.approx(best, rel=1e-3)
        assert logs["snnl", layer].item() == pytest.approx(told[layer].item(), rel=1e-5)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    found = torch.autograd.grad(loss, [logits, features["maps"], features["flat"]])
    wanted = torch.autograd.grad(expected, [logits, features["maps"], features["flat"]])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-5)


def test_without_layers_it_is_the_cross_entropy_bit_for_bit():
    logits, features = network_output()
    loss, logs = Objective()(logits, features, LABELS)
    assert loss.equal(F.cross_entropy(logits, LABELS))
    assert logs.keys() == {("cross_entropy", "")} and not list(Objective().parameters())


def test_halves_are_computed_in_float32():
    logits, features = network_output()
    halves = {name: x.detach().bfloat16() for name, x in features.items()}
    _, logs = Objective(1.0, ("maps",))(logits, halves, LABELS)
    expected = entanglement(halves["maps"].float(), LABELS).loss
    assert logs["snnl", "maps"].dtype == torch.float32
    assert logs["snnl", "maps"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("alpha", [-0.02, 0.02, 3.0])
def test_a_learned_temperature_descends_on_the_loss_itself(alpha):
    logits, features = network_output()
    objective = Objective(alpha, ("maps", "flat"), "learn")
    objective.start(features, LABELS)
    for parameter in objective.parameters():
        parameter.data += 0.5
    objective(logits, features, LABELS)[0].backward()
    for parameter, layer in zip(objective.parameters(), ("maps", "flat"), strict=True):
        log_beta = parameter.detach().clone().requires_grad_()
        soft_nearest_neighbor_loss(features[layer].detach(), LABELS, (-log_beta).exp()).backward()
        assert parameter.grad.item() == pytest.approx(log_beta.grad.item(), rel=1e-3)
        assert parameter.grad > 0, "it was moved beyond the best one"


def test_learned_temperatures_start_from_the_best_ones():
    _, features = network_output()
    objective = Objective(1.0, ("maps", "flat"), "learn")
    objective.start(features, LABELS)
    best = [entanglement(features[layer].detach(), LABELS).temperature for layer in ("maps", "flat")]
    assert [math.exp(-p.item()) for p in objective.parameters()] == pytest.approx(best, rel=1e-3)


CLASSES = torch.eye(3)[LABELS]


@pytest.mark.parametrize(
    "points, vanished",
    [
        (100 * CLASSES + 0.01 * torch.randn(24, 3, generator=torch.Generator().manual_seed(0)), 1.0),
        (torch.ones(24, 3), 1.0),
        (CLASSES + torch.randn(24, 3, generator=torch.Generator().manual_seed(0)), 0.0),
    ],
    ids=["apart", "coinciding", "mixed"],
)
def test_it_tells_when_the_search_ends_at_a_limit(points, vanished):
    logits, _ = network_output()
    objective = Objective(-1.0, ("x",))
    for _ in range(2):
        _, logs = objective(logits, {"x": points}, LABELS)
        assert logs["vanished_gradient", "x"] == vanished and logs["no_repeat", ""] == 0
    assert (entanglement(points, LABELS).at_limit == "none") == (vanished == 0)


def test_a_batch_in_which_no_class_repeats_has_no_snnl_and_is_counted():
    logits, features = network_output()
    x = features["flat"][:3]
    loss, logs = Objective(-1.0, ("x",))(logits[:3], {"x": x}, torch.arange(3))
    assert logs["no_repeat", ""] == 1 and logs["snnl", "x"] == 0 and logs["vanished_gradient", "x"] == 0
    assert logs["temperature", "x"].isnan()
    assert loss.equal(F.cross_entropy(logits[:3], torch.arange(3)))
    (gradient,) = torch.autograd.grad(loss, features["flat"])
    assert not gradient.any()


def test_a_batch_of_one_class_has_no_gradient_and_is_counted():
    logits, features = network_output()
    labels = torch.zeros(len(logits), dtype=torch.int64)
    _, logs = Objective(-1.0, ("x",))(logits, {"x": features["flat"]}, labels)
    assert logs["snnl", "x"] == 0 and logs["vanished_gradient", "x"] == 1 and logs["no_repeat", ""] == 0
