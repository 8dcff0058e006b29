"""The report on points in the plane: verdicts, pictures of the descents, curves and tables."""

from typing import TYPE_CHECKING, Any

from lab.cells.folder import CellFolder
from lab.cells.rows import pick
from lab.reporting.report import Column, Report, Section, Table
from lab.reporting.statistics import paired_difference
from lab.reporting.tables import estimate_cell
from lab.reporting.verdicts import Claim, Verdict, judge
from studies.toy import figures

if TYPE_CHECKING:
    import pandas as pd

NAMES = {
    "random-minimise": "random start, minimised",
    "random-maximise": "random start, maximised",
    "apart-maximise": "classes apart, maximised",
    "modes-minimise": "two modes a class, minimised",
    "modes-triplet": "two modes a class, triplet loss",
}
"""The descents in order, and what people call them."""

READING = (
    "A score is the soft nearest neighbor loss at its best temperature, divided by the value it cannot exceed: 0 for "
    "classes that lie apart, 1 for classes that mix. Random points with random labels begin near 1, so what maximising "
    "does to them shows in the share of points whose nearest neighbour is of their own class (chance: one in as many "
    "as there are classes), and in the score where the classes begin apart. The descent goes by the loss at a fixed "
    "temperature, since at the best one neither separated nor mixed sets have a gradient. Points stay within a disk of "
    "twice their first root mean square, since the loss at a fixed temperature has no maximum. What points do at "
    "distances far below the temperature's root, the loss does not see."
)
"""What a reader needs to know before the figures."""


def draw(claims: list[Claim], table: "pd.DataFrame", cells: list[CellFolder], n: int) -> Report:
    """The whole report; whatever has not been measured is left out."""
    return Report(
        title="Points in the plane under the soft nearest neighbor loss",
        question="What do minimising and maximising the loss do to points in the plane, and what becomes of a class "
        "with two modes?",
        verdicts=[_verdict(claim, table) for claim in claims],
        sections=[Section("How to read it", f"{READING} n = {n} points."), *_measured(table, cells)],
    )


def _measured(table: "pd.DataFrame", cells: list[CellFolder]) -> list[Section]:
    if table.empty:
        return []
    first = min(cells, key=lambda cell: int(cell.config["seed"]))
    return [
        Section(
            "Descents",
            "Colours are classes. Only the labels tell the classes: nothing else does in the random start.",
            [figures.sequence(_frames(first), NAMES)],
        ),
        Section(
            "Two modes a class",
            "Disks and crosses are the two modes of a class, which begin opposite to each other. The triplet loss "
            "(all triplets that are not yet far enough apart) asks that a point be nearer to all of its class than to "
            "any other point; the soft nearest neighbor loss asks only for some near ones.",
            [figures.modes(_frames(first), NAMES), figures.mode_distances(table, NAMES)],
        ),
        Section(
            "Scores over the descent",
            "Thin lines are single seeds, thick ones their mean; the dotted line is the control, the same points with "
            "their labels shuffled.",
            [figures.scores(table, NAMES)],
        ),
        Section("Start and end", "", [_ends(table), _seeds(table)]),
    ]


def _verdict(claim: Claim, table: "pd.DataFrame") -> Verdict:
    if claim.key == "modes":
        after, before = (at_end(table, name, "mode_distance") for name in ("modes-minimise", "modes-triplet"))
    else:
        name, metric = {
            "separates": ("random-minimise", "entanglement"),
            "mixes-random": ("random-maximise", "one_nn_accuracy"),
            "mixes-apart": ("apart-maximise", "entanglement"),
        }[claim.key]
        after, before = at_end(table, name, metric), at_start(table, name, metric)
        if claim.key != "mixes-apart":  # a fall is claimed
            after, before = before, after
    both = sorted(set(after.index) & set(before.index))
    return judge(claim, paired_difference(after[both], before[both]) if both else None)


def at_start(table: "pd.DataFrame", name: str, metric: str, kind: str = "toy") -> "pd.Series[float]":
    """A measure of a descent before the first step, by seed."""
    rows = pick(table, kind=kind, setting=name, metric=metric)
    return pick(rows, step=0).set_index("seed")["value"].sort_index()


def at_end(table: "pd.DataFrame", name: str, metric: str, kind: str = "toy") -> "pd.Series[float]":
    """A measure of a descent after the last step, by seed."""
    rows = pick(table, kind=kind, setting=name, metric=metric)
    return pick(rows, step=rows["step"].max()).set_index("seed")["value"].sort_index()


def _ends(table: "pd.DataFrame") -> Table:
    columns = [
        "descent",
        "score, start",
        "score, end",
        "labels shuffled, end",
        "own nearest, start",
        "own nearest, end",
        "modes, start",
        "modes, end",
    ]
    rows = [
        [
            title,
            *(estimate_cell(ends(table, name, "entanglement")) for ends in (at_start, at_end)),
            estimate_cell(at_end(table, name, "entanglement", "control")),
            *(
                estimate_cell(ends(table, name, metric))
                for metric in ("one_nn_accuracy", "mode_distance")
                for ends in (at_start, at_end)
            ),
        ]
        for name, title in NAMES.items()
    ]
    caption = (
        "Mean over seeds with its 95% interval. Own nearest: share of points whose nearest neighbour is of their "
        "class. Modes: distance between a class's modes, in root mean squared distances between points."
    )
    return Table("ends", caption, [Column(name) for name in columns], rows)


def _seeds(table: "pd.DataFrame") -> Table:
    measured = [
        (name, metric)
        for name in NAMES
        for metric in ("entanglement", "one_nn_accuracy", "mode_distance")
        if len(at_end(table, name, metric))
    ]
    words = {"entanglement": "score", "one_nn_accuracy": "own nearest", "mode_distance": "modes"}
    ends = {key: at_end(table, *key) for key in measured}
    seeds = sorted({int(seed) for values in ends.values() for seed in values.index})
    rows: list[list[Any]] = [
        [NAMES[name], words[metric], *(float(ends[name, metric].get(seed, float("nan"))) for seed in seeds)]
        for name, metric in measured
    ]
    columns = [Column("descent"), Column("measure"), *(Column(f"seed {seed}") for seed in seeds)]
    return Table("seeds", "Every seed at the end.", columns, rows)


def _frames(cell: CellFolder) -> dict[str, Any]:
    import numpy as np

    with np.load(cell.path / "descents.npz", allow_pickle=False) as found:
        return {"classes": cell.config["classes"], **found}
