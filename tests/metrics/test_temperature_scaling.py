"""The temperature that logits are divided by: by hand, against scipy, at its ends, and its properties."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torch.nn.functional import cross_entropy

from metrics.calibration import expected_calibration_error
from metrics.temperature_scaling import LIMIT, temperature_of


def draw(seed, n=500, classes=5, scale=1.0, noise=0.2):
    """Logits, and the class with the highest one but for a share that is drawn anew."""
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    drawn = torch.randint(classes, (n,), generator=generator)
    return logits, torch.where(torch.rand(n, generator=generator) < noise, drawn, logits.argmax(1))


@pytest.mark.parametrize("gap", [1e-3, 1.0, 500.0])
@pytest.mark.parametrize("right", [55, 75, 99])
@pytest.mark.parametrize("classes", [2, 50, 1000])
def test_by_hand(gap, right, classes):
    """All logits are (gap, 0, ..., 0) and the first class is right in some of 100: its probability is to be that share.

    With many classes, the likelihood is straight on both sides of a sharp bend.
    """
    logits = torch.zeros(100, classes, dtype=torch.float64)
    logits[:, 0] = gap
    labels = (torch.arange(100) >= right).long()
    expected = gap / math.log(right * (classes - 1) / (100 - right))
    assert temperature_of(logits, labels) == pytest.approx(expected, rel=1e-9)


def test_one_sample_of_far_wider_logits_does_not_decide():
    """Of four whose logits differ by 1 one is wrong; the other, of 1000, is right whatever the temperature."""
    logits = torch.tensor([[1.0, 0.0]] * 4 + [[1000.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 0, 1, 0])
    assert temperature_of(logits, labels) == pytest.approx(1 / math.log(3), rel=1e-9)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("noise", [0.01, 0.2, 0.7])
def test_against_scipy(scale, noise):
    logits, labels = draw(0, scale=scale, noise=noise)
    found = minimize_scalar(
        lambda log_beta: float(cross_entropy(logits / scale * math.exp(log_beta), labels)),
        bounds=(-12, 12),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert temperature_of(logits, labels) == pytest.approx(scale * math.exp(-found.x), rel=1e-5)


@pytest.mark.parametrize("factor", [0.1, 1.0, 3.0, 10.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_too_large_by_a_factor_are_found_out(factor, dtype):
    """Labels drawn from the softmax: its temperature is 1 up to sampling error, however the logits are scaled."""
    logits, _ = draw(1, 20_000, 10)
    labels = torch.multinomial(logits.softmax(1), 1, generator=torch.Generator().manual_seed(2))[:, 0]
    given = (factor * logits).to(dtype)
    found = temperature_of(given, labels)
    assert found == pytest.approx(factor, rel=0.05)
    assert expected_calibration_error((given.double() / found).softmax(1), labels) < 0.02


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 60),
    classes=st.integers(2, 6),
    noise=st.sampled_from([0.05, 0.5, 1.0]),
    factor=st.sampled_from([1e-6, 0.3, 7.0, 1e8]),
)
def test_the_likelihood_is_least_there(seed, n, classes, noise, factor):
    """At no other temperature of a wide grid is it lower; scaled logits, other constants and orders change nothing."""
    logits, labels = draw(seed, n, classes, noise=noise)
    before = logits.clone()
    found = temperature_of(logits, labels)
    assert torch.equal(logits, before)
    width = float((logits.amax(1) - logits.amin(1)).max())
    assert width / LIMIT * (1 - 1e-9) <= found <= width * LIMIT * (1 + 1e-9)
    least = float(cross_entropy(logits / found, labels))
    for other in (1.0, found * 1.01, found / 1.01, *(width * 10 ** (k / 4) for k in range(-16, 17))):
        if width / LIMIT <= other <= width * LIMIT:
            assert least <= float(cross_entropy(logits / other, labels)) + 1e-12
    assert temperature_of(factor * logits, labels) == pytest.approx(factor * found, rel=1e-6)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    assert temperature_of(logits[order], labels[order]) == pytest.approx(found, rel=1e-6)
    assert temperature_of(logits.repeat(2, 1), labels.repeat(2)) == pytest.approx(found, rel=1e-6)
    shift = torch.arange(n, dtype=torch.float64)[:, None]
    assert temperature_of(logits + shift, labels) == pytest.approx(found, rel=1e-6)


def test_the_ends():
    logits, labels = torch.tensor([[3.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1])
    assert temperature_of(logits, labels) == 3 / LIMIT  # every class has the highest logit
    assert temperature_of(logits, 1 - labels) == 3 * LIMIT  # none has
    assert temperature_of(logits, torch.zeros(2).long()) == pytest.approx(3 / math.log(2), rel=0.6)
    assert temperature_of(torch.ones(4, 3), torch.tensor([0, 1, 2, 0])) == 1  # they say nothing
    assert temperature_of(torch.ones(4, 1), torch.zeros(4).long()) == 1
    tied = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    assert temperature_of(tied, torch.tensor([0, 1])) == 1 / LIMIT  # none is beaten
    mirrored = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert temperature_of(mirrored, labels) == LIMIT  # as often right as wrong


def test_one_mistake_among_many_certain_ones_is_no_end():
    """Where probabilities underflow, the slope is that of the mistake alone."""
    logits = torch.tensor([[1e4, 0.0]]).repeat(1000, 1)
    logits[0] = torch.tensor([0.0, 1e-3])
    found = temperature_of(logits, torch.zeros(1000).long())
    assert 1e4 / LIMIT <= found < 2e3
    wide = logits.double()
    least = float(cross_entropy(wide / found, torch.zeros(1000).long()))
    assert all(least <= float(cross_entropy(wide / t, torch.zeros(1000).long())) for t in (1.0, found / 2, 2 * found))


LOGITS, LABELS = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize(
    "logits, labels, error, message",
    [
        (LOGITS.long(), LABELS, TypeError, "must be floating, not torch.int64"),
        (LOGITS, LABELS.float(), TypeError, "labels must be integers"),
        (LOGITS, LABELS[:3], ValueError, r"not \(4, 3\) and \(3,\)"),
        (LOGITS[:0], LABELS[:0], ValueError, "at least one"),
        (LOGITS, LABELS + 1, ValueError, "labels must be in 0 to 2, not 1 to 3"),
        (LOGITS * math.nan, LABELS, ValueError, "must be finite"),
    ],
)
def test_bad_input_is_refused(logits, labels, error, message):
    with pytest.raises(error, match=message):
        temperature_of(logits, labels)
