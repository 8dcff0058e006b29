"""The report on GANs side by side: rankings, curves, agreement of measures, samples and nearest training images."""

from typing import TYPE_CHECKING

from lab.cells.folder import CellFolder
from lab.cells.rows import pick
from lab.reporting.ranks import Agreement
from lab.reporting.report import Report, Section
from lab.reporting.tables import Rows, Table, columns
from studies import _gan_figures as figures
from studies import _gan_tables as tables
from studies._measures import ENTANGLED, FID, GENERATED, PRECISION, REAL, RECALL, SIDES, floor_told, named_spaces
from studies.gan_architectures.effects import agreement_in

if TYPE_CHECKING:
    import pandas as pd

    from studies.gan_architectures import Config

AGREEING = tuple((one, other) for one in (ENTANGLED, GENERATED, REAL) for other in (FID, PRECISION, RECALL))
READING = (
    "A score of entanglement is the soft nearest neighbor loss between real and generated images at its best "
    "temperature, divided by the value it cannot exceed: 0 for sets that lie apart, 1 for sets that cannot be told "
    f"apart. {SIDES} What the other measures are stands below their values, and more of it in docs/measures.md. Every "
    "one is shown in pixels and in the features of a small classifier of the same images, beside what other real "
    "images give (real against real): no GAN can be expected to do better."
)


def report(config: "Config", table: "pd.DataFrame", artifacts: list[CellFolder]) -> Report:
    """The whole report, from the rows and the cells' artifacts alone; whatever has not been measured is left out."""
    reading = Section("How to read it", f"{READING} n = {config.n} images a side. {floor_told(table)}".rstrip())
    return Report(
        "GANs side by side",
        "Which GAN comes closest to real images, how sure is that, and do the measures agree?",
        [reading, *([] if pick(table, kind="gan").empty else _measured(config, table, artifacts))],
    )


def _measured(config: "Config", table: "pd.DataFrame", cells: list[CellFolder]) -> list[Section]:
    spaces, names = named_spaces(table), config.gans
    trained = tables.trainings(table, cells, names)
    agreed = {title: found for title in spaces if (found := agreement_in(table, title)) is not None}
    each = [(measure, title, space) for measure in (ENTANGLED, FID) for title, space in spaces.items()]
    return [
        Section(
            "Ranking",
            "Places at the end of training. Seeds are few, so the probability that a place is right stands beside it.",
            [
                figures.places(table, names, spaces),
                figures.sides(table, names, spaces),
                *(tables.ranked(measure, table, space, names, title) for measure, title, space in each),
            ],
        ),
        Section(
            "Over training",
            "Thin lines are single seeds, thick ones their mean; the band is real against real.",
            [
                *(figures.curves(table, names, space, title) for title, space in spaces.items()),
                figures.over_minutes(table, names, spaces, tables.minutes_a_kimg(trained)),
            ],
        ),
        tables.every_measure(table, names, spaces),
        *([_agreement(agreed)] if agreed else []),
        Section(
            "Samples",
            "From the same latents for all seeds. Below, each row leads from one latent to another: a GAN that learned "
            "more than its examples has no jumps on the way.",
            [tables.samples(trained, cells), tables.interpolations(table, cells, names)],
        ),
        tables.nearest_training_images(table, cells, names),
    ]


def _agreement(found: dict[str, Agreement]) -> Section:
    rows: Rows = [
        [title, one.name, other.name, agreed.estimate(one.name, other.name) or "-"]
        for title, agreed in found.items()
        for one, other in AGREEING
        if {one.name, other.name} <= {*agreed.names}
    ]
    caption = (
        "Kendall's tau over all checkpoints but the untrained ones, with its 95% interval over trainings drawn with "
        "replacement; n counts the trainings."
    )
    text = (
        "Each measure is turned so that more is better (density, 1-NN accuracy and Vendi score: nearer to real against "
        "real): 1 is the same order, 0 none in common, -1 the opposite one. Of few trainings the intervals are too "
        "narrow: of 3 made-up ones they held the true tau in 20% of the cases, of 15 in 80%."
    )
    table = Table("agreement", caption, columns("space", "measure", "as", "tau"), rows)
    return Section("Do the measures agree?", text, [figures.agreements(found), table])
