"""What the claims are judged by, from the table alone."""

from typing import TYPE_CHECKING

from lab.cells.rows import pick
from lab.reporting.statistics import OF_SHARES, POINTS, Estimate, by_seed, paired_by_seed
from tasks._attacks import CLEAN, told
from tasks._credibility import DKNN, NETWORK

if TYPE_CHECKING:
    import pandas as pd

SCORE = "neighbor-distance"
"""The score of the claim on foreign images, named before any run: the mean distance to the k neighbours."""


def detected(
    table: "pd.DataFrame", setting: str, score: str = SCORE, layer: str = "", metric: str = "auroc"
) -> "pd.DataFrame":
    """The rows of a measure of a score, of every foreign set; without a layer, over the layers."""
    return pick(table, kind="foreign", setting=setting, space=score, layer=layer, metric=metric)


def credibility(table: "pd.DataFrame", setting: str, space: str = "credibility") -> "pd.DataFrame":
    """The rows of a mean, on test images (group empty) and on every foreign set."""
    return pick(table, kind="credibility", setting=setting, space=space, metric="mean")


def predicted(table: "pd.DataFrame", setting: str, space: str, metric: str) -> "pd.Series[float]":
    """A measure of predictions on test images, by seed."""
    return by_seed(pick(table, kind="prediction", setting=setting, space=space, metric=metric))


def separation(table: "pd.DataFrame", setting: str, without: str) -> Estimate | None:
    """The gain in AUROC of the claim's score, mean over the foreign sets, paired by seed."""
    means = (_mean_over_sets(detected(table, one)) for one in (setting, without))
    return paired_by_seed(*means, within=OF_SHARES)


def credibility_gap(table: "pd.DataFrame", setting: str, without: str) -> Estimate | None:
    """The gain in mean credibility on test images over that on foreign ones, mean over their sets, paired by seed."""

    def gap(one: str) -> "pd.Series[float]":
        rows = credibility(table, one)
        return by_seed(rows[rows["group"] == ""]) - _mean_over_sets(rows[rows["group"] != ""])

    return paired_by_seed(gap(setting), gap(without), within=(-2.0, 2.0))


def _mean_over_sets(rows: "pd.DataFrame") -> "pd.Series[float]":
    """The mean over the foreign sets, by seed; no number of a seed that lacks one of them."""
    return rows.pivot(index="seed", columns="group", values="value").mean(axis=1, skipna=False)


def neighbours_shortfall(table: "pd.DataFrame", setting: str) -> Estimate | None:
    """Test accuracy of the neighbours minus that of the network in percentage points, paired by seed."""
    found = [100 * predicted(table, setting, space, "accuracy") for space in (DKNN, NETWORK)]
    return paired_by_seed(*found, within=POINTS)


def attacked(
    table: "pd.DataFrame", setting: str, attack: str, eps: float, metric: str = "credibility"
) -> "pd.Series[float]":
    """A measure of attacked images, by seed."""
    return by_seed(pick(table, kind="attacked", setting=setting, metric=metric, **told(attack, eps)))


def fall(
    table: "pd.DataFrame", setting: str, attack: str, eps: float, metric: str = "credibility"
) -> "pd.Series[float]":
    """By how much a measure of images as they are exceeds that of attacked ones, by seed."""
    return attacked(table, setting, CLEAN, 0.0, metric) - attacked(table, setting, attack, eps, metric)


def fall_gained(table: "pd.DataFrame", setting: str, without: str, attack: str, eps: float) -> Estimate | None:
    """The gain in the fall of mean credibility, paired by seed."""
    return paired_by_seed(*(fall(table, one, attack, eps) for one in (setting, without)), within=(-2.0, 2.0))


def fall_beyond_softmax(table: "pd.DataFrame", setting: str, attack: str, eps: float) -> Estimate | None:
    """By how much mean credibility falls further than the mean maximum softmax, paired by seed."""
    fallen = (fall(table, setting, attack, eps, metric) for metric in ("credibility", "confidence"))
    return paired_by_seed(*fallen, within=(-2.0, 2.0))
