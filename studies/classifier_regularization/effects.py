"""What the study of regularisation claims an effect on: test accuracy with and without the loss, in rows by setting."""

from typing import TYPE_CHECKING

from lab.cells.rows import pick
from lab.reporting.statistics import POINTS, Estimate, by_seed, paired_by_seed

if TYPE_CHECKING:
    import pandas as pd

MARGIN = 0.1
"""Percentage points of test accuracy: the smallest difference that counts."""


def name_of(alpha: float) -> str:
    """An alpha as figures and tables have it."""
    return f"{alpha:g}" if alpha else "0 (baseline)"


def sign(alpha: float) -> int:
    """-1 for an alpha that entangles, 1 for one that disentangles, 0 for the baseline."""
    return (alpha > 0) - (alpha < 0)


def tested(table: "pd.DataFrame", images: str, setting: str, metric: str) -> "pd.Series[float]":
    """A metric on the test split at the end of training, by seed."""
    return by_seed(pick(table, kind="classifier", split="test", imageset=images, setting=setting, metric=metric))


def gain(table: "pd.DataFrame", images: str, setting: str, without: str) -> Estimate | None:
    """Accuracy with a setting minus that without the loss, in percentage points, paired by seed."""
    after, before = (100 * tested(table, images, one, "accuracy") for one in (setting, without))
    return paired_by_seed(after, before, within=POINTS)
