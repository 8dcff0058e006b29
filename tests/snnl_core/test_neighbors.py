"""Nearest neighbours against scikit-learn, faiss and whole numbers."""

from contextlib import contextmanager

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from snnl_core import nearest_neighbors, search, selection
from snnl_core.selection import Smallest


@pytest.mark.parametrize("distance, metric", [("sqeuclidean", "sqeuclidean"), ("cosine", "cosine")])
@pytest.mark.parametrize("chunk", [1, 1 << 24])
def test_equals_scikit_learn(monkeypatch, distance, metric, chunk):
    monkeypatch.setattr(search, "COLUMNS", chunk)
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
    monkeypatch.setattr(search, "COLUMNS", chunk)
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


@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float64), (torch.float64, torch.float16)])
def test_beside_float64_others_are_computed_in_float64(dtypes):
    """Directions, too, of which float32 keeps the lengths to 6e-8: at that, a copy would not be at distance 0."""
    numbers = torch.randint(-3, 4, (60, 3), generator=torch.Generator().manual_seed(0))
    queries, points = (numbers.to(dtype) for dtype in dtypes)
    found = nearest_neighbors(queries, points, 60, distance="cosine")
    expected = nearest_neighbors(numbers.double(), numbers.double(), 60, distance="cosine")
    assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])


def test_impossible_numbers_are_refused():
    points = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="k must be from 1 to 2"):
        nearest_neighbors(points, points, 3, exclude_self=True)
    with pytest.raises(ValueError, match="do not fit"):
        nearest_neighbors(torch.zeros(3, 4), points, 1)
    with pytest.raises(ValueError, match="not finite"):
        nearest_neighbors(points, torch.full((3, 2), torch.nan), 1)


def runs(number):
    """So many examples, the same ones each time."""
    return settings(max_examples=number, deadline=None, derandomize=True, database=None)


@contextmanager
def small_tiles(rows, columns):
    """Tiles and pieces that even few points need several of."""
    with pytest.MonkeyPatch.context() as patch:
        sizes = {"ROWS": rows, "COLUMNS": columns, "PIECE": 40, "AGAIN": 3, "SPARE": 1, "BLOCK": 30}
        for name, value in sizes.items():
            patch.setattr(search, name, value)
        yield


@runs(80)
@given(st.data())
def test_whole_numbers_have_exact_distances_and_many_ties(data):
    n, d, k = data.draw(st.integers(2, 70)), data.draw(st.integers(1, 4)), data.draw(st.integers(1, 12))
    spread, offset = data.draw(st.integers(1, 6)), data.draw(st.sampled_from([0, 4096]))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**20)))
    points = torch.randint(spread, (n, d), generator=generator)
    itself = data.draw(st.booleans())
    queries = points if itself else torch.randint(spread, (9, d), generator=generator)
    k = min(k, n - itself)
    with small_tiles(data.draw(st.integers(1, 20)), data.draw(st.integers(1, 40))):
        distances, found = nearest_neighbors(
            (queries + offset).float(), (points + offset).float(), k, exclude_self=itself
        )
    exact = (queries[:, None] - points).square().sum(2)
    if itself:
        exact.fill_diagonal_(10**6)
    order = exact.sort(dim=1, stable=True)
    assert torch.equal(found, order.indices[:, :k])
    torch.testing.assert_close(distances, order.values[:, :k].float())


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
def test_equals_faiss(distance):
    generator = torch.Generator().manual_seed(0)
    points, queries = torch.randn(9000, 24, generator=generator), torch.randn(300, 24, generator=generator)
    index, a, b = faiss.IndexFlatL2(24), points, queries
    if distance == "cosine":
        index, a, b = faiss.IndexFlatIP(24), torch.nn.functional.normalize(a), torch.nn.functional.normalize(b)
    index.add(a.numpy())
    values, positions = map(torch.from_numpy, index.search(b.numpy(), 31))
    distances, found = nearest_neighbors(queries, points, 31, distance=distance)
    torch.testing.assert_close(distances, 1 - values if distance == "cosine" else values, atol=1e-5, rtol=1e-5)
    # Two libraries may order what float32 cannot tell apart; elsewhere they must agree.
    gaps = distances.diff(dim=1) > 1e-4
    clear = gaps[:, 1:] & gaps[:, :-1]
    assert float(clear.float().mean()) > 0.5
    assert torch.equal(found[:, 1:-1][clear], positions[:, 1:-1][clear])


