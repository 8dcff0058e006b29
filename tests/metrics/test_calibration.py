"""Accuracy, likelihood and calibration: by hand, against torchmetrics, and their properties."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.calibration import (
    accuracy,
    brier_score,
    classwise_calibration_error,
    expected_calibration_error,
    measure,
    nll,
)

OF_PROBABILITIES = (nll, brier_score, expected_calibration_error, classwise_calibration_error)


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
    [
        (LOGITS.long(), LABELS, TypeError, "must be floating, not torch.int64"),
        (LOGITS, LABELS.float(), TypeError, "labels must be integers"),
        (LOGITS, LABELS[:3], ValueError, r"not \(4, 3\) and \(3,\)"),
        (LOGITS[0], LABELS, ValueError, r"not \(3,\) and \(4,\)"),
        (LOGITS[:0], LABELS[:0], ValueError, "at least one"),
        (LOGITS, LABELS + 1, ValueError, "labels must be in 0 to 2, not 1 to 3"),
        (LOGITS, LABELS - 1, ValueError, "labels must be in 0 to 2, not -1 to 1"),
        (LOGITS + math.nan, LABELS, ValueError, "must be finite"),
        (LOGITS - math.inf, LABELS, ValueError, "must be finite"),
    ],
)
def test_bad_input_is_refused(logits, labels, error, message):
    for function in (measure, accuracy, *OF_PROBABILITIES):
        with pytest.raises(error, match=message):
            function(logits, labels)


@pytest.mark.parametrize("function", OF_PROBABILITIES)
@pytest.mark.parametrize("bad", [LOGITS, torch.eye(3)[LABELS] * 2, torch.tensor([[1.5, -0.5, 0.0]]).repeat(4, 1)])
def test_what_is_no_distribution_is_refused(function, bad):
    with pytest.raises(ValueError, match="sum to 1"):
        function(bad, LABELS)


def test_there_is_at_least_one_bin():
    with pytest.raises(ValueError, match="bins must be at least 1, not 0"):
        expected_calibration_error(torch.full((4, 3), 1 / 3), LABELS, bins=0)


def test_brier_and_classwise_error_by_hand():
    """Two classes, 0.62 right and 0.78 wrong: each class's own error in five bins is that of its two samples."""
    probabilities, labels = binary(0.62, 0.78), torch.tensor([0, 1])
    assert brier_score(probabilities, labels) == pytest.approx((2 * 0.38**2 + 2 * 0.78**2) / 2, abs=1e-12)
    first = abs(1 - 0.62 + 0 - 0.78) / 2  # 0.62 and 0.78 share a bin, and so do 0.38 and 0.22
    assert classwise_calibration_error(probabilities, labels, bins=5) == pytest.approx(first, abs=1e-12)
    apart = (abs(0 - 0.38) + abs(1 - 0.22) + abs(1 - 0.62) + abs(0 - 0.78)) / 4
    assert classwise_calibration_error(probabilities, labels, bins=10) == pytest.approx(apart, abs=1e-12)


def test_certain_and_right_is_0_by_every_measure_and_certain_and_wrong_worst():
    labels = torch.arange(20) % 4
    certain = torch.nn.functional.one_hot(labels, 4).double()
    assert brier_score(certain, labels) == 0 == classwise_calibration_error(certain, labels)
    assert brier_score(certain, (labels + 1) % 4) == 2
    assert classwise_calibration_error(certain, (labels + 1) % 4) == 0.5  # two of four classes claimed wrongly


def naive_classwise(probabilities, labels, bins):
    total, (n, classes) = 0.0, probabilities.shape
    for c in range(classes):
        for i in range(bins):
            members = [k for k in range(n) if i / bins < float(probabilities[k, c]) <= (i + 1) / bins]
            total += abs(sum(int(labels[k] == c) - float(probabilities[k, c]) for k in members))
    return total / n / classes


@pytest.mark.filterwarnings("ignore:torch.searchsorted")
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_brier_and_classwise_error_against_others(classes):
    metrics = pytest.importorskip("sklearn.metrics")
    oracle = pytest.importorskip("torchmetrics.functional.classification")
    logits, labels = draw(4, n=300, classes=classes, scale=2.0)
    probabilities = logits.double().softmax(1)
    one_hot = torch.nn.functional.one_hot(labels, classes)
    plain = ((probabilities - one_hot) ** 2).sum() / 300
    assert brier_score(probabilities, labels) == pytest.approx(float(plain), rel=1e-12)
    if classes == 2:
        half = metrics.brier_score_loss(labels.numpy(), probabilities[:, 1].numpy())
        assert brier_score(probabilities, labels) == pytest.approx(2 * half, rel=1e-12)
    found = classwise_calibration_error(probabilities, labels, 15)
    assert found == pytest.approx(naive_classwise(probabilities, labels, 15), abs=1e-12)
    by_class = [
        oracle.binary_calibration_error(probabilities[:, c], (labels == c).long(), n_bins=15) for c in range(classes)
    ]
    assert found == pytest.approx(float(sum(by_class)) / classes, abs=1e-6)


def test_bins_of_equal_mass_are_those_of_the_reliability_table():
    """Four confidences in two bins of two: .6 wrong and .7 right; .8 and .9 right."""
    probabilities, labels = binary(0.9, 0.6, 0.8, 0.7), torch.tensor([0, 1, 0, 0])
    expected = abs(1 / 2 - 0.65) / 2 + abs(1 - 0.85) / 2
    assert expected_calibration_error(probabilities, labels, 2, "equal_mass") == pytest.approx(expected, abs=1e-12)
    for function in (expected_calibration_error, classwise_calibration_error):
        with pytest.raises(ValueError, match=r"unknown binning 'mass'; known: equal_width, equal_mass\."):
            function(probabilities, labels, 2, "mass")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_a_softmax_in_any_precision_is_a_distribution(dtype, classes):
    logits, labels = draw(5, n=400, classes=classes, scale=1.0)
    rounded = logits.to(dtype).softmax(1)
    exact = logits.to(dtype).double().softmax(1)
    off = float((rounded.double().sum(1) - 1).abs().max())
    if dtype is torch.bfloat16 and classes == 10:
        assert off > 2e-3  # a fixed tolerance of 1e-3 would refuse them
    for function in OF_PROBABILITIES:
        expected = pytest.approx(function(exact, labels), rel=0.05, abs=0.02)
        for kept in (rounded, rounded.float(), rounded.double()):  # wherever it has been kept since
            assert function(kept, labels) == expected
    with pytest.raises(ValueError, match="sum to 1"):
        nll(1.02 * rounded, labels)
