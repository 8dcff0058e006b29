"""Precision, recall, density and coverage against float64 by the definition, torch-fidelity and prdc; copies."""

import pytest
import torch
from clouds import cloud, values
from hypothesis import given, settings
from hypothesis import strategies as st
from prdc import compute_prdc
from torch_fidelity.metric_prc import prc_features_to_metric

from metrics import manifolds
from metrics._sets import LeftOutError
from metrics.neighborhoods import Neighborhoods


def ours(real, generated):
    found = values(manifolds.measure(Neighborhoods.of(real, generated)))
    names = {"precision": "generated", "recall": "real", "density": "generated", "ball_coverage": "real"}
    return {name: found[side, name] for name, side in names.items()}


def by_definition(real, generated):
    """All four with closed balls, from the whole matrices of distances in float64."""
    x, y = real.double(), generated.double()
    squares = lambda a, b: (a[:, None] - b[None]).square().sum(2)  # noqa: E731
    within = {"x": squares(x, x).fill_diagonal_(torch.inf), "y": squares(y, y).fill_diagonal_(torch.inf)}
    radius = lambda side, k: within[side].kthvalue(k, 1).values  # noqa: E731
    apart = squares(y, x)
    balls = apart <= radius("x", 5) * (1 + 1e-13)
    return {
        "precision": float((apart <= radius("x", 3) * (1 + 1e-13)).any(1).double().mean()),
        "recall": float((apart <= radius("y", 3)[:, None] * (1 + 1e-13)).any(0).double().mean()),
        "density": float(balls.double().sum(1).mean() / 5),
        "ball_coverage": float(balls.any(0).double().mean()),
    }


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(6, 90), st.integers(6, 90), st.booleans())
def test_they_are_what_the_definition_says(seed, d, n, m, few_values):
    real, generated = cloud(seed, n, d), cloud(seed + 1, m, d, spread=0.8, shift=0.1)
    if few_values:  # copies, and points that lie at exactly a radius
        real, generated = (points.round() for points in (real, generated))
    assert ours(real, generated) == pytest.approx(by_definition(real, generated), abs=1e-12)


def test_tiles_do_not_matter(monkeypatch):
    real, generated = cloud(0, 100), cloud(1, 90, spread=0.7)
    whole = ours(real, generated)
    monkeypatch.setattr(manifolds, "ROWS", 7)
    monkeypatch.setattr(manifolds, "COLUMNS", 13)
    assert ours(real, generated) == whole


@pytest.mark.parametrize("spread, shift", [(1.0, 0.0), (0.6, 0.0), (1.5, 0.3)])
def test_they_are_those_of_torch_fidelity_and_prdc_where_nothing_is_there_twice(spread, shift):
    real, generated = cloud(0, 300), cloud(1, 300, spread=spread, shift=shift)
    found, prdc = ours(real, generated), compute_prdc(real.double().numpy(), generated.double().numpy(), 5)
    prc = prc_features_to_metric(generated.double(), real.double(), verbose=False)
    assert [found["density"], found["ball_coverage"]] == pytest.approx([prdc["density"], prdc["coverage"]])
    assert [found["precision"], found["recall"]] == pytest.approx([prc["precision"], prc["recall"]], abs=1e-7)


def test_points_far_from_0_and_close_together_are_told_apart():
    real, generated = (cloud(seed, 80, dtype=torch.float64) for seed in (0, 1))
    near, far = ours(real, generated), [points + 1e4 for points in (real, generated)]
    assert ours(*far) == pytest.approx(near, abs=1e-12)
    assert ours(*(points.float() for points in far)) == by_definition(*(points.float() for points in far))


def test_a_copy_of_what_is_there_often_counts_as_inside():
    """torch-fidelity's `<=`, and not prdc's `<`, for which these copies are nowhere near."""
    repeated = cloud(0, 4, 3).repeat(20, 1)
    assert ours(repeated, repeated.clone())["precision"] == 1
    assert prc_features_to_metric(repeated.double(), repeated.double(), verbose=False)["precision"] == 1
    assert compute_prdc(repeated.double().numpy(), repeated.double().numpy(), 5)["precision"] == 0


def test_a_ball_ends_at_its_radius():
    """That of the last real point reaches 3 far, to 8: what lies a millionth beyond is outside."""
    real = torch.arange(6, dtype=torch.float64)[:, None]
    generated = torch.tensor([8, 5 + 3 * (1 + 1e-6), 20, 30, 40, 50], dtype=torch.float64)[:, None]
    assert ours(real, generated)["precision"] == 1 / 6


def test_identical_sets_are_covered_and_denser_than_1_by_a_fifth():
    real = cloud(0)
    found = {"precision": 1.0, "recall": 1.0, "density": 6 / 5, "ball_coverage": 1.0}
    assert ours(real, real.clone()) == pytest.approx(found)


def test_too_few_points_are_told():
    with pytest.raises(LeftOutError, match="coverage: needs 6 points a side"):
        ours(cloud(0, 5), cloud(1, 5))


def test_one_point_alone_has_no_neighbour():
    one, many = cloud(0, 1), cloud(1, 9)
    near = Neighborhoods.of(many, many)
    for alone in (lambda: Neighborhoods.of(one, many), lambda: Neighborhoods.of(many, one), lambda: near.against(one)):
        with pytest.raises(LeftOutError, match="a neighbour: needs 2 points a side; there are 1"):
            alone()
