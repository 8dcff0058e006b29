"""The smallest values of each row of a matrix that comes tile by tile, at little more than one reading of each tile.

Columns are grouped, and a group whose minimum is too large for its row is never looked at again: after the first tiles
nearly all are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

GROUP = 16
"""Columns of a tile that are passed over or looked at together, at most: a power of two."""
FINE = 2
"""So many groups a tile, at least, for each value that is kept: with fewer, most are looked at."""


@dataclass(frozen=True)
class Smallest:
    """The smallest values seen of each row, in no order.

    Attributes:
        values: (rows, kept); infinite where too few were seen.
        columns: where they are (rows, kept); -1 where too few were seen.
        bounds: the largest of the values (rows,); all that were offered and not kept are at least as large.
    """

    values: Tensor
    columns: Tensor
    bounds: Tensor

    @classmethod
    def of(cls, rows: int, kept: int, like: Tensor) -> "Smallest":
        """Nothing yet, in the dtype and on the device of another tensor."""
        values = like.new_full((rows, kept), torch.inf)
        return cls(values, torch.full_like(values, -1, dtype=torch.int64), values.new_full((rows,), torch.inf))

    def offer(self, rows: slice, tile: Tensor, start: int) -> None:
        """Take note of a tile (r, c) of some rows, whose first column has the number `start`; c divides by GROUP."""
        grouped = tile.view(len(tile), self._group(tile.shape[1]), -1)
        least = grouped.amin(1)
        row, column, value = _below(grouped, least, self._bounds(rows, least))
        if not len(row):
            return
        kept = self.values.shape[1]
        counts = torch.bincount(row, minlength=len(tile))
        place = kept + torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
        values = tile.new_full((len(tile), kept + int(counts.max())), torch.inf)
        columns = torch.full_like(values, -1, dtype=torch.int64)
        values[:, :kept], columns[:, :kept] = self.values[rows], self.columns[rows]
        values[row, place], columns[row, place] = value, column + start
        found = values.topk(kept, largest=False, sorted=False)
        self.values[rows], self.columns[rows] = found.values, columns.gather(1, found.indices)
        self.bounds[rows] = found.values.amax(1)

    def _group(self, columns: int) -> int:
        size = GROUP
        while size > 1 and columns < FINE * self.values.shape[1] * size:
            size //= 2
        return size

    def _bounds(self, rows: slice, least: Tensor) -> Tensor:
        """What a value must be below to count (r,); `least` are the groups' minima (r, groups)."""
        bounds, kept = self.bounds[rows], self.values.shape[1]
        if kept > least.shape[1] or int((least < bounds[:, None]).sum()) <= kept * len(least):
            return bounds
        # So many groups hold a value each up to here: no value above is among the smallest of this tile.
        first = least.topk(kept, 1, largest=False, sorted=False).values.amax(1)  # sooner than by kthvalue
        return torch.minimum(bounds, torch.nextafter(first, bounds.new_tensor(torch.inf)))


def _below(grouped: Tensor, least: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, columns and values of a grouped tile (r, GROUP, groups) below their row's bound (r,), sorted by row."""
    row, group = (least < bounds[:, None]).nonzero(as_tuple=True)
    values = grouped[row, :, group]
    which, member = (values < bounds[row, None]).nonzero(as_tuple=True)
    return row[which], member * grouped.shape[2] + group[which], values[which, member]
