"""Approximate neighbours by faiss: against exact ones, and what it refuses."""

import pytest
import torch

from lab.errors import UsageError
from outside import faiss
from outside.faiss import faiss_index
from snnl_core import DeepKNN, nearest_neighbors


def clouds(n, seed=0):
    """Two classes in one layer, some rows of zeros among them."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (n,), generator=generator)
    x = torch.randn(n, 8, generator=generator) + labels[:, None]
    return {"a": x * (torch.rand(n, 1, generator=generator) > 0.02)}, labels


def predicted(description, distance="cosine", dtype=torch.float32):
    knn = DeepKNN(10, distance, index=faiss_index(description) if description else None)
    fit, held_out, test = (
        ({"a": layers["a"].to(dtype)}, labels) for layers, labels in map(clouds, (900, 300, 50), (0, 1, 2))
    )
    return knn.fit(*fit).calibrate(*held_out, allow_overlap=True), knn.predict(test[0])


@pytest.mark.filterwarnings("ignore:layer 'a'")
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("distance", ["cosine", "sqeuclidean"])
def test_an_exact_index_finds_the_exact_neighbours(distance, dtype, monkeypatch):
    monkeypatch.setattr(faiss, "CHUNK", 8 * 100)
    knn, found = predicted("Flat", distance, dtype)
    assert knn.recall["a"] > 0.999
    expected = predicted(None, distance, dtype)[1]
    assert float((found.neighbors["a"] == expected.neighbors["a"]).double().mean()) > 0.99
    torch.testing.assert_close(found.distances["a"], expected.distances["a"])


@pytest.mark.filterwarnings("ignore:layer 'a'")
def test_the_recall_that_is_told_is_that_of_its_neighbours_and_rises_with_the_effort():
    shares = []
    for description in ("IVF16,Flat:nprobe=1", "IVF16,Flat:nprobe=4", "IVF16,Flat:nprobe=16", "HNSW8"):
        knn, found = predicted(description)
        exact = nearest_neighbors(clouds(50, 2)[0]["a"], clouds(900)[0]["a"], 10, distance="cosine")[0]
        by_hand = float((found.distances["a"] <= exact[:, -1:]).double().mean())
        assert abs(by_hand - knn.recall["a"]) < 0.15  # other rows
        shares.append(knn.recall["a"])
    assert shares[0] < shares[1] <= shares[2] and shares[2] > 0.999 and shares[3] > 0.8


@pytest.mark.filterwarnings("ignore:layer 'a'")
@pytest.mark.parametrize("sizes, most", [({"LEARNT": 300}, 300), ({"LEARNT_NUMBERS": 8 * 100}, 100), ({}, 900)])
def test_an_index_learns_from_some_of_the_points_spread_over_all(monkeypatch, sizes, most):
    for name, size in sizes.items():
        monkeypatch.setattr(faiss, name, size)
    seen, array = [], faiss._array
    monkeypatch.setattr(faiss, "_array", lambda points, distance: seen.append(points) or array(points, distance))
    points = clouds(900)[0]["a"]
    faiss_index("IVF8,Flat")(points, "sqeuclidean")
    assert torch.equal(seen[0], points[:: 900 // most]) and sum(map(len, seen[1:])) == 900


@pytest.mark.parametrize(
    "description, words",
    [
        ("HSNW32", "'HSNW32' of 900 points: could not parse index string HSNW32."),
        ("IVF2000,Flat", "of 900 points: Number of training points .900. should be at least as large as number of cl"),
        ("HNSW8:effort=3", "could not set parameter effort"),
    ],
)
def test_what_faiss_does_not_know_is_one_line(description, words):
    with pytest.raises(UsageError, match=words) as refused:
        predicted(description)
    assert "\n" not in str(refused.value)


def test_without_faiss_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setattr(faiss, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs faiss-cpu: pip install 'snnl-workbench\[faiss\]'"):
        faiss_index("HNSW32")
