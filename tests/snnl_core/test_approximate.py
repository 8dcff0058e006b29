"""Neighbours by an index that is passed in: the same where it misses nothing, and what it misses is told."""

import pytest
import torch

from snnl_core import DeepKNN, nearest_neighbors
from snnl_core.approximate import warn_of_low


def clouds(n, seed=0):
    """Overlapping classes in two layers, with ties and rows of zeros in the second, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (n,), generator=generator)
    return {
        "real": torch.randn(n, 4, generator=generator, dtype=torch.float64) + labels[:, None],
        "whole": torch.randint(3, (n, 3), generator=generator).float(),
    }, labels


def proposing(choose):
    """An index of which `choose` gives what is proposed: numbers of points and of queries, k -> (q, m)."""
    return lambda points, distance: lambda queries, k: choose(len(points), len(queries), k)


def everything(n, q, k):
    return torch.arange(n).expand(q, n)


def every_second(n, q, k):
    return torch.arange(0, n, 2).expand(q, -1)


def twice_and_too_few(n, q, k):
    """All points twice for even queries, one and nothing for the others."""
    found = torch.full((q, 2 * n), -1)
    found[::2] = torch.arange(2 * n) % n
    found[1::2, 0] = 5
    return found


def predicted(index=None, distance="cosine", **settings):
    knn = DeepKNN(5, distance, index=index, **settings).fit(*clouds(60))
    knn.calibrate(*clouds(40, seed=1), allow_overlap=True)
    return knn, knn.predict(clouds(30, seed=2)[0])


@pytest.mark.filterwarnings("ignore:layer 'whole'")
@pytest.mark.parametrize("distance", ["cosine", "sqeuclidean"])
@pytest.mark.parametrize("choose", [everything, twice_and_too_few, lambda n, q, k: torch.full((q, 1), -1)])
def test_an_index_that_misses_nothing_changes_nothing(choose, distance):
    """Nothing is missed where too little is proposed, either: such queries are searched among all."""
    knn, found = predicted(proposing(choose), distance)
    expected = predicted(distance=distance)[1]
    for field in ("labels", "p_values", "nonconformity"):
        assert torch.equal(getattr(found, field), getattr(expected, field))
    for layer in ("real", "whole"):
        assert torch.equal(found.neighbors[layer], expected.neighbors[layer])
        assert torch.equal(found.distances[layer], expected.distances[layer])
    assert knn.recall == {"real": 1, "whole": 1}
    assert knn.fit(*clouds(60)).recall == {}


@pytest.mark.filterwarnings("ignore:layer 'whole'")
def test_what_an_index_misses_is_told_and_the_rest_is_in_order():
    with pytest.warns(UserWarning, match=r"layer 'real': the index finds 0\.\d\d of the nearest neighbours"):
        knn, found = predicted(proposing(every_second), "sqeuclidean")
    (bank, _), (held_out, _), (test, _) = clouds(60), clouds(40, seed=1), clouds(30, seed=2)
    for layer in ("real", "whole"):
        expected = nearest_neighbors(test[layer], bank[layer][::2], 5)
        assert torch.equal(found.neighbors[layer], 2 * expected[1])
        assert torch.equal(found.distances[layer], expected[0])
        kth = nearest_neighbors(held_out[layer], bank[layer], 5)[0][:, -1:]
        among = nearest_neighbors(held_out[layer], bank[layer][::2], 5)[0]
        assert knn.recall[layer] == pytest.approx(float((among <= kth).double().mean()))


def test_a_recall_below_nine_tenths_is_warned_of():
    with pytest.warns(UserWarning, match="layer 'b': the index finds 0.89") as told:
        warn_of_low({"a": 0.9, "b": 0.89})
    assert len(told) == 1


def test_recall_is_measured_on_200_rows_at_most(monkeypatch):
    knn = DeepKNN(5, "sqeuclidean", index=proposing(everything)).fit(*clouds(60))
    searched = []
    monkeypatch.setattr(
        "snnl_core.deep_knn.share_found", lambda found, exact: searched.append(found.shape) or torch.ones(len(found))
    )
    knn.calibrate(*clouds(401, seed=1), allow_overlap=True)
    assert searched == [(134, 5), (134, 5)]


@pytest.mark.parametrize(
    "choose, words",
    [
        (lambda n, q, k: torch.full((q, k), n), "the index proposes point 60 of 60"),
        (
            lambda n, q, k: torch.zeros(q + 1, k, dtype=torch.int64),
            r"gives torch.int64 \(41, 5\); expected int64 \(40, m\)",
        ),
        (lambda n, q, k: torch.zeros(q, k), r"gives torch.float32 \(40, 5\)"),
    ],
)
def test_what_is_no_proposal_is_refused(choose, words):
    with pytest.raises(ValueError, match=words):
        predicted(proposing(choose), "sqeuclidean")


def test_an_index_that_gives_an_array_is_told_to_make_a_tensor_of_it():
    """As faiss's own do."""
    with pytest.raises(TypeError, match="what the index gives must be a tensor, not ndarray; make it one"):
        predicted(lambda points, distance: lambda queries, k: torch.zeros(len(queries), k).numpy(), "sqeuclidean")


def test_p_values_hold_whatever_is_missed():
    x, labels = torch.randn(1500, 2, generator=torch.Generator().manual_seed(0)), torch.arange(1500) % 2
    knn = DeepKNN(5, "sqeuclidean", "smoothed", index=proposing(lambda n, q, k: torch.arange(9).expand(q, 9)))
    with pytest.warns(UserWarning, match="the index finds 0.0"):
        knn.fit({"a": x[:500]}, labels[:500]).calibrate({"a": x[500:1000]}, labels[500:1000])
    found = knn.predict({"a": x[1000:]}, generator=torch.Generator().manual_seed(1))
    # 500 test rows against 500: a standard error of 0.019 about 0.1.
    assert abs(float((found.p_values.gather(1, labels[1000:, None]) <= 0.1).double().mean()) - 0.1) < 0.06
