"""What the report on regularisation reads from the table."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lab.cells.rows import pick

if TYPE_CHECKING:
    import pandas as pd


def name_of(alpha: float) -> str:
    """An alpha as figures and tables have it."""
    return f"{alpha:g}" if alpha else "0 (baseline)"


def of_alpha(table: "pd.DataFrame", images: str, alpha: float, **equal: object) -> "pd.DataFrame":
    """The rows of an image set and an alpha, whatever else their setting says."""
    rows = pick(table, imageset=images, **equal)
    return rows[rows["setting"].str.split(";").str[0] == f"alpha={alpha:g}"]


def by_seed(table: "pd.DataFrame", metric: str, images: str, alpha: float) -> "pd.Series[float]":
    """A metric on the test split, by seed."""
    rows = of_alpha(table, images, alpha, kind="classifier", split="test", metric=metric)
    return rows.set_index("seed")["value"].sort_index()


def gradients(table: "pd.DataFrame", images: str, alpha: float) -> Iterator[tuple[str, int, int, float, int, float]]:
    """Layer, steps, vanished gradients, their share, batches without a repeated class, loss over the last steps."""
    rows = of_alpha(table, images, alpha, kind="training")
    lonely = int(pick(rows, metric="no_repeat")["value"].sum())
    for layer, own in pick(rows, metric="vanished_gradient").groupby("space", sort=False):
        steps, vanished = int(own["n"].sum()), int(own["value"].sum())
        losses = pick(rows, metric="snnl", space=layer)
        last = losses[losses["step"] == losses["step"].max()]["value"].mean()
        yield str(layer), steps, vanished, vanished / max(1, steps), lonely, float(last)
