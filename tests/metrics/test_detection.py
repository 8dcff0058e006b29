"""Detection of foreign inputs: by hand, against scikit-learn, torchmetrics and pytorch-ood, and its properties."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics import detection
from metrics.detection import aupr_id_pos, aupr_ood_pos, auroc, fpr95_id_pos, fpr95_ood_pos, measure, roc_curve

IN, OUT = torch.tensor([1.0, 2.0, 2.0, 3.0]), torch.tensor([2.0, 4.0])


def draw(seed, n_in=300, n_out=200, levels=None):
    """Scores of two normal distributions, one apart, rounded to so many levels if asked."""
    generator = torch.Generator().manual_seed(seed)
    inside = torch.randn(n_in, generator=generator, dtype=torch.float64)
    outside = 1 + torch.randn(n_out, generator=generator, dtype=torch.float64)
    if levels:
        inside, outside = ((scores * levels / 4).round() for scores in (inside, outside))
    return inside, outside


def values(inside, outside):
    return {row["metric"]: row["value"] for row in measure(inside, outside)}


def test_by_hand():
    """Of eight pairs, 4 beats all four; 2 beats one and equals two: (4 + 1 + 1) / 8."""
    rows = measure(IN, OUT)
    assert [row["metric"] for row in rows] == ["auroc", "aupr_id_pos", "aupr_ood_pos", "fpr95_id_pos", "fpr95_ood_pos"]
    assert all(row["n_in"] == 4 and row["n_out"] == 2 for row in rows)
    found = values(IN, OUT)
    assert found["auroc"] == 6 / 8
    # flagged from 4 on: 1 of 1 right, recall 1/2; from 3 on: no recall gained; from 2 on: 2 of 5, recall 1
    assert found["aupr_ood_pos"] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 5)
    # accepted up to 1: 1 of 1; up to 2: 3 of 4 in recall 3/4; up to 3: 4 of 5
    assert found["aupr_id_pos"] == pytest.approx(1 / 4 * 1 + 1 / 2 * 3 / 4 + 1 / 4 * 4 / 5)
    assert found["fpr95_ood_pos"] == 3 / 4 and found["fpr95_id_pos"] == 1 / 2


def test_the_curve_by_hand():
    curve = roc_curve(IN, OUT)
    assert curve.fpr.tolist() == [0, 0, 0.25, 0.75, 1] and curve.tpr.tolist() == [0, 0.5, 0.5, 1, 1]
    assert curve.threshold.tolist() == [math.inf, 4, 3, 2, 1]


def test_the_ends():
    apart = dict.fromkeys(("auroc", "aupr_id_pos", "aupr_ood_pos"), 1.0) | {"fpr95_id_pos": 0.0, "fpr95_ood_pos": 0.0}
    assert values(torch.arange(40.0), 100 + torch.arange(25.0)) == apart
    chance = values(torch.zeros(30), torch.zeros(10))
    expected = {"auroc": 0.5, "aupr_id_pos": 0.75, "aupr_ood_pos": 0.25, "fpr95_id_pos": 1, "fpr95_ood_pos": 1}
    assert chance == expected
    assert auroc(100 + torch.arange(25.0), torch.arange(40.0)) == 0


def test_fpr95_needs_19_of_20_and_no_more():
    """With 20 positives, 95% are exactly 19; with 21 they are 20."""
    for n, needed in ((20, 19), (21, 20), (19, 19), (40, 38), (100, 95)):
        scores, probe = torch.arange(n, 0, -1.0), torch.arange(1.0, n + 1) - 0.5
        flagged = sum(p >= float(scores[needed - 1]) for p in probe.tolist()) / n
        assert fpr95_ood_pos(probe, scores) == pytest.approx(flagged), n


@pytest.mark.parametrize("levels", [None, 30, 6, 2])
@pytest.mark.parametrize("sizes", [(300, 200), (17, 400), (1, 3), (20, 1)])
def test_against_scikit_learn(levels, sizes):
    metrics = pytest.importorskip("sklearn.metrics")
    inside, outside = draw(0, *sizes, levels)
    scores, foreign = torch.cat([inside, outside]).numpy(), [0] * sizes[0] + [1] * sizes[1]
    native = [1 - side for side in foreign]
    found = values(inside, outside)
    assert found["auroc"] == pytest.approx(metrics.roc_auc_score(foreign, scores), abs=1e-12)
    assert found["aupr_ood_pos"] == pytest.approx(metrics.average_precision_score(foreign, scores), abs=1e-12)
    assert found["aupr_id_pos"] == pytest.approx(metrics.average_precision_score(native, -scores), abs=1e-12)
    for name, side, signed in (("fpr95_ood_pos", foreign, scores), ("fpr95_id_pos", native, -scores)):
        false, true, _ = metrics.roc_curve(side, signed, drop_intermediate=False)
        assert found[name] == false[(true >= 0.95).argmax()], name
    curve = roc_curve(inside, outside)
    false, true, thresholds = metrics.roc_curve(foreign, scores, drop_intermediate=False)
    assert curve.fpr.tolist() == pytest.approx(false.tolist()) and curve.tpr.tolist() == pytest.approx(true.tolist())
    assert curve.threshold.tolist() == thresholds.tolist()


@pytest.mark.parametrize("levels", [None, 6])
def test_against_torchmetrics(levels):
    """It takes scores outside [0, 1] for logits and squeezes them: ranks in (0, 1) are compared."""
    oracle = pytest.importorskip("torchmetrics.functional.classification")
    inside, outside = draw(1, levels=levels)
    scores, foreign = torch.cat([inside, outside]), torch.cat([torch.zeros(300), torch.ones(200)]).long()
    ranks = scores.unique(return_inverse=True)[1].double() / 1000
    found = values(inside, outside)
    assert found["auroc"] == pytest.approx(float(oracle.binary_auroc(ranks, foreign)), abs=1e-6)
    assert found["aupr_ood_pos"] == pytest.approx(float(oracle.binary_average_precision(ranks, foreign)), abs=1e-6)
    other = oracle.binary_average_precision(1 - ranks, 1 - foreign)
    assert found["aupr_id_pos"] == pytest.approx(float(other), abs=1e-6)


@pytest.mark.parametrize("levels", [None, 30, 6])
def test_against_pytorch_ood(levels):
    """Its outliers have negative labels and are the positives of its FPR; its AUPR is of trapezoids."""
    oracle = pytest.importorskip("pytorch_ood.metrics").functional
    inside, outside = draw(2, levels=levels)
    scores, labels = torch.cat([inside, outside]), torch.cat([torch.zeros(300), -torch.ones(200)]).long()
    found = values(inside, outside)
    assert found["auroc"] == pytest.approx(float(oracle.auroc(scores, labels)), abs=1e-12)
    assert found["fpr95_ood_pos"] == float(oracle.fpr_at_tpr(scores, labels, 0.95))
    assert found["fpr95_id_pos"] == float(oracle.fpr_at_tpr(-scores, -1 - labels, 0.95))
    if levels is None:
        for name, positive in (("aupr_ood_pos", "ood"), ("aupr_id_pos", "id")):
            assert found[name] == pytest.approx(float(oracle.aupr(scores, labels, positive)), abs=5e-3)
    fpr, tpr, _ = oracle.roc_curve(scores, labels)
    curve = roc_curve(inside, outside)
    assert torch.equal(curve.fpr, fpr) and torch.equal(curve.tpr, tpr)


def test_fixed_scores_have_the_values_that_two_libraries_give():
    """scikit-learn 1.9.1 and pytorch-ood 0.4.0, for AUPR torchmetrics 1.9.0; many of these scores are equal."""
    inside = (torch.arange(200) * 37 % 101).double()
    outside = (torch.arange(150) * 53 % 97).double() + 30
    golden = {
        "auroc": 0.735883,
        "aupr_id_pos": 0.805736,
        "aupr_ood_pos": 0.710098,
        "fpr95_id_pos": 0.693333,
        "fpr95_ood_pos": 0.675000,
    }
    assert values(inside, outside) == pytest.approx(golden, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31), n_in=st.integers(1, 60), n_out=st.integers(1, 60), levels=st.sampled_from([2, 8, 99])
)
def test_invariance(seed, n_in, n_out, levels):
    """Only the order of scores counts; each sample twice is the same; swapped and negated sides swap the names."""
    inside, outside = draw(seed, n_in, n_out, levels)
    found = values(inside, outside)
    order = torch.Generator().manual_seed(seed)
    shuffled = [side[torch.randperm(len(side), generator=order)] for side in (inside, outside)]
    assert values(*shuffled) == found
    for same in (lambda x: 3 * x - 7, torch.atan, lambda x: x.exp(), lambda x: x.float(), lambda x: x.long()):
        assert values(same(inside), same(outside)) == found
    assert values(inside.repeat(2), outside.repeat(2)) == pytest.approx(found, rel=1e-12)
    swapped = values(-outside, -inside)
    for name, other in (("auroc", "auroc"), ("aupr_id_pos", "aupr_ood_pos"), ("fpr95_id_pos", "fpr95_ood_pos")):
        assert swapped[other] == found[name] and swapped[name] == found[other]
    assert auroc(outside, inside) == pytest.approx(1 - found["auroc"], abs=1e-12)
    assert all(0 <= value <= 1 for value in found.values())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), n_in=st.integers(1, 15), n_out=st.integers(1, 15), levels=st.sampled_from([2, 8]))
def test_auroc_is_the_share_of_pairs_and_the_area_of_the_curve(seed, n_in, n_out, levels):
    inside, outside = draw(seed, n_in, n_out, levels)
    pairs = [(a < b) + (a == b) / 2 for a in inside.tolist() for b in outside.tolist()]
    assert auroc(inside, outside) == pytest.approx(sum(pairs) / len(pairs), abs=1e-15)
    curve = roc_curve(inside, outside)
    assert auroc(inside, outside) == pytest.approx(float(torch.trapezoid(curve.tpr, curve.fpr)), abs=1e-12)


@pytest.mark.parametrize("levels", [None, 6])
def test_a_prevalence_is_that_of_sets_repeated_to_it(levels):
    inside, outside = draw(3, 60, 20, levels)
    third, equal = outside.repeat(3), 0.5
    assert aupr_ood_pos(inside, outside, equal) == pytest.approx(aupr_ood_pos(inside, third), rel=1e-12)
    assert aupr_id_pos(inside, outside, equal) == pytest.approx(aupr_id_pos(inside, third), rel=1e-12)
    assert aupr_ood_pos(inside, outside, 0.25) == pytest.approx(aupr_ood_pos(inside, outside), rel=1e-12)
    assert aupr_ood_pos(inside, outside) < aupr_ood_pos(inside, outside, equal)
    for bad in (0, 1, -1, math.nan):
        with pytest.raises(ValueError, match=r"prevalence must be in \(0, 1\)"):
            aupr_ood_pos(inside, outside, bad)


def test_scores_of_two_dtypes_are_compared_as_they_are():
    tenth = torch.tensor([0.1])  # 1.5e-9 above 0.1 in float64
    assert auroc(torch.tensor([0.1], dtype=torch.float64), tenth) == 1
    assert auroc(torch.tensor([3]), torch.tensor([2.5])) == 0
    assert auroc(torch.tensor([0.0]), torch.tensor([-0.0])) == 0.5
    assert values(torch.tensor([-math.inf, 0]), torch.tensor([math.inf]))["auroc"] == 1


FUNCTIONS = [measure, roc_curve, auroc, aupr_id_pos, aupr_ood_pos, fpr95_id_pos, fpr95_ood_pos]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
@pytest.mark.parametrize(
    "bad, error, message",
    [
        (IN.bool(), TypeError, "must be real numbers, not torch.bool"),
        (IN.to(torch.complex64), TypeError, "must be real numbers, not torch.complex64"),
        (IN[:0], ValueError, r"must be \(n,\), at least one, not \(0,\)"),
        (IN[None], ValueError, r"must be \(n,\), at least one, not \(1, 4\)"),
        (IN[0], ValueError, r"must be \(n,\), at least one, not \(\)"),
        (torch.tensor([1, math.nan]), ValueError, "must not be NaN; 1 of 2 are"),
    ],
)
def test_bad_input_is_refused(function, bad, error, message):
    with pytest.raises(error, match=f"scores_in {message}"):
        function(bad, OUT)
    with pytest.raises(error, match=f"scores_out {message}"):
        function(IN, bad)


def test_the_rows_are_the_functions():
    assert values(IN, OUT) == {name: getattr(detection, name)(IN, OUT) for name in values(IN, OUT)}
