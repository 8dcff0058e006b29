"""The histogram of classes, in closed form."""

import math

import pytest
import torch
from clouds import values

from metrics.histogram import measure

REAL = torch.arange(4).repeat(25)


def classes(*counts):
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


def test_equal_shares_have_all_modes_and_no_divergence():
    rows = measure(REAL, REAL.flip(0), 4)
    found = values(rows)
    assert [row["value"] for row in rows if row["metric"] == "class_share"] == [0.25] * 4
    assert [row["group"] for row in rows if row["group"]] == list("0123")
    assert found["generated", "class_entropy"] == pytest.approx(math.log(4))
    assert found["generated", "class_kl"] == 0 and found["generated", "modes"] == 4


def test_dropped_modes_are_counted_and_the_divergence_is_finite():
    found = values(measure(REAL, classes(60, 39, 1, 0), 4))
    assert found["generated", "modes"] == 2  # one image of a hundred is no tenth of a quarter
    smoothed = [(60.5 / 102), (39.5 / 102), (1.5 / 102), (0.5 / 102)]
    assert found["generated", "class_kl"] == pytest.approx(sum(p * math.log(4 * p) for p in smoothed))


def test_a_tenth_of_the_real_share_is_enough_and_a_class_that_neither_has_is_no_mode():
    assert values(measure(REAL, classes(13, 13, 13, 1), 5))["generated", "modes"] == 4


def test_a_class_that_is_not_among_the_real_ones_is_a_mode_and_costs():
    found = values(measure(classes(50, 50), classes(30, 30, 40), 3))
    assert found["generated", "modes"] == 3
    assert 1 < found["generated", "class_kl"] < math.inf


@pytest.mark.parametrize(
    "generated, error, message",
    [
        (torch.tensor([0, 4]), ValueError, "in 0 to 3, not 0 to 4"),
        (torch.tensor([0.0, 1.0]), TypeError, "integers"),
        (REAL[:0], ValueError, "at least one"),
    ],
)
def test_what_is_no_class_is_refused(generated, error, message):
    with pytest.raises(error, match=message):
        measure(REAL, generated, 4)
