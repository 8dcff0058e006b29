"""What a generator is trained by where real and generated points are two classes, against the definition."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gans import snnl_gan
from gans._entangled import Remembering, mean_snnl, neighbor_losses, snnl
from lab.errors import UsageError
from snnl_core import entanglement, soft_nearest_neighbor_loss


def naive(real, fake, temperature):
    """-log of the neighbor's probability to be of the own side, and of the other, a point at a time, in float64."""
    points = torch.cat([real, fake]).flatten(1).double()
    n = len(real)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    scale = temperature * sum((points[i] - points[j]).square().sum() for i, j in pairs) / len(pairs)
    own, other = [], []
    for i in range(2 * n):
        weights = {j: -(points[i] - points[j]).square().sum() / scale for j in range(2 * n) if j != i}
        total = torch.stack([*weights.values()]).logsumexp(0)
        for kept, same in ((own, True), (other, False)):
            mass = torch.stack([w for j, w in weights.items() if ((j < n) == (i < n)) == same])
            kept.append(total - mass.logsumexp(0))
    return torch.stack(own).mean(), torch.stack(other).mean()


@given(st.integers(2, 6), st.floats(0.02, 2), st.floats(0, 3), st.integers(0, 99))
def test_the_losses_of_neighbors_are_those_of_the_definition(n, temperature, apart, seed):
    draw = torch.Generator().manual_seed(seed)
    real, fake = torch.randn(n, 3, generator=draw), torch.randn(n, 3, generator=draw) + apart
    for found, expected in zip(neighbor_losses(real, fake, temperature), naive(real, fake, temperature), strict=True):
        assert found.item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-4)


def test_the_first_is_the_soft_nearest_neighbor_loss():
    real, fake = torch.randn(2, 20, 5, generator=torch.Generator().manual_seed(0))
    scale = torch.pdist(real).square().mean()
    expected = soft_nearest_neighbor_loss(torch.cat([real, fake]), torch.arange(40) // 20, 0.3 * scale)
    torch.testing.assert_close(neighbor_losses(real, fake, 0.3)[0], expected)


def test_sides_that_are_apart_still_draw_each_other():
    """There the gradient of the soft nearest neighbor loss is nothing; this one is finite and points to the others."""
    draw = torch.Generator().manual_seed(0)
    real, fake = torch.randn(8, 4, generator=draw), (torch.randn(8, 4, generator=draw) + 100).requires_grad_()
    own, other = neighbor_losses(real, fake, 0.05)
    assert own.item() == 0 and other.item() > 1000
    (gradient,) = torch.autograd.grad(other, fake)
    assert gradient.isfinite().all() and (gradient.sum(1) > 0).all()


def test_where_the_points_lie_changes_nothing():
    real, fake = torch.randn(2, 20, 5, generator=torch.Generator().manual_seed(0))
    near, far = neighbor_losses(real, fake, 0.05), neighbor_losses(real + 4096, fake + 4096, 0.05)
    torch.testing.assert_close(far, near, rtol=1e-3, atol=0)


def test_images_that_are_all_alike_are_the_worst():
    draw = torch.Generator().manual_seed(0)
    real, spread = torch.randn(2, 64, 8, generator=draw)
    alike = 0.01 * spread
    assert neighbor_losses(real, alike, 0.05)[1] > neighbor_losses(real, spread, 0.05)[1] + 1


def test_the_papers_objective_is_minus_the_loss_at_its_best_temperature():
    real, fake = torch.rand(2, 16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    loss, _ = snnl_gan.generator_loss(None, fake, real, snnl_gan.Config(saturating=True))
    expected = entanglement(torch.cat([real, fake]).flatten(1), torch.arange(32) // 16).loss
    assert -loss.item() == pytest.approx(expected, rel=1e-3)
    assert -loss.item() <= math.log(2) + 0.05


def test_a_temperature_is_refused_where_the_best_one_is_taken():
    assert snnl_gan.Config.parse(snnl_gan.Config(saturating=True).plain()).saturating
    with pytest.raises(UsageError, match="temperature: saturating takes the best one of each batch"):
        snnl_gan.Config.parse({"saturating": True, "temperature": 0.1})


def test_a_guide_is_asked_for_its_last_hidden_layer():
    real, fake = torch.rand(2, 16, 1, 4, 4, generator=torch.Generator().manual_seed(0))

    def guide(images):
        return None, {"first": images.flatten(1).square(), "last": images.flatten(1)[:, :3]}

    loss, logs = snnl_gan.generator_loss(guide, fake, real, snnl_gan.Config())
    own, other = neighbor_losses(real.flatten(1)[:, :3], fake.flatten(1)[:, :3], 0.05)
    torch.testing.assert_close([loss, logs["snnl"]], [other, own])


def test_the_loss_is_in_float32_under_autocast():
    real, fake = torch.randn(2, 16, 6, generator=torch.Generator().manual_seed(0))
    plain = [snnl(real, fake), *neighbor_losses(real, fake, 0.1)]
    with torch.autocast("cpu", torch.bfloat16):
        cast = [snnl(real, fake), *neighbor_losses(real, fake, 0.1)]
    assert all(one.equal(other) for one, other in zip(plain, cast, strict=True))


def test_the_mean_over_layers():
    draw = torch.Generator().manual_seed(0)
    real = {"a": torch.randn(9, 2, 3, 3, generator=draw), "b": torch.randn(9, 5, generator=draw)}
    fake = {name: feature + 0.5 for name, feature in real.items()}
    each = [snnl(real[name], fake[name]).item() for name in real]
    assert mean_snnl(real, fake).item() == pytest.approx(sum(each) / 2)


def test_a_batch_is_passed_once():
    passed = []

    class Net(nn.Module):
        def forward(self, x):
            passed.append(x)
            return x.sum(1), {"x": x}

    d, one, other = Remembering(Net()), torch.ones(2, 3), torch.ones(2, 3)
    assert d(one) is d(one) and d(other)[1]["x"] is other
    assert len(passed) == 2
