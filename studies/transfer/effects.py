"""What the claims are judged by, from the table alone."""

from typing import TYPE_CHECKING

from lab.cells.rows import pick
from lab.reporting.statistics import OF_SHARES, Estimate, by_seed, paired_by_seed
from tasks._attacks import told

if TYPE_CHECKING:
    import pandas as pd

ATTACK = "pgd"
"""The attack that the claims are on, named before any run."""
SELF = ""
"""The group of the source itself, in rows: the white box."""


def attacked(
    table: "pd.DataFrame", source: str, target: str, attack: str, eps: float, metric: str = "success"
) -> "pd.Series[float]":
    """What an attack on networks with a setting does to those with another, of other seeds, or to themselves; by seed
    of the source."""
    where = {"setting": source, "group": target, **told(attack, eps)}
    return by_seed(pick(table, kind="attack", metric=metric, **where))


def gradients(table: "pd.DataFrame", setting: str, metric: str) -> "pd.Series[float]":
    """A measure of gradients, by seed."""
    return by_seed(pick(table, kind="gradient", setting=setting, metric=metric))


def within(table: "pd.DataFrame", setting: str, without: str, eps: float) -> Estimate | None:
    """Transfer from baseline to baseline minus that among networks with a setting."""
    transferred = (attacked(table, one, one, ATTACK, eps) for one in (without, setting))
    return paired_by_seed(*transferred, within=OF_SHARES)


def to_the_baseline(table: "pd.DataFrame", setting: str, without: str, eps: float) -> Estimate | None:
    """Transfer from baseline to baseline minus that from networks with a setting to the same baselines."""
    transferred = (attacked(table, one, without, ATTACK, eps) for one in (without, setting))
    return paired_by_seed(*transferred, within=OF_SHARES)


def clustering(table: "pd.DataFrame", setting: str, without: str) -> Estimate | None:
    """By how much the classes mix more in the signs of gradients than without the loss."""
    return paired_by_seed(*(gradients(table, one, "entanglement") for one in (setting, without)), within=OF_SHARES)
