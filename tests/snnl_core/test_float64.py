"""A GPU without float64, as Apple's: the loss trains there, and what is measured comes from the processor."""

from unittest.mock import Mock

import pytest
import torch
from pretended import GPU, pretended_gpu

from snnl_core import (
    DeepKNN,
    EntanglementMonitor,
    SoftNearestNeighborLoss,
    entanglement,
    float64,
    nearest_neighbors,
    pairs,
)

N = 90
LABELS = torch.arange(N) % 3
X = torch.randn(N, 5, generator=torch.Generator().manual_seed(0)) + torch.eye(3, 5)[LABELS]


@pytest.fixture
def gpu():
    float64._has_float64.cache_clear()
    with pretended_gpu(missing={torch.float64}):
        yield GPU
    float64._has_float64.cache_clear()


def test_it_has_none(gpu):
    with pytest.raises(TypeError, match=r"no torch\.float64"):
        X.to(gpu).double()
    with pytest.raises(TypeError, match=r"no torch\.float64"):
        torch.zeros(1, dtype=torch.float64, device=gpu)


def test_a_gpu_whose_memory_is_full_is_not_taken_for_one_without(monkeypatch):
    monkeypatch.setattr(torch, "zeros", Mock(side_effect=torch.OutOfMemoryError("CUDA out of memory.")))
    assert float64._has_float64.__wrapped__(torch.device("cuda"))


def test_rounding_is_told_of_there(gpu):
    x = X.clone()
    x[0] *= 1e6
    with pytest.warns(UserWarning, match=r"torch\.float32 cannot hold the distances of this batch"):
        SoftNearestNeighborLoss("minimize")(x.to(gpu), LABELS.to(gpu))


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize("temperature", ["minimize", "learn", 2.0])
@pytest.mark.parametrize("small", [N, 0])
def test_the_loss_trains_there(gpu, monkeypatch, distance, temperature, small):
    monkeypatch.setattr(pairs, "SMALL", small)
    trained = []
    for device in ("cpu", gpu):
        module = SoftNearestNeighborLoss(temperature, distance=distance).to(device)
        x = X.clone().to(device).requires_grad_()
        loss = module(x, LABELS.to(device))
        loss.backward()
        assert loss.device.type == x.grad.device.type == torch.device(device).type
        trained.append((loss.item(), x.grad.cpu()))
    assert trained[1][0] == pytest.approx(trained[0][0], rel=1e-5)
    torch.testing.assert_close(trained[1][1], trained[0][1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 2.0**-70])
def test_an_entanglement_is_measured_on_the_processor(gpu, factor):
    found = entanglement(X.to(gpu) * factor, LABELS.to(gpu), groups=LABELS.to(gpu) - 1)
    assert found.per_sample.device.type == "cpu"
    assert found.loss == entanglement(X * factor, LABELS, groups=LABELS - 1).loss
    far = X.clone()
    far[0] *= 1e5
    assert entanglement(far.to(gpu), LABELS.to(gpu)).loss == entanglement(far, LABELS).loss


def test_layers_of_a_loop_are_measured(gpu):
    losses = []
    for device in ("cpu", gpu):
        monitor = EntanglementMonitor()
        monitor.update({"a": X.to(device)}, LABELS.to(device))
        losses.append(monitor.compute()["a"].loss)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("factor", [1.0, 2.0**-70])
def test_neighbours_are_found_by_the_processor(gpu, factor):
    found = nearest_neighbors(X.to(gpu) * factor, X.to(gpu) * factor, 4, exclude_self=True)
    expected = nearest_neighbors(X * factor, X * factor, 4, exclude_self=True)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("mode", ["valid", "smoothed"])
def test_neighbours_tell_p_values(gpu, mode):
    predictions = []
    for device in ("cpu", gpu):
        layers, labels, logits = {"a": X.to(device)}, LABELS.to(device), X[60:, :3].to(device)
        parts = [({"a": layers["a"][rows]}, labels[rows]) for rows in (slice(0, 40), slice(40, 60))]
        model = DeepKNN(k=5, mode=mode).fit(*parts[0]).calibrate(*parts[1])
        predictions.append(model.predict({"a": X[60:].to(device)}, logits=logits, generator=torch.Generator()))
    for name in ("p_values", "labels", "credibility"):
        assert torch.equal(*(getattr(each, name).cpu() for each in predictions))
