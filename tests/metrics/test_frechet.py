"""FID against its closed form and torch-fidelity's, its interval against many draws, its end at infinite n."""

import math

import pytest
import torch
from clouds import cloud, values
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from metrics import frechet
from metrics._sets import LeftOutError
from metrics.frechet import Gaussian, fid, frechet_distance, jackknife


def theirs(real, generated):
    statistics = [fid_features_to_statistics(points.double()) for points in (generated, real)]
    return fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]


def test_gaussians_that_commute_have_a_closed_form():
    ones, others = torch.tensor([1.0, 4.0, 0.0]).double(), torch.tensor([9.0, 1.0, 25.0]).double()
    one, other = Gaussian(torch.zeros(3).double(), ones.diag()), Gaussian(torch.ones(3).double(), others.diag())
    assert frechet_distance(one, other) == pytest.approx(3 + (1 - 3) ** 2 + (2 - 1) ** 2 + 5**2)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.floats(0.1, 4), st.floats(-3, 3))
def test_it_is_torch_fidelitys(seed, d, spread, shift):
    real, generated = cloud(seed, 60, d), cloud(seed + 1, 45, d, spread=spread, shift=shift)
    assert fid(real, generated) == pytest.approx(theirs(real, generated), rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(2, 12), st.integers(12, 40), st.floats(-3, 3))
def test_fewer_points_than_features_give_what_their_covariances_give(seed, n, m, d, shift):
    real, generated = cloud(seed, n, d), cloud(seed + 1, m, d, shift=shift)
    wanted = frechet_distance(Gaussian.of(real), Gaussian.of(generated))
    assert fid(real, generated) == pytest.approx(wanted, rel=1e-5, abs=1e-6)
    assert fid(real, real) == pytest.approx(0, abs=1e-9)


def test_features_that_never_vary_change_nothing():
    real, generated = cloud(0), cloud(1, shift=0.5)
    dead = torch.full((len(real), 3), 7.0)
    with_dead = fid(torch.cat([real, dead], 1), torch.cat([generated, dead], 1))
    assert with_dead == pytest.approx(fid(real, generated), rel=1e-6)


def test_a_set_far_from_0_loses_no_digits():
    real, generated = cloud(0, dtype=torch.float64), cloud(1, shift=0.5, dtype=torch.float64)
    assert fid(real + 1e5, generated + 1e5) == pytest.approx(fid(real, generated), rel=1e-6)


def test_leaving_a_part_out_is_measuring_the_others():
    from metrics._sets import parts

    real, generated = cloud(0, 90), cloud(1, 70, shift=0.3)
    sides = parts(real, generated)
    assert [len(side) for side in sides] == [20, 20]
    for part, found in enumerate(jackknife(real, generated).without):
        left = [torch.cat(side[:part] + side[part + 1 :]) for side in sides]
        assert found == pytest.approx(fid(*left), rel=1e-9)


@pytest.fixture(scope="module")
def draws():
    """FID of 80 pairs of sets with 100 points each, and that of the distributions."""
    pairs = [(cloud(2 * seed, 100, 4), cloud(2 * seed + 1, 100, 4, spread=1.3, shift=0.4)) for seed in range(80)]
    mixing = torch.eye(4).double() + 0.3 * torch.ones(4, 4).double().tril(-1)
    truth = Gaussian(torch.zeros(4).double(), mixing.T @ mixing)
    other = Gaussian(truth.mean + 0.4, 1.3**2 * truth.covariance)
    return [values(frechet.measure(*pair)) for pair in pairs], frechet_distance(truth, other)


def test_the_interval_holds_the_expectation_at_this_n(draws):
    found, _ = draws
    mean = sum(one["joint", "fid"] for one in found) / len(found)
    held = sum(one["joint", "fid_low"] <= mean <= one["joint", "fid_high"] for one in found)
    assert held >= 0.85 * len(found)  # 95 % is promised; 10 standard errors of 80 draws below


def test_at_infinite_n_the_bias_is_gone(draws):
    found, truth = draws
    plain, unbiased = ([one["joint", name] for one in found] for name in ("fid", "fid_infinity"))
    spread = torch.tensor(unbiased).std() / math.sqrt(len(found))
    assert abs(sum(unbiased) / len(found) - truth) < 4 * spread
    assert sum(plain) / len(found) > truth + 4 * spread


def test_few_points_have_no_interval_and_one_no_value():
    found = values(frechet.measure(cloud(0, 11), cloud(1, 11)))
    assert set(found) == {("joint", "fid")}
    with pytest.raises(LeftOutError, match="fid: needs 2 points a side; there are 1"):
        frechet.measure(cloud(0, 1), cloud(1, 1))


def test_of_few_features_too_eight_points_are_needed_for_an_interval():
    assert [len(frechet.measure(cloud(0, n, 2), cloud(1, n, 2))) for n in (7, 8)] == [1, 6]


def test_too_many_features_for_a_covariance_are_told():
    with pytest.raises(LeftOutError, match="fid: needs at most 4096 features; there are 4097"):
        frechet.measure(torch.zeros(3, 4097), torch.zeros(3, 4097))


def test_a_set_of_one_point_over_and_over_is_finite():
    found = values(frechet.measure(cloud(0), cloud(1)[:1].expand(120, -1)))
    assert all(map(math.isfinite, found.values()))


@pytest.mark.parametrize(
    "real, generated, error, message",
    [
        (cloud(0), cloud(1, d=5), ValueError, "are needed"),
        (cloud(0), cloud(1).long(), TypeError, "generated must be floating"),
        (cloud(0), torch.full((120, 6), math.nan), ValueError, "not finite"),
        (cloud(0)[:0], cloud(1), ValueError, "at least one"),
    ],
)
def test_what_is_no_two_sets_is_refused(real, generated, error, message):
    with pytest.raises(error, match=message):
        frechet.measure(real, generated)
