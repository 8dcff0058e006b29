"""The search for nearest neighbours: products of matrices find candidates, and differences from the query rank them.

|a|^2 + |b|^2 - 2ab is fast and loses digits to rounding. So more candidates are kept than are wanted, each is
measured again from its difference, and a query for which rounding could have hidden a neighbour is searched again with
room for it. What is found depends neither on the sizes of the chunks nor on which process has a point, but for points
whose differences are equal to rounding.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from snnl_core import products
from snnl_core.approximate import Index, proposed
from snnl_core.bank import CHUNK, Rows
from snnl_core.distances import full_precision
from snnl_core.selection import GROUP, Smallest

ROWS, COLUMNS = 2048, 4096
"""Queries and points of a tile on a processor: 32 MB in float32."""
ONEDNN_ROWS = 512
"""Queries of a tile at most where oneDNN multiplies, which is the slower the larger a product is."""
CUDA_ROWS, CUDA_COLUMNS = 4096, 16384
"""The same on a GPU: 256 MB."""
BLOCK = 1 << 26
"""Numbers of the queries for which one pass over the points is made."""
PIECE = 1 << 22
"""Differences held at a time."""
AGAIN = 64
"""Queries that are searched a second time together: each may meet all points again."""
SPARE = 12
"""Candidates beyond k: with fewer, more queries are searched twice; each costs a difference."""


def search(
    queries: Rows,
    bank: Rows,
    k: int,
    *,
    exclude_self: bool = False,
    dtype: torch.dtype | None = None,
    index: Index | None = None,
    out: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """The k nearest points of the bank for each query, k from 0, as `nearest_neighbors` gives them, maybe in `out`.

    With an index, which excludes no point, they are the nearest of those that it proposes (`approximate`).
    """
    dtype, device = dtype or common_dtype(queries, bank), queries.x.device
    queries, bank = queries.at(dtype), bank.at(dtype)
    if out is None:
        shape = len(queries), k
        out = torch.empty(shape, dtype=dtype, device=device), torch.empty(shape, dtype=torch.int64, device=device)
    center = bank.center().to(device, dtype)
    zero = queries.zero()
    for some in zero.nonzero().flatten().to(device).split(max(1, PIECE // (k + 1))):
        _put(some, _from_the_origin(some, bank, k, exclude_self, like=center), out)
    size = max(1, BLOCK // max(1, k, bank.x.shape[1]))
    for which in (~zero).nonzero().flatten().to(device).split(size) if k else []:
        if len(which):
            block = _Search.of(queries, bank, center, which, exclude_self)
            _put(which, block.nearest(k) if index is None else block.among(index, k), out)
    return out


def _put(rows: Tensor, found: tuple[Tensor, Tensor], out: tuple[Tensor, Tensor]) -> None:
    """Write what was found for some queries (q,) to their rows, which may lie on another device."""
    for whole, values in zip(out, found, strict=True):
        whole[rows.to(whole.device)] = values.to(whole.device)


def common_dtype(queries: Rows, bank: Rows) -> torch.dtype:
    """What holds the squared distances of both."""
    if queries.tiny and bank.tiny:
        return torch.float64
    return torch.promote_types(queries.scale.dtype, bank.scale.dtype)


def _from_the_origin(which: Tensor, bank: Rows, k: int, exclude_self: bool, *, like: Tensor) -> tuple[Tensor, Tensor]:
    """Distances and positions (q, k) for queries without a direction: first the points that have none either."""
    zero = bank.zero()
    first = torch.cat([zero.nonzero().flatten(), (~zero).nonzero().flatten()])[: k + exclude_self].to(like.device)
    positions = first.expand(len(which), -1)
    if exclude_self:
        kept = positions != which[:, None]
        kept[:, -1] &= ~kept.all(1)
        positions = positions[kept].view(-1, k)
    return (~zero).to(like)[positions], positions


@dataclass(frozen=True)
class _Search:
    """Queries that go through all points together.

    Attributes:
        queries: all of them.
        bank: the points.
        center: what products are taken around (d,).
        which: the queries that are searched for (q,).
        x: those, scaled and centred (q, d).
        squares: |x|^2 (q,).
        exclude_self: whether query i and point i are the same, and no neighbours.
    """

    queries: Rows
    bank: Rows
    center: Tensor
    which: Tensor
    x: Tensor
    squares: Tensor
    exclude_self: bool

    @classmethod
    def of(cls, queries: Rows, bank: Rows, center: Tensor, which: Tensor, exclude_self: bool) -> "_Search":
        x = center.new_empty(len(which), len(center))
        for part, some in zip(x.split(ROWS), which.split(ROWS), strict=True):
            part.copy_(queries.minus(center, some))
        squares = torch.linalg.vector_norm(x, dim=1).square_()
        return cls(queries, bank, center, which, x, squares, exclude_self)

    def nearest(self, k: int) -> tuple[Tensor, Tensor]:
        """Distances and positions (q, k)."""
        points = len(self.bank) - self.exclude_self
        best = Smallest.of(len(self.x), min(k + SPARE, points), self.x)
        for rows, start, tile in self._tiles():
            best.offer(rows, tile, start)
        distances, positions = self._ranked(best.columns.sort(1).values, k)
        if k + SPARE < points:
            # Whatever was not kept is beyond the bound, and a neighbour is within the limit.
            limits = self._limits(distances[:, -1])
            unsure = (best.bounds + self.squares <= limits).nonzero().flatten()
            for some in unsure.split(AGAIN) if len(unsure) else []:
                distances[some], positions[some] = self._some(some).within(limits[some], positions[some])
        return distances, positions

    def among(self, index: Index, k: int) -> tuple[Tensor, Tensor]:
        """Distances and positions (q, k) of the nearest points that an index proposes; of all where these are fewer."""
        queries = self.queries.x[self.which.to(self.queries.x.device)]
        candidates, none = proposed(index, queries, k, len(self.bank))
        distances, positions = self._ranked(candidates, k, none)
        few = ((~none).sum(1) < k).nonzero().flatten()
        if len(few):
            distances[few], positions[few] = self._some(few).nearest(k)
        return distances, positions

    def within(self, limits: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Distances and positions (q, k) of the nearest of all points that the product sees within limits (q,).

        Args:
            limits: up to where a point is a candidate.
            known: positions (q, k) of candidates in any case.
        """
        n, k = len(self.bank), known.shape[1]
        keys = [(torch.arange(len(known), device=known.device)[:, None] * n + known).flatten()]
        for rows, start, tile in self._tiles():
            row, column = (tile <= (limits - self.squares)[rows, None]).nonzero(as_tuple=True)
            keys.append((row + rows.start) * n + column + start)
        found = torch.cat(keys).unique()
        row, position = found // n, found % n
        distances = self._differences(row, position[:, None])[:, 0]
        nearest = distances.argsort(stable=True)
        order = nearest[row[nearest].argsort(stable=True)]
        counts = torch.bincount(row, minlength=len(known))
        first = (counts.cumsum(0) - counts)[:, None] + torch.arange(k, device=known.device)
        return distances[order[first]], position[order[first]]

    def _limits(self, distances: Tensor) -> Tensor:
        """Up to where the product may see a point that is truly at a distance (q,).

        A point at distance d of a query a is no longer than |a| + sqrt(d); the factor is several times the error of
        sums of random roundings.
        """
        error = (4 + math.sqrt(self.x.shape[1]) / 2) * torch.finfo(self.x.dtype).eps
        return distances + error * (2 * self.squares.sqrt() + distances.sqrt()).square()

    def _tiles(self) -> Iterator[tuple[slice, int, Tensor]]:
        """|b|^2 - 2ab of some queries a and the points b from a position on; infinite where there is no point."""
        height, width = (ROWS, COLUMNS) if self.x.is_cpu else (CUDA_ROWS, CUDA_COLUMNS)
        if self.x.is_cpu and products.way() == products.ONEDNN:
            height = min(height, ONEDNN_ROWS)
        n, d = len(self.bank), self.x.shape[1]
        width = -(-max(1, min(width, CHUNK // max(1, d), n)) // GROUP) * GROUP
        height = min(height, len(self.x))
        work = self.x.new_empty(height, width)
        for start in range(0, n, width):
            points, squares = self._points(start, width)
            for top in range(0, len(self.x), height):
                rows = slice(top, min(top + height, len(self.x)))
                tile = work[: rows.stop - top]
                with full_precision(self.x.device):
                    tile = products.inner(self.x[rows], points, factor=-2, plus=squares, out=tile)
                if self.exclude_self:
                    self._exclude_self(tile, self.which[rows] - start)
                yield rows, start, tile

    def _points(self, start: int, width: int) -> tuple[Tensor, Tensor]:
        """So many points b from a position on, scaled and centred (width, d), and |b|^2 (width,)."""
        points = self.bank.minus(self.center, slice(start, start + width))
        squares = torch.linalg.vector_norm(points, dim=1).square_()
        squares += 0.5 * self.bank.zero()[start : start + width].to(squares)
        missing = width - len(points)
        if missing:
            points = torch.nn.functional.pad(points, (0, 0, 0, missing))
            squares = torch.nn.functional.pad(squares, (0, missing), value=torch.inf)
        return points, squares

    def _exclude_self(self, tile: Tensor, column: Tensor) -> None:
        inside = ((column >= 0) & (column < tile.shape[1])).nonzero().flatten()
        tile[inside, column[inside]] = torch.inf

    def _some(self, rows: Tensor) -> "_Search":
        """Some of the queries, by row."""
        return replace(self, which=self.which[rows], x=self.x[rows], squares=self.squares[rows])

    def _ranked(self, positions: Tensor, k: int, none: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The k nearest of each query's candidates (q, m), in order, but for `none` (q, m): distances and positions."""
        distances = self._differences(torch.arange(len(positions), device=positions.device), positions)
        if none is not None:
            distances.masked_fill_(none, torch.inf)
        nearest = distances.sort(dim=1, stable=True)
        return nearest.values[:, :k].clone(), positions.gather(1, nearest.indices[:, :k])

    def _differences(self, rows: Tensor, positions: Tensor) -> Tensor:
        """|a - b|^2 (p, m) of queries a by row (p,) and points b by position (p, m)."""
        found = self.x.new_empty(positions.shape)
        size = max(1, PIECE // max(1, positions.shape[1] * self.x.shape[1]))
        for part, some, where in zip(found.split(size), rows.split(size), positions.split(size), strict=True):
            origins = self.queries.minus(torch.zeros_like(self.center), self.which[some])
            part.copy_(self.bank.differences(origins, where))
        return found
