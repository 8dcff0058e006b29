"""The rows of a study's finished cells, as one table."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cells import layout
from lab.cells.failure import Failure, failure_of, read_failure
from lab.cells.folder import CellFolder
from lab.cells.kept import check_kept
from lab.cells.rows import build_table, joined
from lab.errors import WorkbenchError

if TYPE_CHECKING:
    import pandas as pd

TOGETHER = 100_000
"""Rows that become a part of the table at a time: as a table they take a small part of the memory."""


@dataclass
class Collected:
    """What there is of a study.

    Attributes:
        table: the rows of the finished cells.
        cells: their folders, in the order of the plan.
        absent: why the others failed, by name, if they did; one that is damaged is absent, too.
    """

    table: "pd.DataFrame"
    cells: list[CellFolder] = field(default_factory=list)
    absent: dict[str, Failure | None] = field(default_factory=dict)


def collect(study: str, names: Iterable[str], root: Path, published: Collection[str] = ()) -> Collected:
    """What there is of the cells of a study below a folder of runs; of some, those that ship with the code will do."""
    found = Collected(build_table([]))
    rows = _rows(study, names, root, published, found)
    found.table = joined(build_table(part) for part in _parts(rows))
    return found


def _rows(
    study: str, names: Iterable[str], root: Path, published: Collection[str], found: Collected
) -> Iterator[dict[str, Any]]:
    """The rows of each finished cell; the cells are noted as they come."""
    texts: dict[str, str] = {}
    for name in names:
        try:
            places = [root, layout.PUBLISHED] if name in published else [root]
            cells = [layout.cell(place, name) for place in places]
            done = next((cell for cell in cells if layout.is_done(cell)), None)
            if done is None:
                found.absent[name] = read_failure(cells[0])
                continue
            cell = CellFolder(done)
            rows = check_kept(cell)
        except WorkbenchError as error:
            found.absent[name] = failure_of(error)
            continue
        found.cells.append(cell)
        for row in rows:  # the same text, which many rows have, is in memory once
            kept = {
                key: texts.setdefault(value, value) if isinstance(value, str) else value for key, value in row.items()
            }
            yield {"study": study, "cell": name, **kept}


def _parts(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while part := [*islice(rows, TOGETHER)]:
        yield part
