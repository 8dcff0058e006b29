"""The soft nearest neighbor loss of others, to compare the engine with, and points to do it on."""

import click
import torch


def dense(x, labels, temperature):
    """The loss with an n x n matrix and autograd, in log space: the baseline."""
    squares = x.square().sum(1)
    distances = (squares[:, None] + squares - 2 * (x @ x.T)).clamp_min(0)
    logits = -distances / temperature
    itself = torch.eye(len(x), dtype=torch.bool)
    same = labels[:, None] == labels
    everyone = logits.masked_fill(itself, -torch.inf).logsumexp(1)
    own = logits.masked_fill(~same | itself, -torch.inf).logsumexp(1)
    return (everyone - own).mean()


def literal(x, labels, temperature):
    """The probability form with 1e-5 added, as early implementations have it: it saturates at 11.5."""
    kernel = torch.exp(-torch.cdist(x, x).square() / temperature) - torch.eye(len(x))
    picked = kernel / (1e-5 + kernel.sum(1, keepdim=True)) * (labels[:, None] == labels)
    return -torch.log(1e-5 + picked.sum(1)).mean()


def nca_loss(temperature):
    """pytorch-metric-learning's NCALoss at a temperature, or None where it is not installed."""
    try:
        from pytorch_metric_learning.distances import LpDistance
        from pytorch_metric_learning.losses import NCALoss
    except ImportError:
        return None
    distance = LpDistance(normalize_embeddings=False, p=2, power=2)
    return NCALoss(softmax_scale=1 / temperature, distance=distance)


def keops(x, labels, temperature):
    """The loss in KeOps, which holds no n x n matrix either: two logsumexp reductions, with autograd."""
    from pykeops.torch import LazyTensor

    def pairs(values):
        return LazyTensor(values[:, None]), LazyTensor(values[None])

    def equal(values):
        one, other = pairs(values.to(x.dtype)[:, None])
        return (0.5 - (one - other).square()).step()

    one, other = pairs(x)
    logits = one.sqdist(other) / -temperature
    itself, far = equal(torch.arange(len(x))), 1e6  # added where a pair does not count: exp gives 0
    everyone = (logits - far * itself).logsumexp(1)
    own = (logits - far * (1 - equal(labels) + itself)).logsumexp(1)
    return (everyone - own).mean()


def check_keops():
    """Stop with one line, before anything is timed, where KeOps is missing."""
    try:
        import pykeops.torch  # noqa: F401
    except ImportError as error:
        raise click.ClickException(f"--keops needs KeOps and a C++ compiler: pip install pykeops ({error})") from None


def check_same(ours, theirs, x, labels, temperature):
    """Stop unless two losses have the same value and gradient."""
    found = []
    for loss in (theirs, ours):
        points = x.clone().requires_grad_()
        value = loss(points, labels, temperature)
        value.backward()
        found.append((value.detach(), points.grad))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=0)
    largest = found[1][1].abs().max()
    torch.testing.assert_close(found[0][1] / largest, found[1][1] / largest, rtol=0, atol=1e-4)


def backward(loss, x, *arguments):
    """A loss and its gradient."""
    x.grad = None
    loss(x, *arguments).backward()


def product(x):
    """G's work."""
    out = torch.empty(len(x), len(x))
    points = x.detach()
    return lambda: torch.mm(points, points.T, out=out)


def mixture(n, d):
    """Ten overlapping Gaussians whose best temperature is finite, and their labels."""
    labels = torch.randint(10, (n,))
    return torch.randn(n, d) + 1.2 * torch.randn(10, d)[labels] / d**0.25, labels
