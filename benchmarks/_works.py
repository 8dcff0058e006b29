"""What of the engine is timed, by name: made with whatever `snnl_core` is found first, this folder's or another's."""

from collections.abc import Callable
from functools import partial

import torch
from _losses import backward, mixture
from torch import nn
from torch.nn import functional as F


def points(n, d):
    """Points without structure (n, d), to be differentiated by, their labels, and a temperature."""
    return torch.randn(n, d).requires_grad_(), torch.randint(10, (n,)), 2.0 * d


def loss(n, d):
    """The loss alone, at one temperature."""
    from snnl_core import soft_nearest_neighbor_loss as snnl

    x, labels, temperature = points(n, d)
    return torch.no_grad()(partial(snnl, x, labels, temperature))


def gradient(n, d):
    """The loss and its gradient, at one temperature."""
    from snnl_core import soft_nearest_neighbor_loss as snnl

    return partial(backward, snnl, *points(n, d))


def changing_gradient(n, d):
    """The same, of classes of other sizes each time, as batches have them."""
    from snnl_core import soft_nearest_neighbor_loss as snnl

    x, _, temperature = points(n, d)
    return lambda: backward(snnl, x, torch.randint(10, (n,)), temperature)


def minimum_gradient(n, d):
    """The loss and its gradient at the best temperature of a batch."""
    from snnl_core import SoftNearestNeighborLoss

    x, labels = mixture(n, d)
    return partial(backward, SoftNearestNeighborLoss("minimize"), x.requires_grad_(), labels)


def minimum(n, d):
    """The minimum over the temperature of a large set."""
    from snnl_core.pairs import all_pairs
    from snnl_core.temperature import minimize

    x, labels = mixture(n, d)
    everyone = torch.zeros(1, n, dtype=torch.int64)
    return lambda: minimize(all_pairs(x, labels), everyone, 1)


def measurement(n, d):
    """All that is measured of a set."""
    from snnl_core import entanglement

    return partial(entanglement, *mixture(n, d))


def neighbors(q, n, d, k):
    """The nearest neighbours of queries among points."""
    from snnl_core import nearest_neighbors

    return partial(nearest_neighbors, torch.randn(q, d), torch.randn(n, d), k)


def nearest(n, d):
    """The nearest other point of each point."""
    from snnl_core import nearest_neighbors

    x = torch.randn(n, d)
    return partial(nearest_neighbors, x, x, 1, exclude_self=True)


class Network(nn.Module):
    """The pinned small CNN: four hidden layers and ten logits."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(1, 64, 5, 2, 2), nn.Conv2d(64, 128, 5, 2, 2)])
        self.hidden = nn.ModuleList([nn.Linear(6272, 256), nn.Linear(256, 128)])
        self.head = nn.Linear(128, 10)

    def forward(self, x):
        features = []
        for layer in (*self.convs, *self.hidden):
            x = layer(x.flatten(1) if isinstance(layer, nn.Linear) else x).relu()
            features.append(x)
        return self.head(x), features


def step(penalty, precision):
    """A training step of the small CNN with a penalty on all hidden layers: the loss, `dense`, or none."""
    from _losses import dense

    from snnl_core import SoftNearestNeighborLoss

    model, images, labels = Network(), torch.rand(256, 1, 28, 28), torch.randint(10, (256,))
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    best = SoftNearestNeighborLoss("minimize")
    of = {"snnl": lambda x: best(x, labels), "dense": lambda x: dense(x.flatten(1).float(), labels, 100.0)}.get(penalty)
    device = next(model.parameters()).device.type

    def take():
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            logits, features = model(images)
        total = F.cross_entropy(logits.float(), labels)
        if of is not None:
            total = total - 0.1 * sum(of(layer) for layer in features)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    return take


TIMED = loss, gradient, changing_gradient, minimum_gradient, minimum, measurement, neighbors, nearest, step
WORKS = {work.__name__: work for work in TIMED}


def made(name, *arguments) -> Callable[[], object]:
    """A work of so many points, on torch's default device."""
    torch.manual_seed(0)
    return WORKS[name](*arguments)
