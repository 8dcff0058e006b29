"""Scores of foreign inputs: by hand, against pytorch-ood, their direction and their properties."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.scores import energy, entropy, kth_neighbor_distance, mean_neighbor_distance, negative_maximum_softmax
from snnl_core.neighbors import nearest_neighbors

FROM_LOGITS = (negative_maximum_softmax, energy, entropy)
FROM_DISTANCES = (kth_neighbor_distance, mean_neighbor_distance)
DISTANCES = torch.tensor([[0.0, 1.0, 5.0], [2.0, 2.0, 2.0]])


def draw(seed, n=200, classes=10, scale=3.0):
    return scale * torch.randn(n, classes, generator=torch.Generator().manual_seed(seed))


def test_by_hand():
    """The softmax of (log 3, 0) is (3/4, 1/4), and the sum of the exponentials 4."""
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]], dtype=torch.float64)
    assert negative_maximum_softmax(logits).tolist() == pytest.approx([-3 / 4, -1 / 2])
    assert energy(logits).tolist() == pytest.approx([-math.log(4), -math.log(2)])
    assert energy(logits, 0.5).tolist() == pytest.approx([-math.log(10) / 2, -math.log(2) / 2])
    by_hand = 3 / 4 * math.log(4 / 3) + 1 / 4 * math.log(4)
    assert entropy(logits).tolist() == pytest.approx([by_hand, math.log(2)])


def test_distances_by_hand():
    assert kth_neighbor_distance(DISTANCES).tolist() == [5, 2] and kth_neighbor_distance(DISTANCES, 2).tolist() == [
        1,
        2,
    ]
    assert mean_neighbor_distance(DISTANCES).tolist() == [2, 2]
    assert mean_neighbor_distance(DISTANCES, 2).tolist() == [0.5, 2]


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_against_pytorch_ood(scale):
    detector = pytest.importorskip("pytorch_ood.detector")
    logits = draw(0, scale=scale).double()
    for mine, other in (
        (negative_maximum_softmax(logits), detector.MaxSoftmax.score(logits)),
        (energy(logits), detector.EnergyBased.score(logits)),
        (energy(logits, 2.5), detector.EnergyBased.score(logits, t=2.5)),
        (entropy(logits), detector.Entropy.score(logits)),
    ):
        torch.testing.assert_close(mine, other, rtol=0, atol=2e-5)  # its entropy cuts probabilities at 1e-7


def test_the_kth_neighbour_is_that_of_pytorch_ood():
    """It takes Euclidean distances between features of length 1."""
    detector = pytest.importorskip("pytorch_ood.detector")
    features, queries = (draw(seed, 200, 16).double() for seed in (1, 2))
    oracle = detector.KNN(None, k=7).fit_features(features, torch.zeros(200).long()).predict_features(queries)
    unit = [torch.nn.functional.normalize(x, dim=1) for x in (queries, features)]
    squared, _ = nearest_neighbors(*unit, 9)
    torch.testing.assert_close(kth_neighbor_distance(squared.sqrt(), 7), oracle)
    torch.testing.assert_close(kth_neighbor_distance(squared, 7).sqrt(), oracle)


def test_a_larger_score_is_more_foreign():
    """Inputs of the kind trained on have one large logit, and near neighbours; foreign ones neither."""
    generator = torch.Generator().manual_seed(3)
    foreign = torch.randn(100, 5, generator=generator)
    native = foreign + 8 * torch.nn.functional.one_hot(torch.arange(100) % 5)
    for score in FROM_LOGITS:
        assert score(native).mean() < score(foreign).mean()
    points = torch.randn(200, 4, generator=generator)
    near, far = (nearest_neighbors(points[:50] + shift, points, 10)[0] for shift in (0.1, 5.0))
    for score in FROM_DISTANCES:
        assert score(near).max() < score(far).min()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31), n=st.integers(1, 20), classes=st.integers(1, 8), scale=st.sampled_from([0, 1, 50, 1e4])
)
def test_ranges_and_invariance(seed, n, classes, scale):
    logits = draw(seed, n, classes, scale)
    softmax, entropies = negative_maximum_softmax(logits), entropy(logits)
    assert (softmax >= -1).all() and (softmax <= -1 / classes + 1e-12).all()
    assert (entropies >= -1e-12).all() and (entropies <= math.log(classes) + 1e-12).all()
    order = torch.randperm(classes, generator=torch.Generator().manual_seed(seed))
    for score in FROM_LOGITS:
        found = score(logits)
        assert found.shape == (n,) and found.dtype == torch.float64 and found.isfinite().all()
        torch.testing.assert_close(score(logits[:, order]), found)
        torch.testing.assert_close(torch.cat([score(row[None]) for row in logits]), found)
    wide = logits.double()
    torch.testing.assert_close(entropy(wide + 3), entropies, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(energy(wide + 3), energy(logits) - 3)
    torch.testing.assert_close(energy(4 * wide, 4.0), 4 * energy(logits))


def test_probabilities_near_one_are_told_apart():
    """In float32, the softmax of both is 1."""
    found = negative_maximum_softmax(torch.tensor([[20.0, 0.0], [30.0, 0.0]]))
    assert found[1] < found[0]


@pytest.mark.parametrize("score", FROM_LOGITS, ids=lambda score: score.__name__)
@pytest.mark.parametrize(
    "bad, error, message",
    [
        (torch.ones(2, 3).long(), TypeError, "logits must be floating, not torch.int64"),
        (torch.ones(3), ValueError, r"must be \(n, classes\), at least one, not \(3,\)"),
        (torch.ones(0, 3), ValueError, r"not \(0, 3\)"),
        (torch.ones(2, 0), ValueError, r"not \(2, 0\)"),
        (torch.full((2, 3), math.nan), ValueError, "logits must be finite"),
        (torch.full((2, 3), math.inf), ValueError, "logits must be finite"),
    ],
)
def test_bad_logits_are_refused(score, bad, error, message):
    with pytest.raises(error, match=message):
        score(bad)


@pytest.mark.parametrize("temperature", [0, -1, math.nan, math.inf])
def test_an_impossible_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be positive and finite"):
        energy(torch.ones(2, 3), temperature)


@pytest.mark.parametrize("score", FROM_DISTANCES, ids=lambda score: score.__name__)
@pytest.mark.parametrize(
    "bad, k, error, message",
    [
        (DISTANCES.long(), None, TypeError, "distances must be floating, not torch.int64"),
        (DISTANCES[0], None, ValueError, r"must be \(n, neighbours\), at least one, not \(3,\)"),
        (DISTANCES[:0], None, ValueError, r"not \(0, 3\)"),
        (DISTANCES - 1, None, ValueError, "must be at least 0"),
        (DISTANCES * math.nan, None, ValueError, "must be at least 0"),
        (DISTANCES.flip(1), None, ValueError, "ascending in each row"),
        (DISTANCES, 0, ValueError, "k = 0 of 3 neighbours: k must be from 1 to 3"),
        (DISTANCES, 4, ValueError, "k = 4 of 3 neighbours: k must be from 1 to 3"),
    ],
)
def test_bad_distances_are_refused(score, bad, k, error, message):
    with pytest.raises(error, match=message):
        score(bad, k)
