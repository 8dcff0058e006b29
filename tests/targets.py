"""Networks to attack: small, in float64 so that the sign of a gradient is no matter of rounding."""

import warnings
from functools import cache

import torch
from torch import nn

from attacks._target import Target
from snnl_core import DeepKNN

CLASSES, SIZE = 3, 6


class Net(nn.Module):
    """Images in [-1, 1] -> logits and hidden layers; what training and evaluation tell apart is in it."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.Dropout(0.5)
        self.head = nn.Linear(96, CLASSES)

    def forward(self, x):
        conv = self.norm(self.conv(x)).relu()
        return self.head(self.drop(conv.flatten(1))), {"conv": conv, "pooled": conv.mean((2, 3))}


class Scored(nn.Module):
    """A network whose logits are a function of images in [0, 1]."""

    def __init__(self, of):
        super().__init__()
        self.of = of

    def forward(self, x):
        return self.of((x + 1) / 2), {}


def images_of(n, seed):
    """(images in [0, 1] (n, 1, 6, 6), classes): a bright bar in one of three places, and noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    x = 0.5 * torch.rand(n, 1, SIZE, SIZE, generator=generator, dtype=torch.float64)
    for i, label in enumerate(labels.tolist()):
        x[i, 0, :, 2 * label : 2 * label + 2] += 0.5
    return x, labels


@cache
def trained():
    """A network that was trained in a second, and is left in training mode, with its neighbours."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, (x, labels) = Net().double(), images_of(150, 0)
        optimizer = torch.optim.Adam(network.parameters(), 1e-2)
        for _ in range(40):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(2 * x - 1)[0], labels).backward()
            optimizer.step()
        optimizer.zero_grad()
    target = Target(network.eval(), DeepKNN(k=9))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        target.knn.fit(target.features(x), labels)
        held, their = images_of(60, 1)
        target.knn.calibrate(target.features(held), their)
    network.train()
    return target
