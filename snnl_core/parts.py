"""Rows that lie in one process, or in parts in several: what Deep k-nearest neighbours asks of either."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from snnl_core import search
from snnl_core.approximate import Index
from snnl_core.bank import Rows
from snnl_core.distributed import agree, gather, meeting_place, of_the_first
from snnl_core.layers import Layers

Value = TypeVar("Value")
Checked = tuple[Layers, Tensor]
"""Layers of n rows, and a tensor (n, ...) that goes with them."""


class Alone:
    """All rows are here."""

    def agree(self, work: Callable[[], Value]) -> Value:
        """What `work` gives, or its refusal."""
        return work()

    def check(self, check: Callable[[], Checked], **settings: object) -> Checked:
        """What `check` gives, or its refusal."""
        return check()

    def gather(self, x: Tensor) -> Tensor:
        """The tensor (n, ...) of all rows."""
        return x

    def place(self, n: int) -> tuple[int, int]:
        """How many rows there are, and which of them is the first of these n."""
        return n, 0

    def same(self, x: Tensor) -> Tensor:
        """A tensor that must be the same everywhere."""
        return x

    def search(self, queries: Rows, bank: Rows, k: int, index: Index | None = None) -> tuple[Tensor, Tensor]:
        """Distances and positions (q, k) of the nearest rows of the bank, k being at most their number.

        Where one process has an index, all have one: each proposes some of the rows that are there.
        """
        return search.search(queries, bank, k, index=index)


class InParts(Alone):
    """Every process has a part of the rows, maybe none, and calls the same methods at the same time.

    Positions count through the parts, in the order of the processes.
    """

    def agree(self, work: Callable[[], Value]) -> Value:
        """What `work`, in which no exchange is, gives here; what it refuses in one process, all refuse."""
        found: list[Value] = []

        def first() -> tuple[Tensor]:
            found.append(work())
            return (torch.empty(0, device="cpu"),)

        agree(first)
        return found[0]

    def check(self, check: Callable[[], Checked], **settings: object) -> Checked:
        """What `check` gives in this process; what one refuses, all refuse, and the message names the process."""
        layers, other = self.agree(check)
        # A list, as the order of the layers is that of the exchanges to come.
        kinds = [(name, rows.x.shape[1], str(rows.x.dtype), rows.x.device.type) for name, rows in layers.items()]
        agree(lambda: (other,), **settings, **{"the layers, their features, dtype and device": kinds})
        return layers, other

    def gather(self, x: Tensor) -> Tensor:
        """The tensor (n, ...) of all processes' rows."""
        return gather(x)

    def place(self, n: int) -> tuple[int, int]:
        """How many rows all processes have, and which of them is the first of these n."""
        rows = self._everyones(n)
        return sum(rows), sum(rows[: dist.get_rank()])

    def same(self, x: Tensor) -> Tensor:
        """The first process's tensor, of the same shape everywhere."""
        return of_the_first(x)

    def search(self, queries: Rows, bank: Rows, k: int, index: Index | None = None) -> tuple[Tensor, Tensor]:
        """Distances and positions (q, k) for this process's queries; each block visits all processes in turn."""
        start, dtypes = self.place(len(bank))[1], self._everyones(search.common_dtype(queries, bank))
        dtype = torch.float64 if torch.float64 in dtypes else torch.float32
        found = [self._visit(*block, bank, k, start, dtype, index) for block in self._blocks(queries, k)]
        own = [each for each in found if each is not None]
        nothing = queries.x.new_empty(0, k, dtype=dtype), queries.x.new_empty(0, k, dtype=torch.int64)
        return torch.cat([d for d, _ in [nothing, *own]]), torch.cat([p for _, p in [nothing, *own]])

    def _blocks(self, queries: Rows, k: int) -> list[tuple[int, Rows, int]]:
        """Every process's queries in blocks: whose they are, this process's rows of them, and how many there are."""
        found, rank = k * dist.get_world_size(), dist.get_rank()  # numbers for a query, that each process gets
        size = max(1, search.BLOCK // max(found, queries.x.shape[1]))
        return [
            (owner, queries[start : start + size] if owner == rank else queries[:0], min(size, rows - start))
            for owner, rows in enumerate(self._everyones(len(queries)))
            for start in range(0, rows, size)
        ]

    def _visit(
        self, owner: int, own: Rows, count: int, bank: Rows, k: int, start: int, dtype: torch.dtype, index: Index | None
    ) -> tuple[Tensor, Tensor] | None:
        """What all processes find for a block of `count` queries of one of them; None for the others."""
        place = meeting_place(own.x)
        x, scale = own.x.to(place).contiguous(), own.at(dtype).scale.to(place, dtype)
        if owner != dist.get_rank():
            x, scale = x.new_empty(count, x.shape[1]), scale.new_empty(count)
        dist.broadcast(x, owner)
        dist.broadcast(scale, owner)
        near = min(k, len(bank))
        work = partial(search.search, Rows(x, scale), bank, near, dtype=dtype, index=index)
        distances, positions = work() if index is None else self.agree(work)  # an index may refuse
        distances = torch.nn.functional.pad(distances, (0, k - near), value=torch.inf)
        positions = torch.nn.functional.pad(positions + start, (0, k - near))
        world = [count] * dist.get_world_size()
        all_distances = gather(distances, world).unflatten(0, (-1, count)).transpose(0, 1).flatten(1)
        all_positions = gather(positions, world).unflatten(0, (-1, count)).transpose(0, 1).flatten(1)
        if owner != dist.get_rank():
            return None
        # Those of each process come in order, and so do the processes: the first of equals stays first.
        nearest = all_distances.sort(dim=1, stable=True)
        positions = all_positions.gather(1, nearest.indices[:, :k])
        return nearest.values[:, :k].to(own.x.device), positions.to(own.x.device)

    def _everyones(self, value: Value) -> list[Value]:
        """What each process has."""
        values = [value] * dist.get_world_size()
        dist.all_gather_object(values, value)
        return values