@pytest.mark.parametrize("itself", [False, True])
def test_points_without_a_direction_are_orthogonal_to_all(itself):
    points = torch.randn(50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64).relu()
    points[:, 0] += 0.1
    points[[3, 8, 9]] = 0
    queries = points if itself else points[:12].flip(0) + 0.0
    exact = 1 - torch.nn.functional.normalize(queries) @ torch.nn.functional.normalize(points).T
    exact[~queries.any(1)] = points.any(1).double()  # among themselves they are copies
    if itself:
        exact.fill_diagonal_(torch.inf)
    distances, found = nearest_neighbors(queries, points, 49, distance="cosine", exclude_self=itself)
    torch.testing.assert_close(distances, exact.sort(1).values[:, :49], atol=1e-12, rtol=0)
    torch.testing.assert_close(exact.gather(1, found), distances, atol=1e-12, rtol=0)
    none = [i for i in range(50) if i not in (3, 8, 9)]
    first = [[8, 9, *none], [3, 9, *none], [3, 8, *none]] if itself else [[3, 8, 9, *none]] * 3
    assert found[~queries.any(1)].tolist() == [row[:49] for row in first]


def test_directions_count_however_long_the_vectors_are():
    generator = torch.Generator().manual_seed(0)
    points, queries = torch.randn(40, 5, generator=generator), torch.randn(9, 5, generator=generator)
    lengths = 10.0 ** torch.linspace(-36, 36, 40)[:, None]
    distances, found = nearest_neighbors(queries * 1e-30, points * lengths, 7, distance="cosine")
    expected = nearest_neighbors(queries, points, 7, distance="cosine")
    assert torch.equal(found, expected[1])
    torch.testing.assert_close(distances, expected[0])


def test_points_in_a_memory_map_are_read_where_they_are(tmp_path):
    points = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    np.save(tmp_path / "points.npy", points.half().numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "points.npy", mmap_mode="c"))
    found = nearest_neighbors(points[:20], mapped, 5)
    expected = nearest_neighbors(points[:20], points.half().float(), 5)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@runs(60)
@given(st.integers(1, 9), st.integers(1, 60), st.integers(0, 1000), st.booleans())
def test_the_smallest_of_tiles_are_those_of_the_whole(kept, tiles, seed, ties):
    values = torch.randn(7, tiles * 16, generator=torch.Generator().manual_seed(seed))
    values = values.mul(2).round() if ties else values
    best = Smallest.of(7, kept, values)
    for start in range(0, tiles * 16, 48):
        for rows in (slice(0, 4), slice(4, 7)):
            best.offer(rows, values[rows, start : start + 48].contiguous(), start)
    expected = values.topk(kept, largest=False).values
    assert torch.equal(best.values.sort(1).values, expected)
    assert torch.equal(values.gather(1, best.columns), best.values)
    assert all(len(set(row)) == kept for row in best.columns.tolist())
    assert torch.equal(best.bounds, expected[:, -1])


def test_what_has_no_distances_is_refused():
    points = torch.full((3, 2), 1e19)  # whose squares float32 does not hold
    assert nearest_neighbors(points, points, 1)[0].dtype == torch.float64
    large = points.double() * 1e140
    with pytest.raises(ValueError, match=r"too large for torch\.float64: scale them down"):
        nearest_neighbors(large, large, 1)
    with pytest.raises(TypeError, match=r"must be floating, not torch\.int64"):
        nearest_neighbors(points.long(), points.long(), 1)
    with pytest.raises(ValueError, match="unknown distance 'l1'"):
        nearest_neighbors(points, points, 1, distance="l1")


def test_points_in_the_order_of_their_classes_are_passed_over_as_others_are(monkeypatch):
    """Where a tile holds the first near points of its queries, all of it is below what they have had so far."""
    for name, size in (("ROWS", 32), ("ONEDNN_ROWS", 32), ("COLUMNS", 256)):
        monkeypatch.setattr(search, name, size)
    found, below = [], selection._below
    monkeypatch.setattr(selection, "_below", lambda *given: found.append(below(*given)) or found[-1])
    draw = torch.Generator().manual_seed(0)
    points = torch.randn(512, 8, generator=draw, dtype=torch.float64) + 20 * (torch.arange(512) // 256)[:, None]
    queries = torch.randn(32, 8, generator=draw, dtype=torch.float64) + 20
    distances, positions = nearest_neighbors(queries, points, 3)
    expected = torch.cdist(queries, points).square().topk(3, largest=False)
    assert torch.equal(positions, expected.indices)
    torch.testing.assert_close(distances, expected.values)
    assert max(len(values) for _, _, values in found) <= 256 * len(queries) // 4
