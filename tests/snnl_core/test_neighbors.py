"""Nearest neighbours against scikit-learn."""

import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from snnl_core import neighbors
from snnl_core.neighbors import nearest_neighbors


@pytest.mark.parametrize("distance, metric", [("sqeuclidean", "sqeuclidean"), ("cosine", "cosine")])
@pytest.mark.parametrize("chunk", [1, 1 << 24])
def test_equals_scikit_learn(monkeypatch, distance, metric, chunk):
    monkeypatch.setattr(neighbors, "CHUNK_ENTRIES", chunk)
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(80, 5, generator=generator, dtype=torch.float64)
    queries = torch.randn(17, 5, generator=generator, dtype=torch.float64)
    if distance == "sqeuclidean":
        points, queries = points + 1000, queries + 1000
    oracle = NearestNeighbors(n_neighbors=4, metric=metric, algorithm="brute").fit(points)
    expected, index = oracle.kneighbors(queries)
    distances, found = nearest_neighbors(queries, points, 4, distance=distance)
    assert torch.equal(found, torch.from_numpy(index))
    torch.testing.assert_close(distances, torch.from_numpy(expected), atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("chunk", [1, 7 * 12, 1 << 24])
def test_no_point_is_its_own_neighbour(monkeypatch, chunk):
    monkeypatch.setattr(neighbors, "CHUNK_ENTRIES", chunk)
    points = torch.arange(12.0)[:, None].square()
    _, found = nearest_neighbors(points, points, 1, exclude_self=True)
    assert found[:, 0].tolist() == [1, 0, *range(1, 11)]


def test_copies_are_neighbours_at_distance_zero():
    points = torch.tensor([[0.0], [0.0], [9.0]])
    distances, found = nearest_neighbors(points, points, 1, exclude_self=True)
    assert found[:2, 0].tolist() == [1, 0]
    assert distances[0, 0] == 0


@pytest.mark.parametrize("k", [1, 3, 5])
def test_of_points_equally_near_the_first_are_taken(k):
    """Numbers whose mean, queries included, is 1: whole ones, so that no processor rounds any."""
    points = torch.tensor([[9.0], *[[1.0]] * 122, [0.0], [-1.0], [-2.0]])
    assert points.sum() == len(points) + 2
    distances, found = nearest_neighbors(torch.zeros(2, 1), points, k)
    assert found.tolist() == [[123, 1, 2, 3, 4][:k]] * 2
    torch.testing.assert_close(distances[0], torch.tensor([0.0, 1, 1, 1, 1])[:k], atol=1e-4, rtol=0)


def test_half_precision_is_computed_in_float32():
    points = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)).mul(1000).half()
    distances, found = nearest_neighbors(points, points, 2, exclude_self=True)
    expected = nearest_neighbors(points.double(), points.double(), 2, exclude_self=True)
    assert distances.dtype == torch.float32
    assert torch.equal(found, expected[1])
    torch.testing.assert_close(distances, expected[0].float(), rtol=1e-4, atol=10)


def test_impossible_numbers_are_refused():
    points = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="k must be from 1 to 2"):
        nearest_neighbors(points, points, 3, exclude_self=True)
    with pytest.raises(ValueError, match="do not fit"):
        nearest_neighbors(torch.zeros(3, 4), points, 1)
    with pytest.raises(ValueError, match="not finite"):
        nearest_neighbors(points, torch.full((3, 2), torch.nan), 1)
