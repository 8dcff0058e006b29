"""The measures of generated images that studies show: their names, which direction is better, and their values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.cells.rows import pick
from lab.reporting.statistics import ANY, POSITIVE, SHARE, Estimate, Range, by_seed, last_by_seed
from lab.reporting.tables import Better, mean_entry

if TYPE_CHECKING:
    import pandas as pd

SIDES = (
    "A low generated side means generated images that lie nearer to each other than to real ones: samples bunched "
    "together. A low real side means real images that find only each other near: data that the samples do not reach, "
    "or samples spread too far. In pixels much noise raises the generated side, so a high one is no proof that samples "
    "lie on the data."
)
"""What the two sides of entanglement tell, for a report's first section."""


@dataclass(frozen=True)
class Measure:
    """A measure of `metrics.comparison`, as rows have it, what people call it, which direction is better, its range.

    Of some neither is: they are best where real images in place of the generated ones have them (`like_real`).
    """

    metric: str
    side: str
    name: str
    better: Better
    within: Range = SHARE
    like_real: bool = False

    def mean(self, values: "pd.Series[float]") -> Estimate | str:
        """The mean of some of its values with its interval; a dash where nothing is known."""
        return mean_entry(values, self.within)

    def rows(self, table: "pd.DataFrame", space: str, kind: str = "gan") -> "pd.DataFrame":
        """Its rows in a space, against held-out images; of kind `reference` those of real against real."""
        return pick(table, metric=self.metric, side=self.side, space=space, group="", **_held_out(kind))

    def ends(self, table: "pd.DataFrame", space: str, names: Sequence[str]) -> "dict[str, pd.Series[float]]":
        """Its values at the end of training, by seed, of each model that is compared."""
        rows = self.rows(table, space)
        return {name: last_by_seed(rows[rows["model"] == name]) for name in names}

    def has_best(self, floor: float) -> bool:
        """Whether one value is better than another, with that of real against real, NaN where there is none."""
        return bool(self.better) or (self.like_real and not math.isnan(floor))

    def merit(self, values: "pd.Series[float]", floor: float) -> "pd.Series[float]":
        """The values turned so that more is better; NaN where that takes a floor and there is none."""
        if self.like_real:
            return -(values - floor).abs()
        return values if self.better == "higher" else -values

    def best_by_seed(self, rows: "pd.DataFrame", floor: float = math.nan) -> "pd.Series[float]":
        """The best value of trained generators, by seed; the last one where none is better than another."""
        if not self.has_best(floor):
            return last_by_seed(rows)
        trained = rows[(rows["step"] > 0) & rows["value"].notna()].reset_index(drop=True)
        best = self.merit(trained["value"], floor).groupby(trained["seed"]).idxmax()
        return by_seed(trained.loc[best])


ENTANGLED = Measure("entanglement", "joint", "joint entanglement", "higher")
GENERATED = Measure("entanglement", "generated", "generated side", "higher")
REAL = Measure("entanglement", "real", "real side", "higher")
FID = Measure("fid", "joint", "FID", "lower", POSITIVE)
PRECISION = Measure("precision", "generated", "precision", "higher")
RECALL = Measure("recall", "real", "recall", "higher")
MEASURES = (
    ENTANGLED,
    GENERATED,
    REAL,
    FID,
    Measure("kid", "joint", "KID", "lower", ANY),
    Measure("sliced_wasserstein", "joint", "sliced Wasserstein", "lower", POSITIVE),
    PRECISION,
    Measure("density", "generated", "density", "", POSITIVE, like_real=True),
    RECALL,
    Measure("ball_coverage", "real", "coverage", "higher"),
    Measure("one_nn_accuracy", "joint", "1-NN accuracy", "", like_real=True),
    Measure("vendi", "generated", "Vendi score", "", (1.0, math.inf), like_real=True),
    Measure("class_kl", "generated", "KL of classes", "lower", POSITIVE),
    Measure("memorized", "generated", "memorised", ""),
)
"""Those that a report shows; `mind` is the square of sliced Wasserstein and would stand for it twice."""


def named_spaces(table: "pd.DataFrame") -> dict[str, str]:
    """The spaces in which images were compared, as settings name them, and as rows do, pixels first."""
    found = sorted(pick(table, kind="gan", metric=ENTANGLED.metric, side=ENTANGLED.side)["space"].unique())
    named = {"pixels" if name == "pixels" else "classifier": str(name) for name in found}
    return {name: named[name] for name in ("pixels", "classifier") if name in named}


def floor_rows(measure: Measure, table: "pd.DataFrame", space: str) -> "pd.DataFrame":
    """What real images give in place of generated ones, a pair of halves a row; memorised ones among held-out ones."""
    if measure.metric != "memorized":
        return measure.rows(table, space, "reference")
    rows = pick(table, metric="memorized", side="real", space=space, **_held_out("gan"))
    return rows.drop_duplicates("seed")


def floor_of(measure: Measure, table: "pd.DataFrame", space: str) -> "pd.Series[float]":
    """The values of these, by pair of halves."""
    return by_seed(floor_rows(measure, table, space))


def mean_floor(measure: Measure, table: "pd.DataFrame", space: str) -> float:
    """The mean of these, NaN where there are none: what `Measure.has_best` and `Measure.merit` ask for."""
    return float(floor_of(measure, table, space).mean())


def floor_told(table: "pd.DataFrame") -> str:
    """Of which images `tasks.evaluate_floor` drew real against real, and how many pairs; empty where it drew none."""
    rows = pick(table, kind="reference", model="real")
    if rows.empty:
        return ""
    pairs, held_out = rows["seed"].nunique(), {*rows["split"]} == {"test"}
    drawn, kind = "one pair" if pairs == 1 else f"{pairs} pairs", "held-out" if held_out else "training"
    told = [f"Real against real is of {drawn} of sets of {kind} images, without an image in common."]
    if pairs == 1:
        told.append("Its band has no width.")
    if not held_out:
        told.append("Held-out ones, with which generated images are compared, are too few for it.")
        told.append("That of memorised images is of held-out ones all the same.")
    if not held_out and {*rows["space"]} != {"pixels"}:
        told.append("The classifier was fitted on training images, and may see new ones differently.")
    return " ".join(told)


def _held_out(kind: str) -> dict[str, str]:
    """What rows of a kind that is compared with held-out images have in their columns."""
    return {"kind": kind, **({"split": "test"} if kind == "gan" else {"model": "real"})}
