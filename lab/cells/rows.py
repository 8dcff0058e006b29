"""The one tidy table: every number that a study shows is a row of it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = tuple(
    "study cell kind model imageset seed kimg step split space layer side group setting metric value n".split()
)
"""The columns, in order. kimg: thousands of real images shown to the network; step: its updates; n: samples a side."""

NUMBERS = ("seed", "kimg", "step", "value", "n")


def build_table(rows: Iterable[dict[str, Any]]) -> "pd.DataFrame":
    """A data frame with all the columns; numbers are NaN and texts "" where a row says nothing."""
    import pandas as pd

    table = pd.DataFrame(list(rows), columns=list(COLUMNS))
    for column in COLUMNS:
        table[column] = pd.to_numeric(table[column]) if column in NUMBERS else table[column].astype(object).fillna("")
    return table


def pick(table: "pd.DataFrame", **equal: object) -> "pd.DataFrame":
    """The rows whose columns have the given values."""
    for column, value in equal.items():
        table = table[table[column] == value]
    return table
