"""Two runs of one study side by side: their verdicts, and every measure at the end of training."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cells.record import read_study
from lab.errors import UsageError
from lab.reporting.report import Report, Section
from lab.reporting.tables import Entry, Rows, Table, columns, mean_entry
from lab.reporting.verdicts import Verdict
from lab.studying.drawing import judged

if TYPE_CHECKING:
    import pandas as pd

MEASURED = ["kind", "model", "imageset", "split", "space", "layer", "side", "group", "setting", "metric"]
"""The columns that tell what a row measures, whatever the seed and the step."""
CAPTION = (
    "Means over seeds with their 95% intervals at the last step of each training; the difference is the other's mean "
    "minus that of the one."
)
ENDS = "Measures at the end"
APART = "No measure is of both: they are of other images or other networks, or one has no finished cells."
TEXT = (
    "The same settings on another machine, or with another version of torch, give other seeds: a sum in another order "
    "differs in its last bits, and training makes much of little. What should agree is the verdicts, and means within "
    "their intervals."
)


@dataclass(frozen=True)
class Comparison:
    """Two runs of a study.

    Attributes:
        study: its name.
        verdicts: by the text of the claim, that of the one run and of the other; None where one does not state it.
        measures: a row for each measure that both have, the largest difference first.
    """

    study: str
    verdicts: dict[str, tuple[Verdict | None, Verdict | None]]
    measures: Rows

    def report(self, one: str, other: str) -> Report:
        """A page of it, with names for the runs."""
        claims: Rows = [
            [text, *(entry for found in both for entry in (_said(found), found.effect if found else ""))]
            for text, both in self.verdicts.items()
        ]
        stated = Table("verdicts", "Each claim.", columns("claim", one, "effect", other, "effect"), claims)
        measured = Table("measures", CAPTION, columns("measure", one, other, "difference"), self.measures)
        ends = Section(ENDS, "", [measured]) if self.measures else Section(ENDS, APART)
        return Report(
            f"Two runs of {self.study}",
            f"What do {one} and {other} agree on?",
            [Section("Verdicts", TEXT, [stated]), ends],
        )


def compare(one: Path, other: Path) -> Comparison:
    """Compare the runs in two folders.

    Raises:
        UsageError: they are of two studies.
        WorkbenchError: a folder is no study's.
    """
    study, theirs = (read_study(folder).study for folder in (one, other))
    if study != theirs:
        raise UsageError(f"{one} is a run of {study} and {other} one of {theirs}: name two runs of one study.")
    found = [judged(folder) for folder in (one, other)]
    stated = [{verdict.claim.text: verdict for verdict in each.verdicts} for each in found]
    texts = dict.fromkeys(text for each in stated for text in each)
    return Comparison(
        study,
        {text: (stated[0].get(text), stated[1].get(text)) for text in texts},
        _measures(*(each.table for each in found)),
    )


def _measures(first: "pd.DataFrame", second: "pd.DataFrame") -> Rows:
    sized = any(map(_has_sizes, (first, second)))
    one, other = (_ends(table, sized) for table in (first, second))
    rows: list[tuple[float, list[Entry]]] = []
    for key in one.keys() & other.keys():
        difference = float(other[key].mean() - one[key].mean())
        if not math.isnan(difference):
            name = " ".join(str(part) for part in key if part)
            rows.append((-abs(difference), [name, mean_entry(one[key]), mean_entry(other[key]), difference]))
    return [row for _, row in sorted(rows, key=lambda pair: (pair[0], str(pair[1][0])))]


def _has_sizes(table: "pd.DataFrame") -> bool:
    """Whether anything was measured of several numbers of images, each of which is a measure of its own then."""
    return bool(table.duplicated([*MEASURED, "seed", "step"]).any())


def _ends(table: "pd.DataFrame", sized: bool) -> "dict[Any, pd.Series[float]]":
    """The values at the last step of each measure, or of all where it knows of no step; `sized`: n tells them apart."""
    sizes = table["n"].map(lambda n: f"n = {n:g}" if sized and not math.isnan(n) else "")
    filled, measured = table.assign(step=table["step"].fillna(-1), size=sizes), [*MEASURED, "size"]
    last = filled.groupby(measured)["step"].transform("max")
    return {key: rows["value"] for key, rows in filled[filled["step"] == last].groupby(measured)}


def _said(found: Verdict | None) -> str:
    return found.verdict if found else "not stated"
