"""Neighbours that are written where the caller says, block by block: the same ones, in memory that stays bounded."""

import weakref

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from snnl_core import nearest_neighbors, search

POINTS = torch.randint(-4, 5, (90, 3), generator=torch.Generator().manual_seed(0)).float()
POINTS[::9] = 0


@pytest.fixture
def blocks(monkeypatch):
    """Blocks of few queries, and tiles of few points."""
    for name, size in (("BLOCK", 280), ("ROWS", 64), ("COLUMNS", 32), ("PIECE", 4096), ("CHUNK", 1024)):
        monkeypatch.setattr(search, name, size)


def mapped(folder, q, k, dtype=torch.float32):
    """Distances and positions in files."""
    kinds = {"distances": dtype, "positions": torch.int64}
    return tuple(
        torch.from_file(str(folder / name), shared=True, size=q * k, dtype=kind).view(q, k)
        for name, kind in kinds.items()
    )


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize("itself", [False, True])
@pytest.mark.parametrize("k", [1, 7, 89])
def test_they_are_the_same(tmp_path, blocks, distance, itself, k):
    """Copies and points without a direction among them."""
    queries = POINTS if itself else POINTS[:50].flip(0)
    expected = nearest_neighbors(queries, POINTS, k, distance=distance, exclude_self=itself)
    out = mapped(tmp_path, len(queries), k)
    found = nearest_neighbors(queries, POINTS, k, distance=distance, exclude_self=itself, out=out)
    assert found is out
    kept = [np.fromfile(tmp_path / name, kind) for name, kind in (("distances", "f4"), ("positions", "i8"))]
    for values, wanted in zip(kept, expected, strict=True):
        assert np.array_equal(values.reshape(wanted.shape), wanted.numpy())


def test_numpys_memory_maps_are_taken_and_float64_is_kept(tmp_path, blocks):
    points = POINTS.double() / 3
    shape = (len(points), 4)
    arrays = [np.lib.format.open_memmap(tmp_path / f"{kind}.npy", "w+", kind, shape) for kind in ("f8", "i8")]
    nearest_neighbors(points, points, 4, out=tuple(map(torch.from_numpy, arrays)))
    expected = nearest_neighbors(points, points, 4)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(arrays, expected, strict=True))


@pytest.mark.parametrize(
    "out, error, words",
    [
        ((torch.empty(90, 2),), TypeError, "out must be two tensors: distances and positions"),
        (3, TypeError, "out must be two tensors: distances and positions"),
        ((None, None), TypeError, "out: distances must be a tensor, not NoneType"),
        ((torch.empty(90, 2), torch.empty(1, 2).long().expand(90, 2)), ValueError, "out: positions are expanded"),
    ],
)
def test_what_cannot_be_written_to_is_refused(out, error, words):
    with pytest.raises(error, match=words):
        nearest_neighbors(POINTS, POINTS, 2, out=out)


@pytest.mark.parametrize(
    "distances, positions, words",
    [
        (torch.empty(90, 3), torch.empty(90, 2).long(), r"distances are torch.float32 \(90, 3\); they must be"),
        (torch.empty(90, 2), torch.empty(80, 2).long(), r"positions are torch.int64 \(80, 2\); they must be"),
        (torch.empty(90, 2).double(), torch.empty(90, 2).long(), r"they must be torch.float32 \(90, 2\)"),
        (torch.empty(90, 2), torch.empty(90, 2).int(), r"they must be torch.int64 \(90, 2\)"),
    ],
)
def test_another_shape_or_dtype_is_refused_before_anything_is_written(distances, positions, words):
    positions.zero_()
    with pytest.raises(ValueError, match=words):
        nearest_neighbors(POINTS, POINTS, 2, out=(distances, positions))
    assert not positions.any()


