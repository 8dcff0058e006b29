"""Tables and galleries of studies that compare GANs by every measure; the `model` of a row tells what is compared."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gans._kept import grids
from lab.cells.folder import CellFolder
from lab.cells.rows import pick
from lab.files import read_arrays
from lab.reporting.pictures import sheet
from lab.reporting.ranks import ranking
from lab.reporting.report import Gallery, GalleryRow, Picture, Section
from lab.reporting.statistics import last_by_seed
from lab.reporting.tables import Column, Rows, Table, columns, seed_rows
from studies._measures import MEASURES, Measure, floor_of, named_spaces
from studies._samples import GRID, last_grid, real_images
from tasks.evaluate_gan import PAIRS
from tasks.interpolate import WAYS

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = 7
"""Measures in one table of seeds."""


def last_and_best(table: "pd.DataFrame", names: Sequence[str], space: str, title: str) -> Table:
    """Every measure at the end of training and at its best, beside real against real."""
    rows: Rows = []
    for measure in MEASURES:
        found = measure.rows(table, space)
        if found.empty:
            continue
        own = [found[found["model"] == name] for name in names]
        label, floor = Column(measure.name, measure.better).title, floor_of(measure, table, space)
        usual, real = float(floor.mean()), measure.mean(floor)
        rows.append([label, "last", *(measure.mean(last_by_seed(one)) for one in own), real])
        if measure.has_best(usual):
            rows.append([label, "best", *(measure.mean(measure.best_by_seed(one, usual)) for one in own), real])
    caption = (
        f"In {title}, against held-out images: mean over seeds with its 95% interval. The best value is picked among "
        "checkpoints on the same images, and so flatters; the last one is not picked. Density, 1-NN accuracy and Vendi "
        "score have no arrow: they are best where real against real has them."
    )
    return Table(f"measures-{title}", caption, columns("measure", "when", *names, "real against real"), rows)


def ranked(measure: Measure, table: "pd.DataFrame", space: str, names: Sequence[str], title: str) -> Table:
    """A ranking at the end of training, and how sure each place is."""
    values = measure.ends(table, space, names)
    found = ranking(values, higher_is_better=measure.better == "higher")
    rows: Rows = [
        [place, one.name, measure.mean(values[one.name]), one.right, one.above_next]
        for place, one in enumerate(found, start=1)
    ]
    headers = [
        Column("place"),
        Column("GAN"),
        Column(measure.name, measure.better),
        *columns("P(place)", "P(above next)"),
    ]
    caption = (
        f"By {measure.name} in {title} at the end of training: the probability that each true mean has this place, and "
        "that it is better than the next one, if seeds are normal around it."
    )
    return Table(f"ranking-{measure.metric}-{title}".replace("_", "-"), caption, headers, rows)


def seeds(table: "pd.DataFrame", names: Sequence[str], space: str, title: str) -> list[Table]:
    """Every seed at the end of training, in tables that are narrow enough for a page."""
    shown = [measure for measure in MEASURES if len(measure.rows(table, space))]
    found = []
    for part, start in enumerate(range(0, len(shown), COLUMNS), start=1):
        some = shown[start : start + COLUMNS]
        ends = [measure.ends(table, space, names) for measure in some]
        rows: Rows = [[name, *row] for name in names for row in seed_rows([own[name] for own in ends])]
        headers = [*columns("GAN", "seed"), *(Column(measure.name, measure.better) for measure in some)]
        caption = f"Every seed at the end of training, in {title}, part {part}."
        found.append(Table(f"seeds-{title}-{part}", caption, headers, rows))
    return found


def trainings(table: "pd.DataFrame", cells: Sequence[CellFolder], names: Sequence[str]) -> dict[str, list[CellFolder]]:
    """The finished trainings of each that is compared, by seed."""
    return _cells(pick(table, kind="training"), cells, names)


def first_evaluations(
    table: "pd.DataFrame", cells: Sequence[CellFolder], names: Sequence[str]
) -> dict[str, CellFolder]:
    """The evaluation of each one's first seed, in the first of the spaces."""
    space = next(iter(named_spaces(table).values()))
    found = _cells(pick(table, kind="gan", space=space), cells, names)
    return {name: evaluations[0] for name, evaluations in found.items()}


