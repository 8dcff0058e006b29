"""Sums from one reference a tile, against those of every anchor from its own nearest point."""

import math

import pytest
import torch

from snnl_core import collecting, tiles
from snnl_core.collecting import collect
from snnl_core.masses import Masses
from snnl_core.pairs import all_pairs

N = 90


@pytest.fixture
def collected(monkeypatch):
    """A function: what all points see at inverse temperatures (q, n), and how many tiles were from one reference."""
    monkeypatch.setattr(tiles, "ROWS", 16)
    monkeypatch.setattr(tiles, "ENTRIES", 16 * 20)
    monkeypatch.setattr("snnl_core.pairs.SMALL", 0)
    shared, one = [], collecting._from_one_reference
    monkeypatch.setattr(collecting, "_from_one_reference", lambda *given: shared.append(one(*given)) or shared[-1])

    def collected(x, labels, betas, some=None):
        shared.clear()
        points = all_pairs(x, labels).points
        anchors = points if some is None else points.some(some)
        found = Masses.empty(betas[:, points.positions][:, ... if some is None else some], 3)
        work = tiles.square(points) if some is None else tiles.oblong(anchors, points)
        collect(anchors, points, work, found, found if some is None else None)
        return found, sum(each is not None for each in shared)

    return collected


def cloud(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, 3, generator=generator, dtype=torch.float64), torch.arange(N) % 3


@pytest.mark.parametrize("some", [None, torch.arange(1, N, 4)])
@pytest.mark.parametrize("kind", ["one temperature", "one a class", "one an anchor", "none, the coldest"])
def test_both_ways_give_the_same_losses_and_derivatives(collected, monkeypatch, kind, some):
    x, labels = cloud()
    betas = torch.ones(2, N, dtype=torch.float64)
    betas[1] = {"one temperature": 0.5, "one a class": 0.2 + labels}.get(kind, torch.linspace(0, 3, N))
    if kind == "none, the coldest":
        betas[0] = 1e6
    found, shared = collected(x, labels, betas, some)
    monkeypatch.setattr(collecting, "REACH", -1.0)
    expected, none = collected(x, labels, betas, some)
    assert none == 0 and (shared > 0) == (kind != "none, the coldest")
    torch.testing.assert_close(found.derivatives(), expected.derivatives(), rtol=1e-9, atol=1e-12, equal_nan=True)


def test_an_anchor_far_from_all_others_counts_from_its_own_nearest_point(collected):
    x, labels = cloud()
    x[4] += 1e4
    found, shared = collected(x, labels, torch.ones(1, N, dtype=torch.float64))
    assert shared and bool(found.losses().isfinite().all()) and bool((found.sums[0, 0] > 0).all())


def test_who_has_no_temperature_costs_nothing(collected, monkeypatch):
    x, labels = cloud()
    betas = torch.full((1, N), math.nan, dtype=torch.float64).masked_fill(labels == 0, 0.3)
    taken, add = [], collecting._add_sums
    monkeypatch.setattr(collecting, "_add_sums", lambda *given: (taken.append(len(given[2])), add(*given)))
    found, few = collected(x, labels, betas)[0], sum(taken)
    taken.clear()
    everyone = collected(x, labels, torch.full_like(betas, 0.3))[0]
    here = ~found.betas[0].isnan()
    torch.testing.assert_close(found.derivatives()[..., here], everyone.derivatives()[..., here])
    assert 0 < few < sum(taken) / 2
