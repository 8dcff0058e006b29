"""The report on points in the plane: pictures of the descents, curves and tables."""

from typing import TYPE_CHECKING, Any

from lab.cells.folder import CellFolder
from lab.files import read_arrays
from lab.reporting.report import Report, Section
from lab.reporting.statistics import POSITIVE, SHARE, Range
from lab.reporting.tables import Table, columns, mean_entry, seed_table
from studies.toy import figures
from studies.toy.effects import at_end, at_start
from tasks import descend

if TYPE_CHECKING:
    import pandas as pd

    from studies.toy import Config

NAMES = {
    "random-minimise": ("random start", "minimised"),
    "random-maximise": ("random start", "maximised"),
    "apart-maximise": ("classes apart", "maximised"),
    "modes-minimise": ("two modes a class", "minimised"),
    "modes-triplet": ("two modes a class", "triplet loss"),
}
"""The descents in order, and what people call their start and how they move."""
MEASURES: dict[str, tuple[str, Range]] = {
    "entanglement": ("score", SHARE),
    "one_nn_accuracy": ("own nearest", SHARE),
    "mode_distance": ("modes", POSITIVE),
}
"""What is measured: what people call it, and what it can be."""

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


def report(config: "Config", table: "pd.DataFrame", artifacts: list[CellFolder]) -> Report:
    """The whole report, from the rows and the cells' artifacts alone; whatever has not been measured is left out."""
    return Report(
        "Points in the plane under the soft nearest neighbor loss",
        "What do minimising and maximising the loss do to points in the plane, and what becomes of a class with two "
        "modes?",
        [
            Section("How to read it", f"{READING} n = {config.points} points."),
            *([] if table.empty else _measured(table, artifacts)),
        ],
    )


def _measured(table: "pd.DataFrame", cells: list[CellFolder]) -> list[Section]:
    frames = _frames(min(cells, key=lambda cell: int(cell.config["seed"])))
    twos = {name: title for name, title in NAMES.items() if descend.DESCENTS[name].start == "modes"}
    ones = {name: title for name, title in NAMES.items() if name not in twos}
    moving = "Points in the plane as the loss is minimised or maximised (first seed); colours are classes."
    both = "Classes of two modes (disks and crosses) under both losses (first seed); colours are classes."
    return [
        Section(
            "Descents",
            "Colours are classes. Only the labels tell the classes: nothing else does in the random start.",
            [figures.pictures("descents", ones, frames, moving)],
        ),
        Section(
            "Two modes a class",
            "Disks and crosses are the two modes of a class, which begin opposite to each other. The triplet loss "
            "(all triplets that are not yet far enough apart) asks that a point be nearer to all of its class than to "
            "any other point; the soft nearest neighbor loss asks only for some near ones.",
            [figures.pictures("modes", twos, frames, both), figures.mode_distances(table, twos)],
        ),
        Section(
            "Scores over the descent",
            "Thin lines are single seeds, thick ones their mean; the dotted line is the control, the same points with "
            "their labels shuffled.",
            [figures.scores(table, NAMES)],
        ),
        Section("Start and end", "", [_ends(table), _seeds(table)]),
    ]


def _ends(table: "pd.DataFrame") -> Table:
    rows = []
    for name, title in NAMES.items():
        found = [
            mean_entry(ends(table, name, metric), within)
            for metric, (_, within) in MEASURES.items()
            for ends in (at_start, at_end)
        ]
        found.insert(2, mean_entry(at_end(table, name, "entanglement", "control"), SHARE))
        rows.append([", ".join(title), *found])
    places = [f"{word}, {end}" for word, _ in MEASURES.values() for end in ("start", "end")]
    headers = columns("descent", *places[:2], "labels shuffled, end", *places[2:])
    caption = (
        "Mean over seeds with its 95% interval. Own nearest: share of points whose nearest neighbour is of their "
        "class. Modes: distance between a class's modes, in root mean squared distances between points."
    )
    return Table("ends", caption, headers, rows)


def _seeds(table: "pd.DataFrame") -> Table:
    ends = {
        (", ".join(title), MEASURES[metric][0]): at_end(table, name, metric)
        for name, title in NAMES.items()
        for metric in MEASURES
    }
    measured = {key: values for key, values in ends.items() if len(values)}
    return seed_table("seeds", "Every seed at the end.", ["descent", "measure"], measured)


def _frames(cell: CellFolder) -> dict[str, Any]:
    return {"classes": cell.config["classes"], **read_arrays(cell.path / descend.KEPT)}
