"""The search over the temperature: its derivatives, its minimum to five digits, and its edges."""

import math
from functools import cache

import pytest
import torch
from scipy.optimize import minimize_scalar

from snnl_core import SoftNearestNeighborLoss, entanglement, pairs, soft_nearest_neighbor_loss, temperature, tiles
from snnl_core.pairs import all_pairs

DOUBLE = torch.float64


def draw(seed, n=70):
    """Normal points (n, 4), labels of three classes (n,), and the generator for more."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=generator, dtype=DOUBLE)
    return x, torch.randint(3, (n,), generator=generator), generator


def plain(seed):
    return draw(seed)[:2]


def shifted(seed):
    x, labels, generator = draw(seed)
    return x + torch.randn(3, 4, generator=generator, dtype=DOUBLE)[labels], labels


def clustered(seed):
    x, labels, generator = draw(seed)
    place = torch.randint(8, (len(x),), generator=generator)
    return 0.3 * x + 30 * torch.randn(8, 4, generator=generator, dtype=DOUBLE)[place], labels


def heavy_tailed(seed):
    """Distances over ten decades: valleys far hotter than the median distance."""
    x, labels, generator = draw(seed)
    return x * torch.randn(len(x), 1, generator=generator, dtype=DOUBLE).abs().exp() ** 3, labels


def losses(x, labels, beta):
    """Of each anchor, at an inverse temperature."""
    return soft_nearest_neighbor_loss(x, labels, 1 / beta if beta else math.inf, reduction="none")


@cache
def along(x, labels):
    """A grid of inverse temperatures, and the losses of each anchor there."""
    across = torch.cdist(x, x).square()[labels[:, None] != labels]
    median = across[across > 0].median()
    betas = [0.0, *(torch.logspace(-8, 4, 240, dtype=DOUBLE) / median).tolist()]
    return betas, torch.stack([losses(x, labels, beta) for beta in betas])


def lowest(x, labels, members):
    """The least mean loss of some anchors: a grid of 1/T, and Brent's method in the best cell of it."""
    betas, each = along(x, labels)
    values = each[:, members].mean(1)
    best = int(values.argmin())
    around = betas[max(best - 1, 0)], betas[min(best + 1, len(betas) - 1)]

    def loss(beta):
        return losses(x, labels, beta)[members].mean().item()

    found = minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-6 * around[1]})
    return min(values[best].item(), found.fun)


@pytest.mark.parametrize("data", [plain, shifted, clustered, heavy_tailed])
@pytest.mark.parametrize("seed", range(4))
def test_every_group_is_at_its_minimum(data, seed):
    x, labels = data(seed)
    groups = torch.arange(len(x)) % 4 - 1
    found = entanglement(x, labels, groups=groups)
    assert found.loss == pytest.approx(lowest(x, labels, labels >= 0), abs=1e-5)
    for group, own in found.by_group.items():
        assert own.loss == pytest.approx(lowest(x, labels, groups == group), abs=1e-5)
    for label, own in found.by_class.items():
        assert own.loss == pytest.approx(lowest(x, labels, labels == label), abs=1e-5)


@pytest.mark.parametrize("seed", [560, 619])
def test_a_valley_is_found_though_the_hot_end_is_the_lowest_of_the_grid(seed):
    """Its bottom lies between two temperatures, which both lie above the loss at infinity."""
    x, labels = plain(seed)
    found = entanglement(x, labels)
    assert found.loss == pytest.approx(lowest(x, labels, labels >= 0), abs=1e-5)
    for label, own in found.by_class.items():
        assert own.loss == pytest.approx(lowest(x, labels, labels == label), abs=1e-5)


