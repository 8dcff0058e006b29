"""Vendi score against its closed form and its package; the spread of neighbours."""

import math

import pytest
import torch
from clouds import cloud, values
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigvalsh
from vendi_score import vendi

from metrics import diversity
from metrics.diversity import vendi_score
from metrics.neighborhoods import Neighborhoods


def test_orthogonal_points_are_all_different_and_copies_the_same():
    assert vendi_score(torch.eye(7)) == pytest.approx(7)
    assert vendi_score(torch.eye(7)[:1].expand(30, -1)) == pytest.approx(1)
    assert vendi_score(torch.eye(3).repeat(5, 1)) == pytest.approx(3)


def test_unequal_shares_have_the_entropy_of_the_shares():
    shares = [0.5, 0.3, 0.2]
    points = torch.eye(3).repeat_interleave(torch.tensor([5, 3, 2]), 0)
    assert vendi_score(points) == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 50), st.integers(1, 50))
def test_either_gram_matrix_gives_it(seed, n, d):
    points = cloud(seed, n, d, dtype=torch.float64)
    unit = points / points.norm(dim=1, keepdim=True)
    shares = eigvalsh((unit @ unit.T / n).numpy()).clip(min=0)
    entropy = -sum(p * math.log(p) for p in shares if p > 0)
    assert vendi_score(points) == pytest.approx(math.exp(entropy), rel=1e-6)


def test_it_is_the_packages():

    points = cloud(0, 90, 12)
    assert vendi_score(points) == pytest.approx(vendi.score_dual(points.double().numpy()), rel=1e-6)


def test_lengths_do_not_matter_and_points_without_direction_are_one_of_their_own():
    points = cloud(0, 20, 30)
    scaled = points * torch.logspace(-20, 15, 20)[:, None]
    assert vendi_score(scaled) == pytest.approx(vendi_score(points), rel=1e-5)
    assert vendi_score(torch.cat([torch.eye(4), torch.zeros(1, 4)])) == pytest.approx(5)
    assert vendi_score(torch.zeros(6, 4)) == pytest.approx(1)


def test_spread_is_the_share_of_the_distance_between_neighbours():
    real = cloud(0)
    found = values(diversity.measure(Neighborhoods.of(real, real / 4)))
    assert found["generated", "spread"] == pytest.approx(0.25, rel=1e-5)
    uneven, even = (torch.tensor(places)[:, None] for places in ([0.0, 1.0, 3.0, 7.0], [0.0, 3.0, 6.0, 9.0]))
    assert values(diversity.measure(Neighborhoods.of(uneven, even)))["generated", "spread"] == pytest.approx(3 / 2)
    collapsed = values(diversity.measure(Neighborhoods.of(real, real[:1].expand(120, -1))))
    assert collapsed["generated", "spread"] == 0 and collapsed["generated", "vendi"] == pytest.approx(1)
    assert ("generated", "spread") not in values(diversity.measure(Neighborhoods.of(real[:1].expand(120, -1), real)))
