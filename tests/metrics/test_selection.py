"""Risk and coverage: by hand, against all orders of equal confidences, and their properties."""

import math
from itertools import pairwise, permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.selection import aurc, excess_aurc, measure, risk_coverage_curve

CONFIDENCE = torch.tensor([0.9, 0.8, 0.8, 0.3])
CORRECT = torch.tensor([True, False, True, False])


def draw(seed, n, levels):
    generator = torch.Generator().manual_seed(seed)
    confidence = torch.randint(levels, (n,), generator=generator)
    return confidence, torch.rand(n, generator=generator) < 0.6


def test_by_hand():
    """The risk of the first two is 0 or 1/2, as the two at 0.8 are ordered: 1/4 on average."""
    curve = risk_coverage_curve(CONFIDENCE, CORRECT)
    assert curve.coverage.tolist() == [0.25, 0.75, 1]
    assert curve.risk.tolist() == pytest.approx([0, 1 / 3, 1 / 2])
    assert curve.threshold.tolist() == CONFIDENCE.double()[[0, 1, 3]].tolist()
    area, best = (0 + 1 / 4 + 1 / 3 + 1 / 2) / 4, (0 + 0 + 1 / 3 + 1 / 2) / 4
    assert aurc(CONFIDENCE, CORRECT) == pytest.approx(area, abs=1e-12)
    assert excess_aurc(CONFIDENCE, CORRECT) == pytest.approx(area - best, abs=1e-12)
    assert measure(CONFIDENCE, CORRECT) == [
        {"metric": "aurc", "value": aurc(CONFIDENCE, CORRECT), "n": 4},
        {"metric": "excess_aurc", "value": excess_aurc(CONFIDENCE, CORRECT), "n": 4},
    ]


def test_the_ends():
    confidence, right = torch.rand(50), torch.ones(50, dtype=torch.bool)
    assert aurc(confidence, right) == 0 == excess_aurc(confidence, right)
    assert aurc(confidence, ~right) == 1 and excess_aurc(confidence, ~right) == 0
    half = torch.arange(50) < 20
    assert aurc(torch.zeros(50), half) == pytest.approx(0.6)  # equal confidences select nothing
    assert excess_aurc(half.float(), half) == pytest.approx(0, abs=1e-15)
    harmonic = sum(1 - 20 / i for i in range(21, 51)) / 50
    assert aurc(half.float(), half) == pytest.approx(harmonic)


def naive_aurc(order, correct):
    risks = [sum(not correct[k] for k in order[:i]) / i for i in range(1, len(order) + 1)]
    return sum(risks) / len(risks)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 6), levels=st.integers(1, 6))
def test_against_the_mean_over_all_orders_of_equal_ones(seed, n, levels):
    confidence, correct = draw(seed, n, levels)
    values = confidence.tolist()
    falling = lambda order: all(values[a] >= values[b] for a, b in pairwise(order))  # noqa: E731
    orders = [order for order in permutations(range(n)) if falling(order)]
    expected = sum(naive_aurc(order, correct.tolist()) for order in orders) / len(orders)
    assert aurc(confidence, correct) == pytest.approx(expected, abs=1e-12)
    best = min(naive_aurc(order, correct.tolist()) for order in permutations(range(n)))
    assert excess_aurc(confidence, correct) == pytest.approx(expected - best, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 100), levels=st.integers(1, 200))
def test_order_and_scale_do_not_matter(seed, n, levels):
    confidence, correct = draw(seed, n, levels)
    area, curve = aurc(confidence, correct), risk_coverage_curve(confidence, correct)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    assert aurc(confidence[order], correct[order]) == pytest.approx(area, abs=1e-12)
    for other in (confidence.double().exp(), confidence - 5, confidence.double() / 7):
        assert aurc(other, correct) == area
    again = risk_coverage_curve(confidence.repeat(2), correct.repeat(2))
    assert torch.equal(again.risk, curve.risk) and torch.equal(again.coverage, curve.coverage)
    assert curve.risk[-1] == pytest.approx(1 - float(correct.double().mean())) and curve.coverage[-1] == 1
    assert (curve.coverage.diff() > 0).all() and (curve.threshold.diff() < 0).all()
    assert -1e-12 <= excess_aurc(confidence, correct) <= area <= 1


def test_infinite_confidences_are_ranks_as_any():
    assert aurc(torch.tensor([math.inf, 0, -math.inf]), torch.tensor([True, True, False])) == pytest.approx(1 / 9)
    zeros = risk_coverage_curve(torch.tensor([0.0, -0.0]), torch.tensor([True, False]))
    assert zeros.coverage.tolist() == [1]


@pytest.mark.parametrize(
    "confidence, correct, error, message",
    [
        (CONFIDENCE.bool(), CORRECT, TypeError, "confidence must be real numbers, not torch.bool"),
        (CONFIDENCE.to(torch.complex64), CORRECT, TypeError, "not torch.complex64"),
        (CONFIDENCE, CORRECT.float(), TypeError, "correct must be bool, not torch.float32"),
        (CONFIDENCE[:0], CORRECT[:0], ValueError, r"at least one, not \(0,\)"),
        (CONFIDENCE[None], CORRECT[None], ValueError, r"confidence must be \(n,\), at least one, not \(1, 4\)"),
        (CONFIDENCE, CORRECT[:3], ValueError, r"not \(3,\)"),
        (CONFIDENCE / CORRECT.new_tensor([1, 1, 1, 0]).float() * 0, CORRECT, ValueError, "NaN; 1 of 4 are"),
    ],
)
def test_bad_input_is_refused(confidence, correct, error, message):
    for function in (measure, aurc, excess_aurc, risk_coverage_curve):
        with pytest.raises(error, match=message):
            function(confidence, correct)
