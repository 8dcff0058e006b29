"""Intervals against scipy and a case worked by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lab.reporting.statistics import (
    OF_SHARES,
    POSITIVE,
    SHARE,
    by_seed,
    first_by_seed,
    last_by_seed,
    mean_interval,
    paired_by_seed,
    share_interval,
    welch_difference,
)

ONE = [0.31, 0.42, 0.38, 0.55, 0.29]
OTHER = [0.61, 0.52, 0.88, 0.45, 0.70]
THIRD = [0.5, 0.7, 0.4]


def interval(estimate):
    return estimate.low, estimate.high


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_mean_equals_scipy(confidence):
    found = mean_interval(ONE, confidence=confidence)
    expected = stats.ttest_1samp(ONE, 0).confidence_interval(confidence)
    assert found.value == pytest.approx(np.mean(ONE))
    assert interval(found) == pytest.approx(tuple(expected))
    assert found.n == 5


def test_paired_equals_scipy():
    found = paired_by_seed(pd.Series(OTHER), pd.Series(ONE))
    assert interval(found) == pytest.approx(tuple(stats.ttest_rel(OTHER, ONE).confidence_interval(0.95)))
    assert found.value == pytest.approx(np.mean(OTHER) - np.mean(ONE))
    assert found.n == 5


def test_values_are_paired_by_seed_and_those_without_a_partner_left_out():
    after = pd.Series({3: 5.0, 0: 1.0, 2: 4.0, 7: 100.0, 8: math.nan})
    before = pd.Series({0: 0.0, 2: 2.0, 3: 2.0, 5: -100.0, 8: 1.0})
    assert paired_by_seed(after, before) == mean_interval([1.0, 2.0, 3.0])
    assert paired_by_seed(after, pd.Series({1: 0.0})) is None
    assert paired_by_seed(after, pd.Series(dtype=float)) is None


@pytest.mark.parametrize("other", [OTHER, THIRD])
def test_welch_equals_scipy(other):
    found = welch_difference(ONE, other)
    assert interval(found) == pytest.approx(
        tuple(stats.ttest_ind(ONE, other, equal_var=False).confidence_interval(0.95))
    )
    assert found.value == pytest.approx(np.mean(ONE) - np.mean(other))
    assert found.n == len(other)


def test_by_hand():
    # Mean 2, standard deviation 1, n = 3: t(0.975, 2) = 4.302653.
    found = mean_interval([1.0, 2.0, 3.0])
    assert interval(found) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)), rel=1e-6)


@pytest.mark.parametrize(
    "found", [mean_interval([0.5] * 4), paired_by_seed(pd.Series([1.5] * 4), pd.Series([1.0] * 4))]
)
def test_without_spread_the_interval_has_no_width(found):
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_welch_without_spread():
    assert interval(welch_difference([1.0] * 3, [0.5] * 3)) == (0.5, 0.5)


@pytest.mark.parametrize("found", [mean_interval([0.1] * 3), welch_difference([0.1] * 3, [0.3] * 7)])
def test_rounding_of_the_mean_is_no_spread(found):
    assert found.low == found.value == found.high


@pytest.mark.filterwarnings("ignore:Precision loss")
def test_welch_with_spread_on_one_side_equals_scipy():
    expected = stats.ttest_ind(ONE, [0.5] * 3, equal_var=False).confidence_interval(0.95)
    assert interval(welch_difference(ONE, [0.5] * 3)) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("found", [mean_interval([0.5]), welch_difference([1.0], [0.5, 0.6])])
def test_one_value_has_no_interval(found):
    assert found.n == 1
    assert math.isnan(found.low) and math.isnan(found.high)


@pytest.mark.parametrize("found", [mean_interval([0.5, 0.7]), welch_difference([1.0, 2.0], [0.5, 0.6, 0.8])])
def test_two_values_have_none(found):
    assert found.n == 2
    assert math.isnan(found.low) and math.isnan(found.high)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=8), st.lists(st.floats(0, 1), min_size=3, max_size=8))
def test_intervals_end_where_what_is_possible_ends(one, other):
    plain, within = mean_interval(one), mean_interval(one, within=SHARE)
    assert (within.low, within.high) == (max(plain.low, 0), min(plain.high, 1)) and within.value == plain.value
    n = min(len(one), len(other))
    for found in (
        paired_by_seed(pd.Series(one[:n]), pd.Series(other[:n]), within=OF_SHARES),
        welch_difference(one, other, within=OF_SHARES),
    ):
        assert -1 <= found.low <= found.value <= found.high <= 1


def test_what_is_positive_ends_at_0_and_goes_on_for_ever():
    plain, within = mean_interval([0.1, 0.2, 90.0]), mean_interval([0.1, 0.2, 90.0], within=POSITIVE)
    assert (within.low, within.high) == (0, plain.high)


@pytest.mark.parametrize("values", [[], [math.nan], [1.0, math.inf]])
def test_no_number_is_refused(values):
    with pytest.raises(ValueError, match="finite values"):
        mean_interval(values)


def test_an_infinite_difference_is_refused():
    with pytest.raises(ValueError, match="finite values"):
        paired_by_seed(pd.Series([1.0, math.inf]), pd.Series([1.0, 2.0]))


def test_values_by_seed_are_those_of_the_first_and_the_last_step():
    places = [(1, 9, 0.4), (0, 0, 0.1), (0, 9, 0.3), (1, 0, 0.2), (2, 0, 0.5), (1, 4, 0.9)]
    rows = pd.DataFrame(places, columns=["seed", "step", "value"])
    assert first_by_seed(rows).to_dict() == {0: 0.1, 1: 0.2, 2: 0.5}
    assert last_by_seed(rows).to_dict() == {0: 0.3, 1: 0.4}
    assert list(last_by_seed(rows).index) == [0, 1]
    assert by_seed(rows[:2]).to_dict() == {0: 0.1, 1: 0.4}
    assert all(found(rows[:0]).empty for found in (by_seed, first_by_seed, last_by_seed))


@pytest.mark.parametrize("hits, n", [(0, 1), (1, 1), (0, 30), (3, 30), (29, 30), (30, 30), (400, 1000)])
def test_the_interval_of_a_share_equals_scipys_exact_one(hits, n):
    found = share_interval(hits, n)
    known = stats.binomtest(hits, n).proportion_ci(0.95, method="exact")
    assert (found.value, found.n) == (hits / n, n)
    assert interval(found) == pytest.approx((known.low, known.high), abs=1e-12)


@pytest.mark.parametrize("hits, n", [(0, 0), (-1, 3), (4, 3)])
def test_a_share_of_no_trials_or_more_has_no_interval(hits, n):
    with pytest.raises(ValueError, match="0 to n hits"):
        share_interval(hits, n)
