"""The report on GANs and entanglement: tables, curves, sample grids and maps, from rows and artifacts."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gans._kept import grids
from lab.cells.folder import CellFolder
from lab.cells.rows import pick
from lab.files import read_arrays
from lab.reporting.fonts import numbered
from lab.reporting.report import Gallery, GalleryRow, Report, Section
from lab.reporting.statistics import (
    OF_SHARES,
    SHARE,
    Estimate,
    first_by_seed,
    last_by_seed,
    paired_by_seed,
    welch_difference,
)
from lab.reporting.tables import Better, Column, Table, columns, mean_entry, seed_rows
from studies._config import classes_of
from studies._measures import SIDES
from studies._samples import GRID, last_grid, real_images, sample_grid
from studies.gan_entanglement import figures
from tasks.embed import EMBEDDING

if TYPE_CHECKING:
    import pandas as pd

    from studies.gan_entanglement import Config

FINAL_MEASURES: tuple[tuple[str, str, str, Better], ...] = (
    ("joint", "entanglement", "joint entanglement", "higher"),
    ("generated", "entanglement", "generated side", "higher"),
    ("real", "entanglement", "real side", "higher"),
    ("real", "coverage", "coverage of classes", "higher"),
    ("joint", "one_nn_accuracy", "1-NN accuracy", ""),
    ("generated", "one_nn_accuracy", "1-NN accuracy, generated", ""),
    ("real", "one_nn_accuracy", "1-NN accuracy, real", ""),
)
"""Side, metric, what people call it, and which direction is better (1-NN accuracy: towards 0.5)."""

GRIDS_SHOWN = 6
EXTREME = 20
"""Classes at either end of those that are shown where there are more than twice as many."""
READING = (
    "A score is the soft nearest neighbor loss between real and generated images at its best temperature, divided by "
    "the value it cannot exceed: 0 for sets that lie apart, 1 for sets that cannot be told apart. The joint score is "
    f"the paper's measure; it alone is nearly blind to a wrong spread in pixels, so both sides are shown. {SIDES} "
    "For 1-NN accuracy 0.5 is indistinguishable and 1 is apart."
)


def report(config: "Config", table: "pd.DataFrame", artifacts: list[CellFolder]) -> Report:
    """The whole report, from the rows and the cells' artifacts alone; whatever has not been measured is left out."""
    reading = Section("How to read it", f"{READING} Every measurement rests on n = {config.n} images a side.")
    return Report(
        "Entanglement of real and generated images over GAN training",
        "Do real and generated images entangle as a GAN trains, and does the coverage of classes depend on the "
        "architecture?",
        [reading, *([] if pick(table, kind="gan").empty else _measured(table, artifacts, config.gans))],
    )


def rise(table: "pd.DataFrame", gan: str) -> Estimate | None:
    """Joint entanglement with held-out images, end of training minus untrained, paired by seed."""
    joint = _over_training(table, gan, side="joint", metric="entanglement")
    return paired_by_seed(last_by_seed(joint), first_by_seed(joint), within=OF_SHARES)


def difference_of_coverage(table: "pd.DataFrame", one: str, other: str) -> Estimate | None:
    """Mean real side over the classes at the end, of one GAN minus another, Welch over seeds."""
    sides = [last_by_seed(_over_training(table, gan, side="real", metric="coverage")) for gan in (one, other)]
    return welch_difference(*sides, within=OF_SHARES) if all(map(len, sides)) else None


def _over_training(table: "pd.DataFrame", gan: str, split: str = "test", group: str = "", **which: str) -> Any:
    """The rows of a measure of a GAN."""
    return pick(table, kind="gan", model=gan, split=split, group=group, **which)


def _reference(table: "pd.DataFrame", group: str = "", **which: str) -> Estimate | str:
    """What real against real gives for a measure."""
    return mean_entry(pick(table, kind="reference", model="real", group=group, **which)["value"], SHARE)


def _measured(table: "pd.DataFrame", cells: list[CellFolder], gans: Sequence[str]) -> list[Section]:
    trained = {gan: _trainings(cells, gan) for gan in gans}
    classes, embeddings = classes_of(cells), _embeddings(cells)
    return [
        Section(
            "Entanglement over training",
            "Thin lines are single seeds, thick ones their mean. The band is real against real, the dotted line noise.",
            [figures.over_training(table, gans), figures.sides(table, gans), figures.splits(table, gans)],
        ),
        Section(
            "At the end of training",
            "Each dot is a seed; the bar is the mean with its 95% interval.",
            [figures.final_comparison(table, gans, FINAL_MEASURES), _final_table(table, gans), _seeds(table, gans)],
        ),
        *([_classes(table, gans, classes)] if classes else []),
        Section(
            "Samples over training",
            "Images of the averaged generator from the same latents at every time.",
            [_samples(gan, found, cells) for gan, found in trained.items() if found],
        ),
        Section(
            "Maps",
            "t-SNE of held-out real images with generated ones, early and at the end, in one map a GAN (first seed). "
            "Distances between far groups mean little in such a map; whether points mix does.",
            [figures.maps(embeddings)] if embeddings else [],
        ),
        Section("Losses", "What the optimizers saw; not comparable across GANs.", [figures.losses(table, gans)]),
    ]