@pytest.mark.parametrize("small", [0, 1000])
def test_derivatives_are_those_of_autograd(monkeypatch, small):
    monkeypatch.setattr(pairs, "SMALL", small)
    x, labels = shifted(0)
    labels[3] = 7  # alone in its class
    beta = torch.linspace(0.01, 2, len(x), dtype=DOUBLE).requires_grad_()
    squared = torch.cdist(x, x).square()
    same = labels[:, None] == labels
    logits = -squared * beta[:, None]
    others = logits.masked_fill(same, -math.inf).logsumexp(1)
    own = logits.masked_fill(~same.clone().fill_diagonal_(False), -math.inf).logsumexp(1)
    valid = torch.arange(len(x)) != 3
    expected = torch.nn.functional.softplus(others - own)[valid]
    slope = torch.autograd.grad(expected.sum(), beta, create_graph=True)[0]
    curve = torch.autograd.grad(slope.sum(), beta)[0][valid]
    everyone = all_pairs(x, labels)
    masses = everyone.masses(beta.detach()[everyone.positions].expand(1, -1), 3)
    order = everyone.positions.argsort()
    wanted = (expected, slope[valid], curve)
    for values, value in zip(masses.derivatives(), wanted, strict=True):
        torch.testing.assert_close(values[0][order][valid], value.detach(), atol=1e-9, rtol=1e-6)
        assert values[0][order][3] == 0


