"""Tiles hold every pair once, are no larger than is said, and pairs that set a scale are taken some at a time."""

import pytest
import torch

from snnl_core import distances, tiles
from snnl_core.tiles import Points

SIZES = {"ROWS": 16, "ENTRIES": 16 * 20, "PANEL": 400, "NARROWEST": 18}
ROWS, ENTRIES, PANEL, NARROWEST = SIZES.values()
CLASSES = [1, 40, 3, 2, 90, 1, 17, 50]
"""So many points each: alone, several in one block, one of several blocks."""


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, size in SIZES.items():
        monkeypatch.setattr(tiles, name, size)


def drawn(d):
    codes = torch.arange(len(CLASSES)).repeat_interleave(torch.tensor(CLASSES))
    x = torch.randn(len(codes), d, generator=torch.Generator().manual_seed(0))
    return Points(x, codes, torch.arange(len(codes)))


def checked(made, d):
    """The tiles, none larger than said."""
    for tile in made:
        rows, columns = tile.shape
        assert rows <= ROWS and rows * columns <= ENTRIES
        assert columns * d <= PANEL or columns <= NARROWEST
        yield tile


@pytest.mark.parametrize("d, widest", [(0, 204), (1, 204), (5, 80), (10, 40), (25, 18), (300, 18)])
def test_every_pair_is_in_one_tile_and_none_is_larger_than_said(d, widest):
    points = drawn(d)
    pairs = torch.zeros(len(points), len(points), dtype=torch.int64)
    for tile in checked(tiles.square(points), d):
        pairs[tile.rows, tile.columns] += 1
        if not tile.diagonal:
            pairs[tile.columns, tile.rows] += 1
    assert (pairs == 1).all()
    some = points.some(torch.tensor([0, 5, 6, 41, 44, 100, 101, 150]))
    pairs, low = torch.zeros(len(some), len(points), dtype=torch.int64), []
    for tile in checked(tiles.oblong(some, points), d):
        pairs[tile.rows, tile.columns] += 1
        low.append(tile.shape[1])
    assert (pairs == 1).all()
    assert widest / 2 < max(low) <= widest


@pytest.mark.parametrize("piece", [1, 7, 10**6])
@pytest.mark.parametrize("pairs", [0, 1, 25])
def test_distances_of_pairs_are_the_same_in_pieces(monkeypatch, piece, pairs):
    monkeypatch.setattr(distances, "PIECE", piece)
    x = drawn(4).x.double()
    one, other = torch.randint(len(x), (2, pairs), generator=torch.Generator().manual_seed(1))
    found = distances.apart(x, one, other)
    assert found.shape == (pairs,)
    torch.testing.assert_close(found, (x[:, None] - x).square().sum(2)[one, other])