def _classes(table: "pd.DataFrame", gans: Sequence[str], classes: Sequence[str]) -> Section:
    rows, reached = [], {}
    for group, name in enumerate(map(str, classes)):
        which = {"metric": "entanglement", "group": str(group)}
        sides = [last_by_seed(_over_training(table, gan, **which)) for gan in gans]
        rows.append([name, *(mean_entry(side, SHARE) for side in sides), _reference(table, **which)])
        reached[group] = float(np.mean([side.mean() for side in sides]))
    headers = [Column("class"), *columns(*gans, "real against real", better="higher")]
    caption = "Real side by class at the end, held-out images: mean over seeds with its 95% interval."
    text = "The real side of each class: how far the generated images reach the real ones of that class."
    shown = [*range(len(classes))]
    if many := len(classes) > 2 * EXTREME:
        order = sorted(shown, key=lambda group: (math.isnan(reached[group]), reached[group]))
        shown = [*order[:EXTREME], *order[-EXTREME:]]
        text += (
            f" Of {len(classes)} classes the {EXTREME} that are reached least and the {EXTREME} reached best are shown."
        )
    extreme = Table("classes-extreme", caption, headers, [rows[group] for group in shown])
    tables = [extreme] if many else []
    whole = Table("classes", f"{caption} All classes." if many else caption, headers, rows, folded=many)
    return Section("Classes", text, [figures.by_class(table, gans, classes, shown), *numbered(classes), *tables, whole])


def _final_table(table: "pd.DataFrame", gans: Sequence[str]) -> Table:
    rows = []
    for split, against in (("test", "held-out"), ("train", "training")):
        for side, metric, name, _ in FINAL_MEASURES:
            which = {"side": side, "metric": metric}
            ends = [last_by_seed(_over_training(table, gan, split, **which)) for gan in gans]
            rows.append([name, against, *(mean_entry(end, SHARE) for end in ends), _reference(table, **which)])
    caption = (
        "Mean over seeds with its 95% interval. Higher is better for entanglement and coverage; 1-NN accuracy is best "
        "at 0.5. Real against real: held-out against training images, mean over random draws, which overlap."
    )
    return Table("final", caption, columns("measure", "against", *gans, "real against real"), rows)


def _seeds(table: "pd.DataFrame", gans: Sequence[str]) -> Table:
    rows = []
    for gan in gans:
        found = [_over_training(table, gan, side=side, metric=metric) for side, metric, *_ in FINAL_MEASURES]
        rows += [[gan, *row] for row in seed_rows([last_by_seed(one) for one in found])]
    headers = [*columns("GAN", "seed"), *(Column(name, better) for _, _, name, better in FINAL_MEASURES)]
    caption = "Every seed at the end of training, against held-out images; 1-NN accuracy is best at 0.5."
    return Table("seeds", caption, headers, rows)


def _trainings(cells: list[CellFolder], gan: str) -> list[CellFolder]:
    """The finished trainings of a GAN, by seed."""
    found = [cell for cell in cells if cell.task == "train-gan" and cell.config["gan"] == gan and grids(cell.path)]
    return sorted(found, key=lambda cell: int(cell.config["seed"]))


def _samples(gan: str, trainings: list[CellFolder], cells: list[CellFolder]) -> Gallery:
    seeds = [f"seed {cell.config['seed']}" for cell in trainings]
    first = grids(trainings[0].path)
    step = max(1, (len(first) - 1) // (GRIDS_SHOWN - 1))
    shown = [*first[:-1][::step][: GRIDS_SHOWN - 1], first[-1]]
    over = [sample_grid(f"{kimg:.3g} kimg", path, trainings[0]) for kimg, path in shown]
    ends = [last_grid(seed, cell) for seed, cell in zip(seeds, trainings, strict=True)]
    rows = [
        GalleryRow(f"{gan}, {seeds[0]}, over training", over),
        GalleryRow(f"{gan}, every seed at the end, beside real images", [*ends, *real_images(cells)]),
    ]
    return Gallery(f"Samples of {gan}.", rows, GRID)


def _embeddings(cells: list[CellFolder]) -> dict[str, Any]:
    own = {cell.label.removeprefix("embed-gan-"): cell.path for cell in cells if cell.task == "embed"}
    found = {name: read_arrays(path / EMBEDDING) for name, path in own.items()}
    return {name: arrays for name, arrays in found.items() if arrays}
