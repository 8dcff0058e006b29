"""What the claims are judged by, from the table alone: measures of descents, by seed."""

from typing import TYPE_CHECKING

from lab.cells.rows import pick
from lab.reporting.statistics import OF_SHARES, Estimate, first_by_seed, last_by_seed, paired_by_seed

if TYPE_CHECKING:
    import pandas as pd


def at_start(table: "pd.DataFrame", name: str, metric: str, kind: str = "toy") -> "pd.Series[float]":
    """A measure of a descent before the first step, by seed."""
    return first_by_seed(pick(table, kind=kind, setting=name, metric=metric))


def at_end(table: "pd.DataFrame", name: str, metric: str, kind: str = "toy") -> "pd.Series[float]":
    """A measure of a descent after the last step, by seed."""
    return last_by_seed(pick(table, kind=kind, setting=name, metric=metric))


def rise(table: "pd.DataFrame", name: str, metric: str) -> Estimate | None:
    """A share at the end of a descent minus at its start, paired by seed."""
    return paired_by_seed(at_end(table, name, metric), at_start(table, name, metric), within=OF_SHARES)


def fall(table: "pd.DataFrame", name: str, metric: str) -> Estimate | None:
    """A share at the start of a descent minus at its end, paired by seed."""
    return paired_by_seed(at_start(table, name, metric), at_end(table, name, metric), within=OF_SHARES)


def modes_kept(table: "pd.DataFrame") -> Estimate | None:
    """The distance between a class's modes at the end, minimised loss minus triplet loss, paired by seed."""
    ends = (at_end(table, name, "mode_distance") for name in ("modes-minimise", "modes-triplet"))
    return paired_by_seed(*ends)
