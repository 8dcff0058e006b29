"""The one tidy table: every number that a study shows is a row of it."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lab.config import LARGEST_WHOLE
from lab.files import from_json

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = tuple(
    "study cell kind model imageset seed kimg step split space layer side group setting metric value n".split()
)
"""The columns, in order. kimg: thousands of real images shown to the network; step: its updates; n: samples a side."""

NUMBERS = frozenset({"seed", "kimg", "step", "value", "n"})
LARGEST = 1e300
"""What a number in a row is within, unless it is whole; what is not finite is null there."""


def read_rows(lines: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of lines of JSON.

    Raises:
        ValueError: a line is none: its columns are not numbers or null, and texts.
    """
    at_once = all(map(_is_flat, lines))  # which is much sooner than line by line
    rows = json.loads(f"[{','.join(lines)}]") if at_once else [from_json(line) for line in lines]
    for row in rows:
        _check(row)
    return rows


def _is_flat(line: str) -> bool:
    """Whether a line that is JSON at all is one object with nothing nested in it."""
    return line.startswith("{") and line.endswith("}\n") and line.count("{") == 1 and "[" not in line


def _check(row: dict[str, Any]) -> None:
    for column, value in row.items():
        right = _is_number(value) if column in NUMBERS else isinstance(value, str)
        if not (right or value is None) and column in COLUMNS:
            raise ValueError(f"{column} is {value!r}")


def _is_number(value: Any) -> bool:
    limit = LARGEST_WHOLE if isinstance(value, int) else LARGEST
    return isinstance(value, int | float) and -limit <= value <= limit


def build_table(rows: Iterable[dict[str, Any]]) -> "pd.DataFrame":
    """A data frame with all the columns; numbers are NaN and texts "" where a row says nothing."""
    import pandas as pd

    table = pd.DataFrame(list(rows), columns=list(COLUMNS))
    for column in COLUMNS:
        table[column] = pd.to_numeric(table[column]) if column in NUMBERS else table[column].astype(object).fillna("")
    return table.copy()  # columns that lie together: rows are picked out of them many times


def joined(parts: Iterable["pd.DataFrame"]) -> "pd.DataFrame":
    """The table of all the rows of several."""
    import pandas as pd

    whole = [*parts] or [build_table([])]
    return whole[0] if len(whole) == 1 else pd.concat(whole, ignore_index=True)


def pick(table: "pd.DataFrame", **equal: object) -> "pd.DataFrame":
    """The rows whose columns have the given values."""
    import numpy as np

    rows = np.arange(len(table))
    for column, value in equal.items():
        rows = rows[table[column].to_numpy()[rows] == value]
    return table.iloc[rows]
