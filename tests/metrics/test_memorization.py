"""Copies of training points are found, whole or nearly so, and gaps are differences of like rows."""

import pytest
import torch
from clouds import cloud

from metrics._sets import LeftOutError
from metrics.memorization import TrainingSet, gaps, training_neighbors


def share(points, training):
    return training_neighbors(points, TrainingSet.of(training)).rows("generated")[0]["value"]


def test_copies_and_near_copies_are_memorised_and_held_out_points_seldom():
    training, held_out = cloud(0, 300, 12), cloud(1, 100, 12)
    nudged = training[:100] + 0.01 * cloud(2, 100, 12)
    assert share(training[:100], training) == share(nudged, training) == 1
    half = share(held_out, training)
    assert half < 0.5
    assert share(torch.cat([held_out[:80], training[:20]]), training) == pytest.approx(
        (80 * share(held_out[:80], training) + 20) / 100
    )


def test_a_copy_counts_even_if_the_training_image_is_there_twice():
    training = cloud(0, 30, 4).repeat(2, 1)
    found = training_neighbors(training[:5], TrainingSet.of(training))
    assert found.own.tolist() == [0] * 5 and bool(found.memorized.all())
    assert found.position.tolist() == [0, 1, 2, 3, 4]


def test_of_training_points_that_are_all_one_a_copy_alone_is_memorised():
    training = cloud(0, 1, 4).expand(6, -1)
    found = training_neighbors(torch.cat([training[:1], training[:1] + 1e-3]), TrainingSet.of(training))
    assert found.own.tolist() == [0, 0] and found.memorized.tolist() == [True, False]


def test_distances_are_those_of_the_definition():
    training, points = cloud(0, 40), cloud(1, 25)
    apart, within = torch.cdist(points, training), torch.cdist(training, training).fill_diagonal_(torch.inf)
    found = training_neighbors(points, TrainingSet.of(training))
    assert torch.equal(found.position, apart.argmin(1))
    torch.testing.assert_close(found.distance, apart.amin(1))
    torch.testing.assert_close(found.own, within.amin(1)[apart.argmin(1)])
    ratio = found.distance / found.own
    assert torch.equal(found.order, ratio.argsort(stable=True))


def test_gaps_are_of_rows_that_belong_together():
    about, no_values = {"side": "joint", "group": "", "n": 10}, ("fid_high", "kid_stderr", "inverse_temperature")
    held = [{**about, "metric": name, "value": 3.0} for name in ("fid", "fid_low", "kid", *no_values)]
    other = [{**about, "metric": "fid", "value": 1.0}, {**about, "metric": "kid", "value": 1.0, "n": 9}]
    other += [{**about, "metric": name, "value": 1.0} for name in no_values]
    assert gaps(held, other) == [{**about, "metric": "fid_gap", "value": 2.0}]


def test_one_training_point_is_too_few():
    with pytest.raises(LeftOutError, match="memorized: needs 2"):
        training_neighbors(cloud(0, 5), TrainingSet.of(cloud(1, 1)))
