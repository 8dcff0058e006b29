"""Reliability tables and their error: by hand, against loops and torchmetrics, and their properties."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.reliability import calibration_error, reliability_table

CONFIDENCE = torch.tensor([0.1, 0.3, 0.35, 0.8, 1.0], dtype=torch.float64)
CORRECT = torch.tensor([False, True, False, True, True])


def draw(seed, n, ties=False):
    generator = torch.Generator().manual_seed(seed)
    confidence = torch.rand(n, generator=generator, dtype=torch.float64)
    confidence = (confidence * 8).round() / 8 if ties else confidence
    return confidence, torch.rand(n, generator=generator) < confidence


def test_equal_width_by_hand():
    table = reliability_table(CONFIDENCE, CORRECT, bins=4)
    assert table.lower.tolist() == [0, 0.25, 0.5, 0.75] and table.upper.tolist() == [0.25, 0.5, 0.75, 1]
    assert table.count.tolist() == [1, 2, 0, 2]
    assert table.confidence.tolist() == pytest.approx([0.1, 0.325, math.nan, 0.9], nan_ok=True)
    assert table.accuracy.tolist() == pytest.approx([0, 0.5, math.nan, 1], nan_ok=True)
    expected = (0.1 + 2 * 0.175 + 2 * 0.1) / 5
    assert calibration_error(CONFIDENCE, CORRECT, bins=4) == pytest.approx(expected, abs=1e-12)


def test_equal_mass_by_hand():
    """Five samples in two bins: ranks up to ceil(5 / 2) = 3, so three and two."""
    table = reliability_table(CONFIDENCE, CORRECT, bins=2, binning="equal_mass")
    assert table.lower.tolist() == [0, 0.35] and table.upper.tolist() == [0.35, 1]
    assert table.count.tolist() == [3, 2]
    assert table.confidence.tolist() == pytest.approx([0.25, 0.9])
    assert table.accuracy.tolist() == pytest.approx([1 / 3, 1])


def test_a_p_value_that_half_of_the_samples_share_is_in_one_bin():
    """As the credibility of deep k-nearest neighbours can be: the bins that it would fill are empty."""
    credibility = torch.tensor([0.02, 0.2, 0.4, 0.6, 1, 1, 1, 1, 1, 1], dtype=torch.float64)
    correct = torch.tensor([0, 0, 1, 1, 1, 1, 1, 1, 1, 0]).bool()
    table = reliability_table(credibility, correct, bins=5, binning="equal_mass")
    assert table.count.tolist() == [2, 2, 6, 0, 0]
    assert table.accuracy[2] == pytest.approx(5 / 6)


def test_zero_is_in_the_first_bin_and_one_in_the_last():
    for binning in ("equal_width", "equal_mass"):
        table = reliability_table(torch.tensor([0.0, 1.0]), torch.tensor([True, False]), 2, binning)
        assert table.count.tolist() == [1, 1] and table.accuracy.tolist() == [1, 0]
        assert calibration_error(torch.tensor([0.0, 1.0]), torch.tensor([True, False]), 2, binning) == 1


@pytest.mark.parametrize("bins", [1, 3, 15])
@pytest.mark.parametrize("ties", [False, True])
def test_against_a_loop_over_ranks(bins, ties):
    confidence, correct = draw(0, 200, ties)
    ranked = sorted(confidence.tolist())
    edges = [0.0, *(ranked[math.ceil(i * 200 / bins) - 1] for i in range(1, bins)), 1.0]
    total = 0.0
    for i in range(bins):
        members = [k for k, p in enumerate(confidence.tolist()) if edges[i] < p <= edges[i + 1] or (i == 0 and p == 0)]
        total += abs(sum(int(correct[k]) - float(confidence[k]) for k in members))
    assert calibration_error(confidence, correct, bins, "equal_mass") == pytest.approx(total / 200, abs=1e-12)


def test_against_torchmetrics_and_scikit_learn():
    oracle = pytest.importorskip("torchmetrics.functional.classification")
    curve = pytest.importorskip("sklearn.calibration").calibration_curve
    confidence, correct = draw(1, 600)
    found = calibration_error(confidence, correct, 10)
    assert found == pytest.approx(float(oracle.binary_calibration_error(confidence, correct.long(), 10)), abs=1e-6)
    for binning, strategy in (("equal_width", "uniform"), ("equal_mass", "quantile")):
        table = reliability_table(confidence, correct, 10, binning)
        accuracy, mean = curve(correct.numpy(), confidence.numpy(), n_bins=10, strategy=strategy)
        assert table.accuracy.tolist() == pytest.approx(accuracy.tolist(), abs=0.02)  # its edges lie between ranks
        assert table.confidence.tolist() == pytest.approx(mean.tolist(), abs=0.01)
    width = reliability_table(confidence, correct, 10)
    accuracy, mean = curve(correct.numpy(), confidence.numpy(), n_bins=10)
    assert width.accuracy.tolist() == pytest.approx(accuracy.tolist(), abs=1e-12)
    assert width.confidence.tolist() == pytest.approx(mean.tolist(), abs=1e-12)


@pytest.mark.parametrize("binning", ["equal_width", "equal_mass"])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 80), bins=st.integers(1, 20), ties=st.booleans())
def test_invariance(binning, seed, n, bins, ties):
    """The order of samples does not matter, nor that each is there three times; the table says what the error is."""
    confidence, correct = draw(seed, n, ties)
    error = calibration_error(confidence, correct, bins, binning)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    assert calibration_error(confidence[order], correct[order], bins, binning) == pytest.approx(error, abs=1e-12)
    assert calibration_error(confidence.repeat(3), correct.repeat(3), bins, binning) == pytest.approx(error, abs=1e-12)
    table = reliability_table(confidence, correct, bins, binning)
    assert int(table.count.sum()) == n and (table.lower[1:] == table.upper[:-1]).all()
    gaps = (table.accuracy - table.confidence).abs().nan_to_num() * table.count
    assert float(gaps.sum()) / n == pytest.approx(error, abs=1e-12)
    if binning == "equal_mass" and len(confidence.unique()) == n:
        assert int(table.count.max() - table.count.min()) <= 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(2, 60), bins=st.integers(1, 20))
def test_bins_of_equal_mass_follow_a_monotone_map(seed, n, bins):
    confidence, correct = draw(seed, n, ties=True)
    tables = [reliability_table(p, correct, bins, "equal_mass") for p in (confidence, confidence**2)]
    assert tables[0].count.tolist() == tables[1].count.tolist()
    assert tables[0].accuracy.tolist() == pytest.approx(tables[1].accuracy.tolist(), nan_ok=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_an_edge_is_one_in_every_precision(dtype):
    """0.6 is the upper edge of the third of five bins, though no binary number is 0.6."""
    table = reliability_table(torch.tensor([0.2, 0.6, 0.8], dtype=dtype), torch.tensor([True] * 3), bins=5)
    assert table.count.tolist() == [1, 0, 1, 1, 0]


def test_a_confidence_of_few_bits_may_be_a_bit_above_1():
    (above,) = confidence = torch.tensor([1 + torch.finfo(torch.bfloat16).eps], dtype=torch.bfloat16)
    assert above > 1 and reliability_table(confidence, torch.tensor([True])).count.tolist() == [0] * 14 + [1]


@pytest.mark.parametrize(
    "confidence, correct, error, message",
    [
        (CONFIDENCE.long(), CORRECT, TypeError, "confidence must be floating, not torch.int64"),
        (CONFIDENCE, CORRECT.long(), TypeError, "correct must be bool, not torch.int64"),
        (CONFIDENCE[:0], CORRECT[:0], ValueError, r"confidence must be \(n,\), at least one, not \(0,\)"),
        (CONFIDENCE[None], CORRECT, ValueError, r"not \(1, 5\)"),
        (CONFIDENCE, CORRECT[:4], ValueError, r"correct must be \(5,\), one for each confidence, not \(4,\)"),
        (CONFIDENCE * math.nan, CORRECT, ValueError, "must not be NaN; 5 of 5 are"),
        (CONFIDENCE * 2, CORRECT, ValueError, r"must be in \[0, 1\], not 0.2 to 2\."),
        (CONFIDENCE - 0.5, CORRECT, ValueError, r"not -0.4 to 0.5\."),
    ],
)
def test_bad_input_is_refused(confidence, correct, error, message):
    for function in (reliability_table, calibration_error):
        with pytest.raises(error, match=message):
            function(confidence, correct)


def test_impossible_bins_are_refused():
    with pytest.raises(ValueError, match="bins must be at least 1, not 0"):
        reliability_table(CONFIDENCE, CORRECT, 0)
    with pytest.raises(ValueError, match=r"unknown binning 'width'; known: equal_width, equal_mass\."):
        reliability_table(CONFIDENCE, CORRECT, 5, "width")
