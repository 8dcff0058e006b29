"""All pairs of points as tiles of the distance matrix, each pair computed once, with no n x n tensor.

The points are sorted by class, and their rows cut into blocks of one class, or of several whole small classes. The
columns right of a block then fall into the block itself, the rest of its class, and other classes, and each of these
is a tile, or several where it is long. A tile serves its rows and, read the other way, its columns as anchors.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from snnl_core import products

ROWS = 512
"""Rows of a tile on a processor, at most."""
ENTRIES = 1 << 20
"""Entries of a tile on a processor, at least ROWS squared: its caches hold it and two companions (12 MB in float32)."""
PANEL, NARROWEST = 3 << 19, 1024
"""Numbers that the points of a tile's columns are on a processor, at most, however few its rows, but for so many
columns as the second number says, at least ROWS: MKL keeps a copy of them (6 MB in float32) for every thread."""
CUDA_ROWS = 4096
"""Rows and columns of a tile on a GPU: large enough to fill one, 200 MB with its companions."""
OWN, OTHERS = 0, 1
"""The kinds of pairs: of one class, and of two."""
FEWEST, FEWEST_OF_SOME = 1 / 4, 1 / 32
"""A class with fewer points than this share of a block shares its block with others; the latter among some anchors."""


@dataclass(frozen=True)
class Block:
    """A range of sorted points, and the lowest and highest class code in it."""

    rows: slice
    low: int
    high: int

    @property
    def size(self) -> int:
        """How many points it has."""
        return int(self.rows.stop - self.rows.start)


@dataclass(frozen=True)
class Points:
    """Points sorted by class.

    Attributes:
        x: (n, d), best centred: the error of a distance is of the order of eps |x|^2.
        codes: the classes (n,), as numbers from 0 up, ascending.
        positions: where each point stands in the caller's data (n,).
    """

    x: Tensor
    codes: Tensor
    positions: Tensor

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def squares(self) -> Tensor:
        """|x|^2 (n,)."""
        return torch.linalg.vector_norm(self.x, dim=1).square_()

    @cached_property
    def counts(self) -> Tensor:
        """How many points each class has (c,)."""
        return torch.bincount(self.codes)

    @cached_property
    def blocks(self) -> list[Block]:
        """The points cut into blocks."""
        return self.cut(FEWEST)

    def cut(self, fewest: float) -> list[Block]:
        """The points cut into blocks, one of several classes where these have a smaller share of a block."""
        return list(_blocks(self.codes, tile_size(self.x)[0], fewest))

    def some(self, rows: Tensor) -> "Points":
        """Some of the points; `rows` ascending."""
        return Points(self.x[rows], self.codes[rows], self.positions[rows])


def tile_size(x: Tensor) -> tuple[int, int]:
    """Rows and entries of a tile, at most: the same in every process, so that they agree on what the tiles are."""
    return (CUDA_ROWS, CUDA_ROWS**2) if x.is_cuda else (ROWS, ENTRIES)


def _widest(rows: int, x: Tensor) -> int:
    """Columns of a tile with so many rows, at most."""
    width = max(1, tile_size(x)[1] // rows)
    return width if x.is_cuda else min(width, max(NARROWEST, PANEL // max(1, x.shape[1])))


def _blocks(codes: Tensor, rows: int, fewest: float) -> Iterator[Block]:
    """Classes in order: a large one is cut evenly, small ones are kept together until they are many."""
    small: list[tuple[int, int]] = []
    start = 0
    for code, count in zip(*(values.tolist() for values in codes.unique_consecutive(return_counts=True)), strict=True):
        large = count > rows * fewest
        if small and (large or sum(held for _, held in small) + count > rows):
            yield Block(slice(start, start := start + sum(held for _, held in small)), small[0][0], small[-1][0])
            small = []
        if large:
            pieces = -(-count // rows)
            edges = [start + count * i // pieces for i in range(pieces + 1)]
            yield from (Block(slice(*pair), code, code) for pair in pairwise(edges))
            start += count
        else:
            small.append((code, count))
    if small:
        yield Block(slice(start, len(codes)), small[0][0], small[-1][0])


@dataclass(frozen=True)
class Tile:
    """Where a tile lies and what it holds.

    Attributes:
        block: its rows.
        columns: its columns.
        own: whether there are pairs of the own class.
        others: whether there are pairs of two classes.
        diagonal: whether the columns are the rows: each pair is there twice, and each point with itself.
        itself: whether a row and a column may be the same point.
    """

    block: Block
    columns: slice
    own: bool
    others: bool
    diagonal: bool = False
    itself: bool = False

    @property
    def rows(self) -> slice:
        """Its rows."""
        return self.block.rows

    @property
    def place(self) -> tuple[int, int]:
        """Its first row and column, which no other one of its kind has."""
        return int(self.rows.start), int(self.columns.start)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.block.size, int(self.columns.stop - self.columns.start)


def square(points: Points) -> Iterator[Tile]:
    """Tiles that hold every pair of points once, those on the diagonal twice."""
    ends = points.counts.cumsum(0).tolist()
    for block in points.blocks:
        pure, widest = block.low == block.high, _widest(block.size, points.x)
        yield Tile(block, block.rows, True, not pure, diagonal=True, itself=True)
        end = ends[block.high]
        yield from _pieces(block, block.rows.stop, end, widest, own=True, others=False)
        yield from _pieces(block, end, len(points), widest, own=False, others=True)


def oblong(a: Points, b: Points, *, overlap: bool = True) -> Iterator[Tile]:
    """Tiles that hold every pair of a point of `a` and one of `b`; `overlap`: some may be in both."""
    for block in a.cut(FEWEST_OF_SOME):
        widest = _widest(block.size, a.x)
        first, last = torch.searchsorted(b.codes, a.codes.new_tensor([block.low, block.high + 1])).tolist()
        yield from _pieces(block, 0, first, widest, own=False, others=True)
        yield from _pieces(block, first, last, widest, own=True, others=block.low != block.high, itself=overlap)
        yield from _pieces(block, last, len(b), widest, own=False, others=True)


def _pieces(
    block: Block, start: int, stop: int, widest: int, *, own: bool, others: bool, itself: bool = False
) -> Iterator[Tile]:
    pieces = -(-(stop - start) // widest)
    for i in range(pieces):
        columns = slice(start + (stop - start) * i // pieces, start + (stop - start) * (i + 1) // pieces)
        yield Tile(block, columns, own, others, itself=itself)


@dataclass(frozen=True)
class Loaded:
    """A tile with its distances, as its rows see it or, turned, as its columns do; for `parts` see there."""

    distances: Tensor
    parts: list[tuple[int, Tensor | None]]

    @property
    def turned(self) -> "Loaded":
        """The columns' view of it."""
        return Loaded(self.distances.T, [(kind, None if part is None else part.T) for kind, part in self.parts])


