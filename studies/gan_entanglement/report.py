"""The report on GANs and entanglement: verdicts, tables, curves, sample grids and maps, from rows and artifacts."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lab.cells.folder import CellFolder
from lab.cells.rows import pick
from lab.reporting.report import Column, Gallery, GalleryRow, Report, Section, Table
from lab.reporting.statistics import Estimate, paired_difference, welch_difference
from lab.reporting.tables import Better, estimate_cell
from lab.reporting.verdicts import Claim, Verdict, judge
from studies.gan_entanglement import figures

if TYPE_CHECKING:
    import pandas as pd

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
READING = (
    "A score is the soft nearest neighbor loss between real and generated images at its best temperature, divided by "
    "the value it cannot exceed: 0 for sets that lie apart, 1 for sets that cannot be told apart. The joint score is "
    "the paper's measure; it alone is blind to a wrong spread, so both sides are shown: a low generated side means "
    "samples off the data or bunched together, a low real side means data that the samples do not reach, or samples "
    "spread too far. "
    "For 1-NN accuracy 0.5 is indistinguishable and 1 is apart."
)


def draw(
    claims: list[Claim],
    table: "pd.DataFrame",
    cells: list[CellFolder],
    gans: Sequence[str],
    classes: Sequence[str],
    n: int,
) -> Report:
    """The whole report; whatever has not been measured is left out."""
    sections = [
        Section("How to read it", f"{READING} Every measurement rests on n = {n} images a side."),
        *([] if pick(table, kind="gan").empty else _measured(table, cells, gans, classes)),
    ]
    return Report(
        title="Entanglement of real and generated images over GAN training",
        question="Do real and generated images entangle as a GAN trains, and does the coverage of classes depend on "
        "the architecture?",
        verdicts=[_verdict(claim, table) for claim in claims],
        sections=sections,
        missing=[],
    )


def _measured(
    table: "pd.DataFrame", cells: list[CellFolder], gans: Sequence[str], classes: Sequence[str]
) -> list[Section]:
    return [
        Section(
            "Entanglement over training",
            "Thin lines are single seeds, thick ones their mean. The band is real against real, the dotted line noise.",
            [figures.over_training(table, gans), figures.sides(table, gans), figures.splits(table, gans)],
        ),
        Section(
            "At the end of training",
            "Each dot is a seed; the bar is the mean with its 95% interval.",
            [
                figures.final_comparison(table, gans, FINAL_MEASURES),
                _final_table(table, gans),
                _seed_table(table, gans),
            ],
        ),
        *([_classes(table, gans, classes)] if classes else []),
        Section(
            "Samples over training",
            "Images of the averaged generator from the same latents at every time.",
            [_samples(cells, gan) for gan in gans if _trainings(cells, gan)],
        ),
        Section(
            "Maps",
            "t-SNE of held-out real images with generated ones, early and at the end, in one map a GAN (first seed). "
            "Distances between far groups mean little in such a map; whether points mix does.",
            [figures.maps(_embeddings(cells))] if _embeddings(cells) else [],
        ),
        Section("Losses", "What the optimizers saw; not comparable across GANs.", [figures.losses(table, gans)]),
    ]


def _classes(table: "pd.DataFrame", gans: Sequence[str], classes: Sequence[str]) -> Section:
    return Section(
        "Classes",
        "The real side of each class: how far the generated images reach the real ones of that class.",
        [figures.by_class(table, gans, classes), _class_table(table, gans, classes)],
    )


def _verdict(claim: Claim, table: "pd.DataFrame") -> Verdict:
    kind, *gans = claim.key.split("/")
    held_out = pick(table, kind="gan", split="test", group="")
    if kind == "rise":
        joint = pick(held_out, model=gans[0], side="joint", metric="entanglement")
        start, end = joint[joint["step"] == 0].set_index("seed")["value"], _last(joint)
        both = sorted(set(start.index) & set(end.index))
        estimate = paired_difference(end[both], start[both]) if both else None
        return judge(claim, estimate)
    sides = [_last(pick(held_out, model=gan, side="real", metric="coverage")) for gan in gans]
    fewest = min(len(side) for side in sides)
    return judge(claim, welch_difference(*sides) if fewest else None)


def _last(rows: "pd.DataFrame") -> "pd.Series[float]":
    """The value at the last step, by seed."""
    last = rows[rows["step"] == rows["step"].max()]
    return last.set_index("seed")["value"].sort_index()


def _final_table(table: "pd.DataFrame", gans: Sequence[str]) -> Table:
    rows = [
        [
            name,
            against,
            *(estimate_cell(_final(table, gan, split, side, metric)) for gan in gans),
            _reference(table, side, metric),
        ]
        for split, against in (("test", "held-out"), ("train", "training"))
        for side, metric, name, _ in FINAL_MEASURES
    ]
    columns = [Column("measure"), Column("against"), *(Column(gan) for gan in gans), Column("real against real")]
    caption = (
        "Mean over seeds with its 95% interval. Higher is better for entanglement and coverage; 1-NN accuracy is best "
        "at 0.5. Real against real: held-out against training images, mean over random draws, which overlap."
    )
    return Table("final", caption, columns, rows)


def _seed_table(table: "pd.DataFrame", gans: Sequence[str]) -> Table:
    rows: list[list[Any]] = []
    for gan in gans:
        values = {name: _final(table, gan, "test", side, metric) for side, metric, name, _ in FINAL_MEASURES}
        seeds = next(iter(values.values())).index
        rows += [[gan, int(seed), *(float(series.get(seed, math.nan)) for series in values.values())] for seed in seeds]
    columns = [Column("GAN"), Column("seed"), *(Column(name, better) for _, _, name, better in FINAL_MEASURES)]
    caption = "Every seed at the end of training, against held-out images; 1-NN accuracy is best at 0.5."
    return Table("seeds", caption, columns, rows)


def _class_table(table: "pd.DataFrame", gans: Sequence[str], classes: Sequence[str]) -> Table:
    rows = [
        [name, *(estimate_cell(_class_values(table, gan, group)) for gan in gans), _class_reference(table, group)]
        for group, name in enumerate(classes)
    ]
    columns = [Column("class"), *(Column(gan, "higher") for gan in gans), Column("real against real", "higher")]
    caption = "Real side by class at the end, held-out images: mean over seeds with its 95% interval."
    return Table("classes", caption, columns, rows)


def _final(table: "pd.DataFrame", gan: str, split: str, side: str, metric: str) -> "pd.Series[float]":
    return _last(pick(table, kind="gan", model=gan, split=split, side=side, metric=metric, group=""))


def _reference(table: "pd.DataFrame", side: str, metric: str) -> Estimate | str:
    rows = pick(table, kind="reference", model="real", side=side, metric=metric, group="")
    return estimate_cell(rows["value"])


def _class_values(table: "pd.DataFrame", gan: str, group: int) -> "pd.Series[float]":
    return _last(pick(table, kind="gan", model=gan, split="test", metric="entanglement", group=str(group)))


def _class_reference(table: "pd.DataFrame", group: int) -> Estimate | str:
    return estimate_cell(pick(table, kind="reference", model="real", metric="entanglement", group=str(group))["value"])


def _trainings(cells: list[CellFolder], gan: str) -> list[CellFolder]:
    found = [cell for cell in cells if cell.config.get("gan") == gan and (cell.path / "samples").is_dir()]
    return sorted(found, key=lambda cell: int(cell.config["seed"]))


def _samples(cells: list[CellFolder], gan: str) -> Gallery:
    trainings = _trainings(cells, gan)
    first = sorted((trainings[0].path / "samples").glob("*.png"))
    step = max(1, (len(first) - 1) // (GRIDS_SHOWN - 1))
    shown = [*first[:-1][::step][: GRIDS_SHOWN - 1], first[-1]]
    last = [sorted((cell.path / "samples").glob("*.png"))[-1] for cell in trainings]
    rows = [
        GalleryRow(
            f"{gan}, seed {trainings[0].config['seed']}, over training", [(_kimg(path), path) for path in shown]
        ),
        GalleryRow(
            f"{gan}, every seed at the end",
            [(f"seed {cell.config['seed']}", path) for cell, path in zip(trainings, last, strict=True)],
        ),
    ]
    return Gallery(f"samples-{gan}", f"Samples of {gan}.", rows)


def _kimg(path: Any) -> str:
    return f"{float(path.stem.removeprefix('kimg-')):.3g} kimg"


def _embeddings(cells: list[CellFolder]) -> dict[str, Any]:
    import numpy as np

    files = {cell: cell.path / "embedding.npz" for cell in cells}
    return {
        str(cell.record["label"]).removeprefix("embed-gan-"): dict(np.load(path, allow_pickle=False))
        for cell, path in files.items()
        if path.exists()
    }