def test_groups_find_both_ends_and_the_middle_in_one_search():
    """Far from each other: two separated clouds, one cloud that is in both classes, and two that overlap."""
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    first, second = x[:30], x[30:]
    apart, overlap = torch.tensor([30.0, 0, 0]), torch.tensor([2.0, 0, 0])
    far = torch.tensor([0.0, 60, 0])
    pairs = [(first, second + apart), (first + far, first + far), (first - far, second - far + overlap)]
    points = torch.cat([cloud for pair in pairs for cloud in pair])
    labels = (torch.arange(180) // 30) % 2
    found = entanglement(points, labels, groups=torch.arange(180) // 60).by_group
    assert found[0].at_limit == "cold"
    assert found[0].loss == pytest.approx(0, abs=1e-12)
    assert found[2].at_limit == "none"
    assert found[2].loss == pytest.approx(lowest(points, labels, torch.arange(180) // 60 == 2), abs=1e-5)
    assert found[1].at_limit == "hot"
    assert found[1].loss == pytest.approx(math.log(179 / 89))


@pytest.mark.parametrize("rows, entries", [(1, 1), (7, 60), (20, 3000)])
@pytest.mark.parametrize("data", [shifted, heavy_tailed])
def test_tiles_change_nothing(monkeypatch, rows, entries, data):
    x, labels = (each[: 20 if rows == 1 else 40] for each in data(1))
    groups = torch.arange(len(x)) % 3
    whole = entanglement(x, labels, groups=groups)
    monkeypatch.setattr(pairs, "SMALL", 0)
    monkeypatch.setattr(tiles, "ROWS", rows)
    monkeypatch.setattr(tiles, "ENTRIES", entries)
    pieces = entanglement(x, labels, groups=groups)
    assert pieces.loss == pytest.approx(whole.loss, rel=1e-6)
    assert [p.loss for p in pieces.by_group.values()] == pytest.approx([w.loss for w in whole.by_group.values()])
    torch.testing.assert_close(pieces.class_pairs, whole.class_pairs, atol=1e-4, rtol=0)
    torch.testing.assert_close(pieces.per_sample, whole.per_sample, atol=1e-3, rtol=0)


def test_the_descent_takes_few_passes(monkeypatch):
    """On all anchors, from the sample's bottom: the sample is small against them."""
    whole = []
    monkeypatch.setattr(pairs, "SMALL", 0)
    monkeypatch.setattr(temperature, "SAMPLE_PAIRS", 0)
    evaluate = temperature._Groups.derivatives
    monkeypatch.setattr(
        temperature._Groups,
        "derivatives",
        lambda groups, *rest: whole.append(groups.groups.shape[1] == 3000) or evaluate(groups, *rest),
    )
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.randn(3000, 4, generator=generator), torch.randint(3, (3000,), generator=generator)
    entanglement(x + torch.randn(3, 4, generator=generator)[labels], labels)
    assert 1 <= sum(whole) <= 6


@pytest.mark.parametrize("dtype, most", [(torch.float32, 21), (DOUBLE, 31)])
def test_a_bracket_is_narrowed_as_far_as_the_numbers_tell(dtype, most):
    """By slopes that are rounding, as an outlier's class has them, all the way to its end."""
    search, looks = temperature._Search(200.0, 100.0, 200.0), 0
    while not search.settled:
        search.see(1.0, 1e-3, 0.0, 1e4, temperature.ENOUGH[dtype])
        looks += 1
    assert looks <= most and search.high == pytest.approx(100, rel=2e-6)


def test_coinciding_points_have_a_scale():
    x, labels = torch.zeros(20, 3), torch.arange(20) % 2
    found = entanglement(x, labels)
    assert (found.score, found.at_limit, found.temperature) == (1, "hot", math.inf)
    x[:3] = torch.eye(3)
    found = entanglement(x, labels)
    assert found.loss == pytest.approx(lowest(x.double(), labels, labels >= 0), abs=1e-5)


def ring(seed, n, wrong):
    """A class in the core of another, which is a ring, and some wrong labels: few anchors make the cold end costly."""
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    labels = (torch.arange(n) % 4 == 0).long()
    radius = torch.where(labels == 1, 0.3, 3.0) + 0.1 * torch.randn(n, generator=generator)
    labels[torch.randperm(n, generator=generator)[:wrong]] ^= 1
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1), labels


def tight(seed, n, wrong):
    """Two classes, each of eight tight clusters, and some wrong labels."""
    generator = torch.Generator().manual_seed(seed)
    labels, places = torch.arange(n) % 2, torch.randint(8, (n,), generator=generator)
    centers = 3 * torch.randn(2, 8, 4, generator=generator)
    x = centers[labels, places] + 0.05 * torch.randn(n, 4, generator=generator)
    labels[torch.randperm(n, generator=generator)[:wrong]] ^= 1
    return x, labels


def losses_on_a_grid(x, labels):
    """The loss of each point at 60 temperatures that are searched, over six decades (60, n)."""
    across = torch.cdist(x[:500], x[:500]).square()[labels[:500, None] != labels[:500]]
    temperatures = across.median() * torch.logspace(-3.8, 2, 60)
    return torch.stack([soft_nearest_neighbor_loss(x, labels, T, reduction="none") for T in temperatures])


@pytest.mark.parametrize("wrong", [1, 2])
@pytest.mark.parametrize("data", [ring, tight])
@pytest.mark.parametrize("seed", range(6))
def test_a_few_wrong_labels_that_the_sample_misses_hide_no_minimum(data, seed, wrong):
    """The sample's valley is the cold end, where they cost most: the true one lies between it and the hot end."""
    x, labels = data(seed, 256, wrong)
    module = SoftNearestNeighborLoss()
    points = x.clone().requires_grad_()
    loss = module(points, labels)
    loss.backward()
    assert loss.item() <= losses_on_a_grid(x, labels).mean(1).min().item() * (1 + 1e-4)
    assert math.isfinite(module.last_temperature) and points.grad.abs().max() > 0


@pytest.mark.parametrize("data", [ring, tight])
@pytest.mark.parametrize("seed", range(2))
def test_nor_do_they_in_a_measurement_of_more_points_than_are_sampled(data, seed):
    x, labels = data(seed, 3000, 2)
    found, curves = entanglement(x, labels), losses_on_a_grid(x, labels)
    assert found.loss <= curves.mean(1).min().item() * (1 + 1e-4)
    for label, own in found.by_class.items():
        assert own.loss <= curves[:, labels == label].mean(1).min().item() * (1 + 1e-4)


def two_scales(seed):
    """Tight clusters of one class each, which mix, and far away pairs of two classes, which lie apart by class."""
    generator = torch.Generator().manual_seed(seed)
    centers, apart = torch.randn(20, 2, generator=generator) * 3, torch.randn(120, 2, generator=generator) * 3
    own, place = torch.randint(2, (20,), generator=generator), torch.randint(2, (120,), generator=generator)
    apart += torch.tensor([1000.0, 0.0]) * (1 + place[:, None])
    other = place ^ (torch.rand(120, generator=generator) < 0.3)
    x = torch.cat([centers.repeat_interleave(8, 0), apart, apart])
    x += torch.randn(400, 2, generator=generator) * 0.01
    return x.double(), torch.cat([own.repeat_interleave(8), place, other])


@pytest.mark.parametrize("seed", [16, 18, 56])
def test_of_two_valleys_that_a_sample_cannot_tell_apart_both_are_looked_into(seed):
    """The one that is the lower in these samples is the higher of all points, by a hundredth."""
    x, labels = two_scales(seed)
    assert float(SoftNearestNeighborLoss()(x, labels)) <= losses_on_a_grid(x, labels).mean(1).min() * (1 + 1e-4)
