"""p-values: worked out on paper, against crepes, and their validity where test and calibration points are exchangeable.

Of m + 1 exchangeable scores each is the test point equally often, so P(p <= level) is a mean over m + 1 cases: exact.
"""

import warnings

import numpy as np
import pytest
import torch
from crepes.base import p_values_batch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnl_core.conformal import Calibration, check_mode, uniform

DOUBLE = torch.float64
scores_with_ties = st.lists(st.integers(0, 6), min_size=2, max_size=30).map(torch.tensor)
steady = settings(max_examples=150, deadline=None, derandomize=True, database=None)


def one_class(scores):
    """Calibration scores of a single class."""
    return Calibration(scores, torch.zeros_like(scores), 1)


def each_in_turn(scores, mode, chance=None):
    """The p-value (m + 1,) of each score among the others."""
    rest = [torch.cat([scores[:i], scores[i + 1 :]]) for i in range(len(scores))]
    chance = None if chance is None else torch.full((1,), chance, dtype=DOUBLE)
    found = [one_class(others).p_values(scores[i].view(1, 1), mode, uniform=chance) for i, others in enumerate(rest)]
    return torch.cat(found).flatten()


@pytest.mark.parametrize(
    "mode, expected", [("valid", [1, 0.8, 0.4, 0.2]), ("paper", [1, 0.75, 0.25, 0]), ("smoothed", [0.8, 0.5, 0.3, 0.1])]
)
def test_each_formula_on_paper(mode, expected):
    # Of 0, 1, 1, 3, at least as large as 0, 1, 2, 4 are 4, 3, 1, 0, and larger are 3, 1, 1, 0.
    found = one_class(torch.tensor([3, 1, 0, 1])).p_values(
        torch.tensor([[0], [1], [2], [4]]), mode, uniform=torch.full((4,), 0.5, dtype=DOUBLE)
    )
    assert found.dtype == DOUBLE
    torch.testing.assert_close(found[:, 0], torch.tensor(expected, dtype=DOUBLE))


@pytest.mark.parametrize("class_conditional", [False, True])
@pytest.mark.parametrize("mode", ["valid", "smoothed"])
def test_equals_crepes(mode, class_conditional):
    generator = torch.Generator().manual_seed(0)
    scores, codes = torch.randint(9, (200,), generator=generator), torch.randint(4, (200,), generator=generator)
    test = torch.randint(9, (50, 4), generator=generator)
    chance = torch.from_numpy(np.random.RandomState(3).rand(50))
    found = Calibration(scores, codes, 4).p_values(test, mode, class_conditional=class_conditional, uniform=chance)
    for label in range(4):
        bins = {"bins_cal": codes.numpy(), "bins_test": np.full(50, label)} if class_conditional else {}
        # The same seed for each label, as one U serves all labels of a point.
        theirs = p_values_batch(scores.numpy(), test[:, label].numpy(), smoothing=mode == "smoothed", seed=3, **bins)
        torch.testing.assert_close(found[:, label], torch.from_numpy(theirs))


@steady
@given(scores_with_ties, st.floats(0, 1))
def test_smoothed_p_values_are_uniform(scores, level):
    low, high = each_in_turn(scores, "smoothed", 0.0), each_in_turn(scores, "smoothed", 1.0)
    # p is linear in U, so that each case is at most the level with a probability that is known.
    probability = ((level - low) / (high - low)).clamp(0, 1).mean()
    assert float(probability) == pytest.approx(level, abs=1e-12)


@steady
@given(scores_with_ties, st.floats(0, 1))
def test_valid_p_values_are_small_no_more_often_than_they_say(scores, level):
    assert float((each_in_turn(scores, "valid") <= level).double().mean()) <= level + 1e-12


def test_the_formulas_in_use_elsewhere_are_not_valid():
    distinct = torch.arange(10)
    assert float((each_in_turn(distinct, "paper") <= 0).double().mean()) == 0.1
    # Half of the scores are 0, and are dropped before the others are counted: small p-values become too rare.
    scores = torch.cat([torch.zeros(1000, dtype=torch.int64), torch.arange(1, 1001)])
    trimmed = (scores[scores > 0] >= scores[:, None]).double().mean(1)
    assert float((trimmed <= 0.05).double().mean()) == 0.025
    assert float((each_in_turn(scores[::20], "valid") <= 0.05).double().mean()) == 0.05


@steady
@given(scores_with_ties, st.floats(0.001, 1))
def test_the_label_that_conforms_better_never_has_the_smaller_p_value(scores, chance):
    labels = torch.arange(8).view(1, 8)
    found = one_class(scores).p_values(labels, "smoothed", uniform=torch.tensor([chance], dtype=DOUBLE))
    assert bool((found.diff(dim=1) <= 0).all())


@pytest.mark.parametrize("mode, expected", [("valid", 1.0), ("paper", 1.0), ("smoothed", 0.25)])
def test_nothing_speaks_against_a_class_without_calibration_points(mode, expected):
    calibration = Calibration(torch.tensor([0, 0]), torch.tensor([0, 0]), 2)
    chance = torch.tensor([0.25], dtype=DOUBLE)
    found = calibration.p_values(torch.tensor([[5, 5]]), mode, class_conditional=True, uniform=chance)
    assert found[0, 1] == expected
    assert found[0, 0] < 0.34


def test_uniform_numbers_are_never_zero(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda n, **_: torch.zeros(n, dtype=DOUBLE))
    assert uniform(3, None).tolist() == [1, 1, 1]


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="unknown mode 'exact'; known: valid, smoothed, paper"):
        check_mode("exact")
    with pytest.raises(ValueError, match="need a uniform number"):
        one_class(torch.tensor([1])).p_values(torch.tensor([[1]]), "smoothed")


@pytest.mark.parametrize("rows, warned", [(18, True), (19, False)])
def test_the_smallest_class_decides_whether_its_own_p_values_can_be_small(rows, warned):
    codes = torch.tensor([0] * rows + [1] * 40)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        Calibration(torch.zeros(len(codes)), codes, 2).warn(torch.arange(2), class_conditional=True)
    assert [str(each.message)[:38] for each in seen] == ["18 calibration rows of a class are few"] * warned
