"""A default device: draws and generators name the processor, so that all goes on as without."""

import pytest
import torch

from snnl_core import DeepKNN, EntanglementMonitor, SoftNearestNeighborLoss, entanglement, nearest_neighbors
from snnl_core import soft_nearest_neighbor_loss as snnl

X = torch.randn(1100, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(1100) % 3


def losses(n):
    x, labels = X[:n].clone().requires_grad_(), LABELS[:n]
    for temperature in ("minimize", 2.0):
        SoftNearestNeighborLoss(temperature)(x, labels).backward()
    return [x.grad, snnl(x, labels, 2.0, distance="cosine", reduction="none").detach()]


def measurements(n):
    x, labels = X[:n], LABELS[:n]
    found = entanglement(x, labels, anchors=50, groups=labels)
    again = entanglement(torch.cat([x, 1e7 * x[:, :1].sign()], 1), labels)  # in float64
    return [found.per_sample, found.class_pairs, again.per_sample]


def monitored(n):
    monitor = EntanglementMonitor(50)
    for _ in range(2):
        monitor.update({"a": X[:n]}, LABELS[:n])
    return [monitor.compute()["a"].per_sample]


def neighbours(n):
    knn = DeepKNN(5, mode="smoothed").fit({"a": X[n // 2 : n]}, LABELS[n // 2 : n])
    knn.calibrate({"a": X[: n // 4]}, LABELS[: n // 4])
    found = knn.predict({"a": X[n // 4 : n // 2]}, generator=torch.Generator().manual_seed(0))
    return [found.p_values, *nearest_neighbors(X[:n], X[:n], 3, exclude_self=True)]


@pytest.mark.filterwarnings("ignore:float64 cannot hold the distances")
@pytest.mark.parametrize("work", [losses, measurements, monitored, neighbours])
@pytest.mark.parametrize("n", [120, 1100])
def test_a_default_device_changes_nothing(work, n):
    expected = work(n)
    with torch.device("meta"):
        found = work(n)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
