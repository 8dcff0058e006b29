"""All measures at once: each as its own file has it, what is left out, and what is remarked."""

import math
from dataclasses import replace

import pytest
import torch
from clouds import cloud, values

from metrics import diversity, frechet, kernel, manifolds, memorization, neighborhoods, real_generated, sliced
from metrics._sets import LeftOutError
from metrics.comparison import Predictions, compare
from metrics.histogram import measure as histogram
from metrics.memorization import TrainingSet, training_neighbors
from metrics.neighborhoods import Neighborhoods

LABELS = torch.arange(120) % 3
PREDICTED = Predictions(LABELS, LABELS.flip(0), 3)


@pytest.fixture(scope="module")
def sets():
    return cloud(0), cloud(1, spread=1.2), cloud(2, 200)


@pytest.fixture(scope="module")
def whole(sets):
    real, generated, training = sets
    return compare(real, generated, real_labels=LABELS, predicted=PREDICTED, training=TrainingSet.of(training))


def test_each_measure_is_what_it_is_alone(sets, whole):
    real, generated, _ = sets
    near = Neighborhoods.of(real, generated)
    alone = [
        *real_generated.measure(real, generated, LABELS),
        *(row for family in (frechet, kernel, sliced) for row in family.measure(real, generated)),
        *(row for family in (manifolds, diversity) for row in family.measure(near)),
        *histogram(LABELS, LABELS.flip(0), 3),
    ]
    found = {(row["side"], row["group"], row["metric"]): row["value"] for row in whole.rows}
    for row in alone:
        assert found[row["side"], row["group"], row["metric"]] == pytest.approx(row["value"], rel=1e-6), row


def test_no_two_rows_mean_the_same_and_all_are_finite(whole):
    keys = [(row["side"], row["group"], row["metric"]) for row in whole.rows]
    assert len(set(keys)) == len(keys)
    assert all(math.isfinite(row["value"]) for row in whole.rows)
    assert not whole.left_out and not whole.remarks


def test_gaps_are_differences_to_as_many_training_points(whole):
    held, trained = whole.value("density", "generated"), whole.trained.value("density", "generated")
    assert whole.value("density_gap", "generated") == pytest.approx(held - trained)
    assert whole.value("fid_infinity_gap") is not None and whole.value("fid_low_gap") is None
    assert 0 <= whole.value("memorized", "real") <= 1


def test_the_floor_of_memorised_ones_is_that_of_the_real_points(sets):
    """Found anew, or known from another comparison; as many training points as real ones are enough for gaps."""
    real, generated = (side[:40] for side in sets[:2])
    training = TrainingSet.of(sets[2][:40])
    usual = training_neighbors(real, training)
    found = compare(real, generated, training=training)
    assert (
        found.value("memorized", "real")
        == float(usual.memorized.double().mean())
        != found.value("memorized", "generated")
    )
    assert found.trained is not None and found.value("fid_gap") is not None
    other = replace(usual, own=usual.distance / 2)
    assert compare(real, generated, training=training, usual=other).value("memorized", "real") == 0


def test_of_points_equally_near_a_real_one_comes_first():
    """As where both sets are searched as one: whole numbers have many ties."""
    real, generated = torch.randint(6, (2, 40, 2), generator=torch.Generator().manual_seed(0)).float()
    expected = values(real_generated.measure(real, generated))
    found = values(compare(real, generated).rows)
    for side in ("joint", "real", "generated"):
        assert found[side, "one_nn_accuracy"] == expected[side, "one_nn_accuracy"]
    assert 0 < found["generated", "one_nn_accuracy"] < found["real", "one_nn_accuracy"] < 1


def test_a_generator_has_collapsed_below_a_tenth_of_the_spread():
    real, generated = cloud(0, 40), cloud(1, 40)
    remarks = [compare(real, share * generated).remarks for share in (0.2, 0.05)]
    assert not remarks[0] and "The generator has collapsed" in remarks[1][0]


def test_copies_of_training_points_show(sets):
    real, generated, training = sets
    mixed = torch.cat([generated[:60], training[:60]])
    found = compare(real, mixed, training=TrainingSet.of(training))
    assert found.value("memorized", "generated") >= 0.5
    assert set(found.nearest.position[60:].tolist()) == set(range(60))
    assert set(found.nearest.order[:60].tolist()) == set(range(60, 120))


def test_too_few_points_leave_measures_out_by_name_and_the_others_go_on():
    found = compare(cloud(0, 5), cloud(1, 5), training=TrainingSet.of(cloud(2, 3)))
    measured = {row["metric"] for row in found.rows}
    assert {"entanglement", "one_nn_accuracy", "fid", "kid", "mind", "vendi", "memorized"} <= measured
    assert not {"precision", "density", "fid_infinity"} & measured
    told = " ".join(found.left_out)
    assert "precision, recall, density, coverage: needs 6 points a side" in told
    assert "fid_infinity" in told and "gaps to training images: needs 5" in told
    with pytest.raises(LeftOutError):
        compare(cloud(0, 1), cloud(1, 1))


@pytest.mark.parametrize("generated", [cloud(1)[:1].expand(120, -1), cloud(1)[:3].repeat(40, 1), torch.zeros(120, 6)])
def test_a_collapsed_generator_is_finite_and_told(generated):
    found = compare(cloud(0), generated, training=TrainingSet.of(cloud(2, 200)))
    assert all(math.isfinite(row["value"]) for row in found.rows)
    assert "collapsed" in " ".join(found.remarks)


def test_collapse_to_one_real_image_is_finite_and_shows_on_every_measure():
    real = cloud(0)
    found = compare(real, real[:1].expand(120, -1))
    assert all(math.isfinite(row["value"]) for row in found.rows)
    assert found.value("ball_coverage", "real") < 0.2 and found.value("copied", "generated") == 1
    assert len(found.remarks) == 2


def test_thousands_of_copies_take_no_longer_than_other_points():
    """Each would be a neighbour of all: the searches meet a pair of points once."""
    seen = []
    real, generated = cloud(0, 3000, 3), cloud(1, 1, 3).expand(3000, -1)
    with pytest.MonkeyPatch.context() as patch:
        for module in (neighborhoods, memorization):
            search = module.nearest_neighbors

            def counted(queries, points, k, search=search, **settings):
                seen.append((len(queries), len(points)))
                return search(queries, points, k, **settings)

            patch.setattr(module, "nearest_neighbors", counted)
        near = Neighborhoods.of(real, generated)
        manifolds.measure(near)
        training_neighbors(generated, TrainingSet.of(generated))
    assert (6, 6) in seen and (1, 1) in seen and (3000, 3000) in seen


def test_a_real_set_of_one_image_leaves_the_spread_out():
    found = compare(cloud(0)[:1].expand(120, -1), cloud(1))
    assert all(math.isfinite(row["value"]) for row in found.rows)
    assert "spread: needs" in " ".join(found.left_out)


def test_identical_sets_and_shared_points_are_remarked():
    real = cloud(0)
    same, shared = compare(real, real.flip(0)), compare(real, torch.cat([real[:7], cloud(1)[7:]]))
    assert "The two sets are the same" in " ".join(same.remarks)
    assert same.value("precision", "generated") == 1 and same.value("fid") == pytest.approx(0, abs=1e-5)
    assert shared.remarks == ["7 of 120 generated samples are copies of real ones (distance 0)."]
    assert values(shared.rows)["generated", "copied"] == pytest.approx(7 / 120)


def test_unequal_sets_are_refused():
    with pytest.raises(ValueError, match="same shape"):
        compare(cloud(0, 10), cloud(1, 11))
