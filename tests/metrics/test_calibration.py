"""Accuracy, likelihood and calibration: by hand, against torchmetrics, and their properties."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.calibration import accuracy, expected_calibration_error, measure, nll


def binary(*confidences):
    """Probabilities of two classes, of which the first has the given confidences."""
    first = torch.tensor(confidences, dtype=torch.float64)
    return torch.stack([first, 1 - first], 1)


def draw(seed, n=500, classes=10, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, classes, generator=generator)
    return logits, torch.randint(classes, (n,), generator=generator)


def test_a_case_by_hand():
    """Five bins; 0.62 and 0.78 share (0.6, 0.8], one of the two right; 0.9 and 1 share (0.8, 1], both right."""
    probabilities, labels = binary(0.62, 0.78, 0.9, 1.0), torch.tensor([0, 1, 0, 0])
    expected = 2 / 4 * abs(1 / 2 - 0.7) + 2 / 4 * abs(1 - 0.95)
    assert expected_calibration_error(probabilities, labels, bins=5) == pytest.approx(expected, abs=1e-12)
    assert accuracy(probabilities, labels) == 0.75
    assert nll(probabilities, labels) == pytest.approx(-math.log(0.62 * 0.22 * 0.9) / 4, abs=1e-12)


def test_an_edge_belongs_to_the_bin_below_it():
    """0.5 and 0.6 lie in different ones of two bins, so that one sample's excess does not offset the other's."""
    probabilities, labels = binary(0.5, 0.6), torch.tensor([0, 1])
    assert expected_calibration_error(probabilities, labels, bins=2) == pytest.approx((0.5 + 0.6) / 2)
    assert expected_calibration_error(probabilities, labels, bins=1) == pytest.approx(0.1 / 2)


def naive_ece(probabilities, labels, bins):
    total = 0.0
    for i in range(bins):
        members = [k for k, row in enumerate(probabilities.tolist()) if i / bins < max(row) <= (i + 1) / bins]
        right = sum(int(probabilities[k].argmax() == labels[k]) for k in members)
        total += abs(right - sum(float(probabilities[k].max()) for k in members))
    return total / len(labels)


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("bins", [1, 2, 15, 100])
def test_against_a_loop_over_bins(scale, bins):
    logits, labels = draw(0, n=200, scale=scale)
    probabilities = logits.double().softmax(1)
    expected = naive_ece(probabilities, labels, bins)
    assert expected_calibration_error(probabilities, labels, bins) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("classes", [2, 10])
def test_against_torchmetrics(classes, scale):
    oracle = pytest.importorskip("torchmetrics.functional.classification")
    logits, labels = draw(1, classes=classes, scale=scale)
    found = {row["metric"]: row["value"] for row in measure(logits, labels)}
    probabilities = logits.double().softmax(1)
    ece = oracle.multiclass_calibration_error(probabilities, labels, classes, n_bins=15, norm="l1")
    right = oracle.multiclass_accuracy(logits, labels, classes, average="micro")
    assert found["ece"] == pytest.approx(float(ece), abs=1e-6)
    assert found["accuracy"] == pytest.approx(float(right), abs=1e-6)
    assert found["nll"] == pytest.approx(nll(probabilities, labels), rel=1e-9)


def test_certain_and_right_is_perfect_and_certain_and_wrong_is_worst():
    labels = torch.arange(20) % 4
    certain = torch.nn.functional.one_hot(labels, 4).double()
    assert expected_calibration_error(certain, labels) == 0 == nll(certain, labels)
    assert expected_calibration_error(certain, (labels + 1) % 4) == 1
    assert nll(certain, (labels + 1) % 4) == math.inf


def test_a_sharpened_calibrated_classifier_is_found_out():
    """Labels drawn from the probabilities themselves: calibrated to sampling error, and no more once sharpened."""
    logits, _ = draw(2, n=20000, scale=1.0)
    labels = torch.multinomial(logits.softmax(1), 1, generator=torch.Generator().manual_seed(3))[:, 0]
    calibrated, sharp = ({row["metric"]: row["value"] for row in measure(k * logits, labels)} for k in (1, 3))
    assert calibrated["ece"] < 0.02 < 0.3 < sharp["ece"]
    assert calibrated["accuracy"] == sharp["accuracy"]
    assert calibrated["nll"] < sharp["nll"]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 60), classes=st.integers(1, 6), scale=st.floats(0, 100))
def test_ranges_and_invariance(seed, n, classes, scale):
    logits, labels = draw(seed, n, classes, scale)
    rows = measure(logits, labels)
    found = {row["metric"]: row["value"] for row in rows}
    assert list(found) == ["accuracy", "nll", "ece"] and all(row["n"] == n for row in rows)
    assert 0 <= found["accuracy"] <= 1 and 0 <= found["ece"] <= 1 and 0 <= found["nll"] < math.inf
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    shuffled = [row["value"] for row in measure(logits[order], labels[order])]
    assert shuffled == pytest.approx(list(found.values()), rel=1e-9, abs=1e-12)
    one_bin = expected_calibration_error(logits.double().softmax(1), labels, bins=1)
    assert one_bin <= found["ece"] + 1e-9  # bins can only part what offsets


def test_large_logits_do_not_overflow():
    logits = torch.tensor([[1e4, 0.0], [0.0, 1e4]])
    found = {row["metric"]: row["value"] for row in measure(logits, torch.tensor([0, 0]))}
    assert found == {"accuracy": 0.5, "nll": 5e3, "ece": 0.5}


LOGITS, LABELS = torch.zeros(4, 3), torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize(
    "logits, labels, error, message",
    [(LOGITS.long(), LABELS, TypeError, "must be floating, not torch.int64"),
     (LOGITS, LABELS.float(), TypeError, "labels must be integers"),
     (LOGITS, LABELS[:3], ValueError, r"not \(4, 3\) and \(3,\)"),
     (LOGITS[0], LABELS, ValueError, r"not \(3,\) and \(4,\)"),
     (LOGITS[:0], LABELS[:0], ValueError, "at least one"),
     (LOGITS, LABELS + 1, ValueError, "labels must be in 0 to 2, not 1 to 3"),
     (LOGITS, LABELS - 1, ValueError, "labels must be in 0 to 2, not -1 to 1"),
     (LOGITS + math.nan, LABELS, ValueError, "must be finite"),
     (LOGITS - math.inf, LABELS, ValueError, "must be finite")],
)  # fmt: skip
def test_bad_input_is_refused(logits, labels, error, message):
    for function in (measure, accuracy, nll, expected_calibration_error):
        with pytest.raises(error, match=message):
            function(logits, labels)


@pytest.mark.parametrize("function", [nll, expected_calibration_error])
@pytest.mark.parametrize("bad", [LOGITS, torch.eye(3)[LABELS] * 2, torch.tensor([[1.5, -0.5, 0.0]]).repeat(4, 1)])
def test_what_is_no_distribution_is_refused(function, bad):
    with pytest.raises(ValueError, match="sum to 1"):
        function(bad, LABELS)


def test_there_is_at_least_one_bin():
    with pytest.raises(ValueError, match="bins must be at least 1, not 0"):
        expected_calibration_error(torch.full((4, 3), 1 / 3), LABELS, bins=0)
