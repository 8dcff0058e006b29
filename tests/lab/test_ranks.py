"""Agreement of orders against scipy and a bootstrap made the long way; rankings against what is known of them."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lab.reporting import ranks
from lab.reporting.ranks import agreement, ranking


def points(seed=0, runs=4, each=5, ties=False):
    """Points of three measures in so many runs, some of them equal."""
    draws = np.random.default_rng(seed).normal(size=(runs * each, 3))
    draws[:, 1] += draws[:, 0]
    values = draws.round(1) if ties else draws
    return pd.DataFrame(values, columns=["a", "b", "c"], index=np.repeat([f"run {i}" for i in range(runs)], each))


@pytest.mark.parametrize("ties", [False, True])
def test_tau_equals_scipy(ties):
    values = points(ties=ties)
    found = agreement(values)
    for one in "abc":
        for other in "abc":
            expected = stats.kendalltau(values[one], values[other]).statistic
            assert found.estimate(one, other).value == pytest.approx(expected, abs=1e-12)
    assert found.n == 4


def test_intervals_are_those_of_drawing_whole_runs_with_replacement():
    values = points(ties=True)
    kinds = values.index.unique()
    counts = np.random.default_rng(0).multinomial(len(kinds), np.full(len(kinds), 1 / len(kinds)), ranks.DRAWS)
    taus = []
    for times in counts[:50]:
        drawn = pd.concat([values.loc[[kind]] for kind, n in zip(kinds, times, strict=True) for _ in range(n)])
        taus.append(stats.kendalltau(drawn["a"], drawn["b"]).statistic)
    found = agreement(values)
    assert found.draws[:50, 0, 1] == pytest.approx(taus, abs=1e-12)
    estimate = found.estimate("a", "b")
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.quantile(found.draws[:, 0, 1], [0.025, 0.975])))


def test_the_same_order_agrees_wholly_and_the_opposite_one_not_at_all():
    values = points()[["a"]].assign(same=lambda one: one["a"] ** 3, opposite=lambda one: -one["a"], flat=1.0)
    found = agreement(values)
    same, opposite = found.estimate("a", "same"), found.estimate("a", "opposite")
    assert [same.value, same.low, same.high] == pytest.approx([1, 1, 1])
    assert [opposite.value, opposite.low, opposite.high] == pytest.approx([-1, -1, -1])
    assert found.difference("a", "same", "opposite").value == pytest.approx(2)
    assert found.estimate("a", "flat") is None and found.difference("a", "same", "flat") is None


def test_points_and_columns_that_lack_values_are_left_out():
    values = points().assign(never=math.nan)
    values.iloc[3, 0] = math.nan
    found = agreement(values)
    assert found.names == ("a", "b", "c")
    kept = values.iloc[[0, 1, 2, *range(4, 20)]]
    assert found.estimate("b", "c").value == pytest.approx(stats.kendalltau(kept["b"], kept["c"]).statistic)
    assert agreement(values.iloc[:1]) is None and agreement(pd.DataFrame()) is None


@pytest.mark.parametrize("runs", [1, 2])
def test_of_few_runs_there_is_no_interval(runs):
    estimate = agreement(points(runs=runs)).estimate("a", "b")
    assert math.isnan(estimate.low) and math.isnan(estimate.high) and estimate.n == runs


def series(*values):
    return pd.Series(values, dtype=float)


def test_places_that_are_far_apart_are_sure_and_the_direction_counts():
    values = {"low": series(1.0, 1.1, 0.9), "high": series(9.0, 9.2, 8.9), "none": series()}
    for higher, order in ((True, ["high", "low"]), (False, ["low", "high"])):
        first, last = ranking(values, higher_is_better=higher)
        assert [first.name, last.name] == order
        assert first.right > 0.99 and last.right == first.right == first.above_next and math.isnan(last.above_next)


def test_of_two_the_probability_is_that_of_the_difference_of_two_students():
    one, other = series(0.3, 0.5, 0.9, 0.4), series(0.2, 0.4, 0.5, 0.6)
    drawn = np.random.default_rng(1).standard_t(3, (2, 400_000))
    means = [values.mean() + values.sem() * t for values, t in zip((one, other), drawn, strict=True)]
    first, _ = ranking({"one": one, "other": other}, higher_is_better=True)
    assert first.above_next == pytest.approx((means[0] > means[1]).mean(), abs=0.015)


def test_of_two_values_each_the_probability_is_that_of_two_cauchys():
    """Whose difference is one, too: Student's distribution of one degree of freedom."""
    first, _ = ranking({"one": series(0.0, 1.0), "other": series(-2.0, 1.0)}, higher_is_better=True)
    assert first.above_next == pytest.approx(0.5 + math.atan(1.0 / (0.5 + 1.5)) / math.pi, abs=0.01)


def test_equal_ones_share_the_places_and_one_seed_says_nothing_of_them():
    values = {name: series(1.0, 2.0, 3.0) for name in "abcd"}
    assert all(place.right == pytest.approx(0.25, abs=0.02) for place in ranking(values, higher_is_better=True))
    alone = ranking({"a": series(1.0), "b": series(2.0, 3.0)}, higher_is_better=True)
    assert [place.name for place in alone] == ["b", "a"] and all(math.isnan(place.right) for place in alone)
    assert ranking({}, higher_is_better=True) == []


def test_ties_are_in_no_order():
    """Two whose values are all one, and another below them."""
    values = {"a": series(1.0, 1.0, 1.0), "b": series(1.0, 1.0, 1.0), "c": series(0.0, 0.0)}
    first, second, last = ranking(values, higher_is_better=True)
    assert first.right == pytest.approx(0.5, abs=0.02) and second.right == pytest.approx(0.5, abs=0.02)
    assert first.above_next == pytest.approx(0.5, abs=0.02)
    assert (second.above_next, last.right, last.name) == (1.0, 1.0, "c")
