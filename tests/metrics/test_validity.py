"""Validity of p-values: bands against scipy and by simulation, and what the rows say."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from metrics.validity import LEVELS, band, empirical_distribution, measure, resampled


def test_by_hand():
    """One p-value in four is at most 0.25; of two fair coins, one is a head half of the time."""
    p_values = torch.tensor([0.25, 0.5, 0.75, 1.0])
    assert empirical_distribution(p_values, [0.2, 0.25, 0.6, 1.0]).tolist() == [0, 0.25, 0.5, 1]
    assert band(0.5, 2, probability=0.4) == (0.5, 0.5)  # no head is as rare as 1/4, and 0.3 may be left on each side
    assert band(0.5, 2, probability=0.6) == (0, 1)


def test_the_rows():
    rows = measure(torch.arange(1, 1001, dtype=torch.float64) / 1000, n_calibration=999)
    assert [row["level"] for row in rows] == list(LEVELS) == [0.01, 0.05, 0.1, 0.2, 0.5]
    assert [row["value"] for row in rows] == pytest.approx(LEVELS)
    assert all(row["metric"] == "p_at_most" and row["n"] == 1000 for row in rows)
    assert all(row["low"] < row["level"] < row["high"] for row in rows)


@pytest.mark.parametrize("level", [0.001, 0.01, 0.05, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("n", [1, 20, 1000, 60000])
@pytest.mark.parametrize("probability", [0.5, 0.95, 0.999])
def test_the_bands_of_independent_p_values_are_binomial(level, n, probability):
    low, high = band(level, n, probability=probability)
    expected = stats.binom(n, level).interval(probability)
    assert (low * n, high * n) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("level, n_calibration, rank", [(0.05, 999, 50), (0.29, 99, 29), (0.1, 29, 3), (0.5, 1, 1)])
@pytest.mark.parametrize("n", [1, 20, 1000, 60000])
def test_the_bands_of_calibrated_p_values_are_beta_binomial(level, n_calibration, rank, n):
    low, high = band(level, n, n_calibration)
    expected = stats.betabinom(n, rank, n_calibration + 1 - rank).interval(0.95)
    assert (low * n, high * n) == pytest.approx(expected, abs=1e-6)


def test_between_two_ranks_the_band_is_of_both():
    below, above = stats.betabinom(500, 37, 713), stats.betabinom(500, 38, 712)
    assert band(0.05, 500, 749) == pytest.approx((below.ppf(0.025) / 500, above.ppf(0.975) / 500))
    assert band(0.01, 500, 49)[0] == 0  # rank 1/2: no calibrated p-value that is not smoothed is at most 0.01
    assert band(0.99, 500, 49)[1] == 1


def test_many_inputs_leave_the_beta_distribution_of_the_calibration_set():
    """Of n = 1000 and level .1, Beta(100, 901): the standard deviation of the coverage is 0.0095."""
    low, high = band(0.1, 200_000, 1000)
    expected = stats.beta(100, 901).interval(0.95)[0], stats.beta(101, 900).interval(0.95)[1]
    assert (low, high) == pytest.approx(expected, abs=2e-4)
    low, high = band(0.1, 500, 10_000_000 - 1)  # and a large calibration set, that of independent ones
    assert (low, high) == pytest.approx(band(0.1, 500), abs=1 / 500 + 1e-9)


@pytest.mark.parametrize("smoothed", [False, True])
@pytest.mark.parametrize("level, n_calibration", [(0.1, 99), (0.05, 29), (0.5, 20)])
def test_exact_p_values_are_in_the_band_as_often_as_it_says(smoothed, level, n_calibration):
    """4,000 calibration sets with 100 inputs each, of continuous nonconformity."""
    generator, sets, n = torch.Generator().manual_seed(0), 4000, 100
    calibration = torch.rand(sets, n_calibration, generator=generator)
    rank = torch.searchsorted(calibration.sort(1).values, torch.rand(sets, n, generator=generator)).double()
    offset = torch.rand(sets, n, generator=generator) if smoothed else 1
    p_values = (rank + offset) / (n_calibration + 1)
    low, high = band(level, n, n_calibration, 0.9)
    share = torch.stack([empirical_distribution(row, [level])[0] for row in p_values])
    inside = float(((share >= low) & (share <= high)).double().mean())
    below, above = float((share < low).double().mean()), float((share > high).double().mean())
    error = 4 * math.sqrt(0.05 * 0.95 / sets)
    assert inside >= 0.9 - 2 * error and below <= 0.05 + error and above <= 0.05 + error
    if (n_calibration + 1) * level == 10:
        assert inside < 0.96  # no wider than counts make it
        narrow = band(level, n)  # that of independent p-values
        narrow_low, narrow_high = band(level, n, None, 0.9)
        assert narrow[1] < band(level, n, n_calibration)[1]
        assert float(((share >= narrow_low) & (share <= narrow_high)).double().mean()) < 0.85


@pytest.mark.parametrize("n_calibration", [None, 199])
def test_p_values_that_are_half_as_large_are_found_out(n_calibration):
    p_values = torch.rand(2000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert all(row["low"] <= row["value"] <= row["high"] for row in measure(p_values, n_calibration))
    for wrong in (p_values / 2, p_values**0.5):
        assert not any(row["low"] <= row["value"] <= row["high"] for row in measure(wrong, n_calibration)[1:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_p_value_on_the_level_is_at_most_the_level(dtype):
    p_values = torch.tensor([50 / 1000, 29 / 100, 3 / 30], dtype=torch.float64).to(dtype)
    for level in (0.05, 0.1, 0.29):
        expected = sum(value <= level for value in (0.05, 0.29, 0.1)) / 3
        assert empirical_distribution(p_values, [level]).tolist() == [expected]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 50), level=st.sampled_from([0.01, 0.2, 0.5, 0.9]))
def test_shares_are_counts_whatever_the_order(seed, n, level):
    generator = torch.Generator().manual_seed(seed)
    p_values = torch.randint(1, 11, (n,), generator=generator) / 10
    expected = sum(value <= level + 1e-6 for value in p_values.tolist()) / n
    shuffled = p_values[torch.randperm(n, generator=generator)]
    assert empirical_distribution(p_values, [level]).tolist() == [expected]
    assert empirical_distribution(shuffled, [level]).tolist() == [expected]
    low, high = band(level, n, 9)
    assert 0 <= low <= level <= high <= 1


P = torch.tensor([0.2, 0.4])


@pytest.mark.parametrize(
    "bad, error, message",
    [
        (P.long(), TypeError, "p_values must be floating, not torch.int64"),
        (P[:0], ValueError, r"p_values must be \(n,\), at least one, not \(0,\)"),
        (P[None], ValueError, r"not \(1, 2\)"),
        (P * math.nan, ValueError, "must not be NaN; 2 of 2 are"),
        (P + 1, ValueError, r"must be in \[0, 1\], not 1.2 to 1.4"),
        (P - 1, ValueError, r"not -0.8 to -0.6"),
    ],
)
def test_bad_p_values_are_refused(bad, error, message):
    for function in (measure, lambda p: empirical_distribution(p, [0.5])):
        with pytest.raises(error, match=message):
            function(bad)


@pytest.mark.parametrize("level, probability", [(0, 0.9), (1, 0.9), (math.nan, 0.9), (0.5, 0), (0.5, 1)])
def test_impossible_levels_are_refused(level, probability):
    with pytest.raises(ValueError, match=r"level and probability must be in \(0, 1\)"):
        measure(P, 5, [level], probability)


@pytest.mark.parametrize("n, n_calibration", [(0, None), (5, 0), (-1, 3)])
def test_impossible_sizes_are_refused(n, n_calibration):
    with pytest.raises(ValueError, match="n and n_calibration must be at least 1"):
        band(0.5, n, n_calibration)


def naive_resampled(scores, size, mode, generator, repeats):
    """The share of p-values at most each level over random splits, by loops."""
    shares = []
    for _ in range(repeats):
        order = torch.randperm(len(scores), generator=generator).tolist()
        chosen, rest = [scores[i] for i in order[:size]], [scores[i] for i in order[size:]]
        chances = (1 - torch.rand(len(rest), generator=generator, dtype=torch.float64)).tolist()
        p_values = []
        for score, chance in zip(rest, chances, strict=True):
            above, equal = sum(one > score for one in chosen), sum(one == score for one in chosen)
            counted = above + equal + 1 if mode == "valid" else above + chance * (equal + 1)
            p_values.append(counted / (size + 1))
        shares.append([sum(p <= level for p in p_values) / len(rest) for level in LEVELS])
    return np.array(shares)


@pytest.mark.parametrize("mode", ["valid", "smoothed"])
def test_resampled_shares_are_those_of_loops(mode):
    scores = torch.randint(12, (60,), generator=torch.Generator().manual_seed(1))
    found = resampled(scores, 25, mode, torch.Generator().manual_seed(2), repeats=7)
    shares = naive_resampled(scores.tolist(), 25, mode, torch.Generator().manual_seed(2), 7)
    assert [row["level"] for row in found] == list(LEVELS) and {row["n"] for row in found} == {7}
    assert np.allclose([row["value"] for row in found], shares.mean(0))
    half = 2.4469 * shares.std(0, ddof=1) / 7**0.5
    assert np.allclose([row["high"] - row["value"] for row in found], half, atol=1e-4)
    assert np.allclose([row["value"] - row["low"] for row in found], half, atol=1e-4)


def test_resampled_smoothed_p_values_are_exact_whatever_the_scores_and_valid_ones_no_larger():
    scores = torch.tensor([0] * 300 + [1] * 200 + list(range(2, 102)))  # half of them tie at the least
    for mode in ("smoothed", "valid"):
        found = resampled(scores, 100, mode, torch.Generator().manual_seed(3), repeats=400)
        for row in found:
            spread = 3 * (row["high"] - row["value"]) + 1e-9
            assert row["value"] <= row["level"] + spread
            assert mode == "valid" or row["value"] >= row["level"] - spread


@pytest.mark.parametrize("size, repeats", [(0, 5), (10, 5), (4, 1)])
def test_impossible_splits_are_refused(size, repeats):
    with pytest.raises(ValueError, match="of 10 scores some must calibrate"):
        resampled(torch.arange(10), size, "valid", torch.Generator(), repeats=repeats)