def test_memory_that_serves_twice_is_refused_and_such_as_lies_side_by_side_is_taken():
    points, wide = POINTS.double(), torch.zeros(90, 9, dtype=torch.float64)
    expected, positions = nearest_neighbors(points, points, 3), torch.zeros(90, 3, dtype=torch.int64)
    rows = wide[:, 1:4].copy_(points)
    same = torch.zeros(90, 3, dtype=torch.float64)
    for queries, bank, out, words in [
        (points, rows, (rows, positions), "out: distances share memory with the points"),
        (rows, points, (rows, positions), "out: distances share memory with the queries"),
        (points, points, (wide[:, 5:8], rows.view(torch.int64)[:, [0]].expand(90, 3)), "out: positions are expanded"),
        (
            points,
            points,
            (wide.view(-1).as_strided((90, 3), (2, 1)), positions),
            "out: distances are expanded, or wind",
        ),
        (points, points, (same, same.view(torch.int64)), "out: positions share memory with the distances"),
        (points, points, (wide[:, 3:6], wide[:, 5:8].view(torch.int64)), "out: positions share memory with the dist"),
    ]:
        with pytest.raises(ValueError, match=words):
            nearest_neighbors(queries, bank, 3, out=out)
    assert torch.equal(rows, points) and not positions.any()
    for out in [
        (torch.zeros(3, 90, dtype=torch.float64).T, positions),
        (wide[:, 4:7], positions[:, [2, 0, 1]]),
        (wide[:, 4:6], wide[:, 7:9].view(torch.int64)),
        (wide[:, 4:9:2], positions),
    ]:
        found = nearest_neighbors(rows, rows, out[0].shape[1], out=out)
        assert all(torch.equal(own[:, :2], one[:, :2]) for own, one in zip(found, expected, strict=True))


class Allocated(TorchDispatchMode):
    """The most bytes that tensors made meanwhile have held at a time."""

    def __init__(self):
        super().__init__()
        self.now, self.peak, self._known = 0, 0, set()

    def __torch_dispatch__(self, function, types, arguments=(), settings=None):
        given = {id_of(each) for each in tree_leaves((arguments, settings)) if isinstance(each, torch.Tensor)}
        found = function(*arguments, **settings or {})
        for each in tree_leaves(found):
            if isinstance(each, torch.Tensor) and id_of(each) not in given | self._known:
                self._take(each.untyped_storage())
        return found

    def _take(self, storage):
        address, size = storage.data_ptr(), storage.nbytes()
        self._known.add(address)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._give, address, size)

    def _give(self, address, size):
        self.now -= size
        self._known.discard(address)


def id_of(tensor):
    return tensor.untyped_storage().data_ptr()


def peak(q, k, *, factor=1, **settings):
    queries = factor * torch.randn(q, 4, generator=torch.Generator().manual_seed(1))
    with Allocated() as allocated:
        nearest_neighbors(queries, POINTS.repeat(4, 2)[:, :4].contiguous(), k, **settings)
    return allocated.peak


def test_memory_does_not_grow_with_the_result(tmp_path, blocks):
    k, few, many = 20, 100, 400
    result = 12 * k * (many - few)
    assert peak(many, k) - peak(few, k) > result / 2
    paths = [tmp_path / str(q) for q in (few, many)]
    for path in paths:
        path.mkdir()
    outs = [mapped(path, q, k) for path, q in zip(paths, (few, many), strict=True)]
    assert peak(many, k, out=outs[1]) - peak(few, k, out=outs[0]) < result / 4
    zero = {"factor": 0, "distance": "cosine"}  # queries without a direction
    assert peak(many, k, out=outs[1], **zero) - peak(few, k, out=outs[0], **zero) < result / 4


def test_a_thousand_neighbours_are_found():
    """Of whole numbers, in order, though many are equally far."""
    points = torch.randint(-6, 7, (2500, 5), generator=torch.Generator().manual_seed(3))
    distances, found = nearest_neighbors(points[:40].float(), points.float(), 1000)
    exact = (points[:40, None] - points).square().sum(2).sort(dim=1, stable=True)
    assert torch.equal(found, exact.indices[:, :1000])
    torch.testing.assert_close(distances, exact.values[:, :1000].float())