def samples(trainings: Mapping[str, Sequence[CellFolder]], cells: Sequence[CellFolder]) -> Gallery:
    """Images of every training at its end, beside real ones."""
    real = real_images(cells)
    rows = [
        GalleryRow(name, [last_grid(f"seed {one.config['seed']}", one) for one in own])
        for name, own in trainings.items()
        if all(grids(one.path) for one in own)
    ]
    beside = [GalleryRow("real images, held out from training", real)] if real else []
    return Gallery("Images of the averaged generators at the end of training.", [*rows, *beside], GRID)


def interpolations(table: "pd.DataFrame", cells: Sequence[CellFolder], names: Sequence[str]) -> Gallery:
    """Ways from one image to another of each one's first seed."""
    ways = {cell.label.removeprefix("interpolate-"): cell for cell in cells if cell.task == "interpolate"}
    rows = []
    for name, found in trainings(table, cells, names).items():
        drawn = read_arrays(ways[found[0].label].path / WAYS) if found[0].label in ways else {}
        if drawn:
            rows.append(GalleryRow(name, [Picture("", sheet(way, len(way))) for way in drawn["images"]]))
    return Gallery("Interpolations of the averaged generators, first seed.", rows, width=30.0)


def nearest(evaluations: Mapping[str, CellFolder]) -> Gallery:
    """The generated images that are most like a training image, each above that one."""
    rows = []
    for name, cell in evaluations.items():
        pairs = read_arrays(cell.path / PAIRS).get("memorized")
        if pairs is not None:
            told = ("generated", "nearest training image")
            shown = [Picture("", sheet(np.stack(pair), 1), told) for pair in zip(*pairs, strict=True)]
            rows.append(GalleryRow(name, shown))
    caption = "Most memorised first, first seed: above the generated image, below the nearest training one."
    return Gallery(caption, rows, width=7.0)


def every_measure(table: "pd.DataFrame", names: Sequence[str], spaces: Mapping[str, str]) -> Section:
    """All measures in all spaces, what they are, and all seeds."""
    from evaluation.meanings import meanings

    found = [last_and_best(table, names, space, title) for title, space in spaces.items()]
    shown = [one for one in MEASURES if any(len(one.rows(table, space)) for space in spaces.values())]
    found.append(meanings({one.metric: [other.name for other in shown if other.metric == one.metric] for one in shown}))
    for title, space in spaces.items():
        found += seeds(table, names, space, title)
    return Section("Every measure", "", found)


def nearest_training_images(table: "pd.DataFrame", cells: Sequence[CellFolder], names: Sequence[str]) -> Section:
    """What was copied, if anything, by the first seed of each."""
    text = (
        "A generated image counts as memorised where it is no farther from a training image than that is from its own "
        "nearest other one."
    )
    return Section("Nearest training images", text, [nearest(first_evaluations(table, cells, names))])


def minutes_a_kimg(trainings: Mapping[str, Sequence[CellFolder]]) -> dict[str, float]:
    """How long the trainings took for a thousand images, on average."""
    paces = {
        name: [cell.seconds / 60 / float(cell.config["kimg"]) for cell in cells] for name, cells in trainings.items()
    }
    return {name: sum(known) / len(known) for name, known in paces.items() if known}


def _cells(rows: "pd.DataFrame", cells: Sequence[CellFolder], names: Sequence[str]) -> dict[str, list[CellFolder]]:
    """The folders that rows are from, by what is compared and in the order of the seeds, where there are any."""
    folders = {cell.path.name: cell for cell in cells}
    own = {name: rows[rows["model"] == name].sort_values("seed")["cell"].unique() for name in names}
    return {name: found for name, one in own.items() if (found := [folders[cell] for cell in one if cell in folders])}
