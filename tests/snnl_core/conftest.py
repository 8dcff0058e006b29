"""The engine's ways of working, and a naive loss to hold each of them to."""

import math

import pytest
import torch

from snnl_core import kernel, pairs, tiles


@pytest.fixture(params=["direct", "tiles", "kernel"])
def path(request, monkeypatch):
    """Each way of working, whatever the number of points; the kernel's wherever it has room."""
    monkeypatch.setattr(pairs, "SMALL", 1000 if request.param == "direct" else 0)
    monkeypatch.setattr(tiles, "ROWS", 8)
    monkeypatch.setattr(tiles, "ENTRIES", 8 * 9)
    monkeypatch.setattr(tiles, "PANEL", 8 * 20)
    monkeypatch.setattr(tiles, "NARROWEST", 9)
    if request.param == "tiles":
        monkeypatch.setattr(kernel, "ROOM", {torch.float32: -1.0, torch.float64: -1.0})
    return request.param


@pytest.fixture(scope="session")
def reference():
    """Equation (1) in float64 from all pairs' differences: (n,), 0 for an anchor that is alone in its class."""

    def losses(x, labels, temperature, distance="sqeuclidean"):
        x, labels = x.double().reshape(len(x), -1), labels.long()
        if distance == "cosine":
            x = x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
        apart = (x[:, None] - x).square().sum(2) / (2 if distance == "cosine" else 1)
        myself = torch.eye(len(x), dtype=torch.bool)
        own = (labels[:, None] == labels) & ~myself
        valid = own.any(1)
        beta = 1 / temperature
        everyone = (-apart * beta).masked_fill(myself, -math.inf).logsumexp(1)
        # An anchor without others of its class takes any, so that no gradient is NaN.
        same = (-apart * beta).masked_fill(~torch.where(valid[:, None], own, ~myself), -math.inf).logsumexp(1)
        return torch.where(valid, everyone - same, 0.0)

    return losses