def load(a: Points, b: Points, tile: Tile, out: Tensor) -> Loaded:
    """Compute a tile of points of `a` (rows) and of `b` (columns); its distances may go to `out`."""
    left, right = a.x[tile.rows], b.x[tile.columns]
    found = products.inner(left, right, factor=-2, plus=b.squares[tile.columns], out=out, tile=True)
    return Loaded(found.add_(a.squares[tile.rows, None]).clamp_min_(0), parts(a, b, tile))


def parts(a: Points, b: Points, tile: Tile) -> list[tuple[int, Tensor | None]]:
    """The kinds of pairs in a tile, and where they are: 1 and 0, or None for everywhere."""
    if not tile.own:
        return [(OTHERS, None)]
    if not (tile.others or tile.itself):
        return [(OWN, None)]
    apart = _apart(a, b, tile) if tile.itself else None
    if not tile.others:
        return [(OWN, apart)]
    own = (a.codes[tile.rows, None] == b.codes[tile.columns]).to(a.x.dtype)
    others = 1 - own
    return [(OWN, own if apart is None else own.mul_(apart)), (OTHERS, others)]


def _apart(a: Points, b: Points, tile: Tile) -> Tensor:
    """Where a row and a column of a tile are two points: 1, and 0 where they are the same."""
    if tile.diagonal:
        return a.x.new_ones(tile.shape).fill_diagonal_(0)
    return (a.positions[tile.rows, None] != b.positions[tile.columns]).to(a.x.dtype)


class Workspace:
    """Memory for one tile at a time, used again for the next.

    Those of a search, made again for every look, take less memory in pieces, which fit where earlier ones were; others
    are had sooner in one piece, as the C library then keeps more of what is free.
    """

    def __init__(self, a: Points, b: Points, buffers: int, *, in_pieces: bool = False) -> None:
        rows, entries = tile_size(a.x)
        self._x, gaps = a.x, min(rows, len(a)) * (products.spacing(1, a.x) - 1)
        size = min(entries, len(a) * len(b)) + gaps
        made = [a.x.new_empty(size) for _ in range(buffers)] if in_pieces else products.empty((buffers, size), a.x)
        self._memory = list(made)

    def tensors(self, shape: tuple[int, int]) -> list[Tensor]:
        """Tensors of a shape over the memory, with rows where products are best written."""
        spacing = products.spacing(shape[1], self._x)
        return [memory[: shape[0] * spacing].view(shape[0], spacing)[:, : shape[1]] for memory in self._memory]
