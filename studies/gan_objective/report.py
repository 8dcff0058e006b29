"""The report on the soft nearest neighbor loss as a GAN's objective: curves, tables and samples."""

from typing import TYPE_CHECKING

from lab.cells.folder import CellFolder
from lab.cells.rows import pick
from lab.reporting.report import Report, Section
from studies import _gan_figures as figures
from studies import _gan_tables as tables
from studies._measures import floor_told, named_spaces
from studies.gan_objective.effects import by_what_is_compared

if TYPE_CHECKING:
    import pandas as pd

    from studies.gan_objective import Config

READING = (
    "snnl-gan has no discriminator: its generator is trained by the soft nearest neighbor loss between its images and "
    "real ones in pixel space alone. With snnl_weight the same loss, in the discriminator's layers, is added to the "
    "objective of a GAN's generator, with the same seeds as without. A score of entanglement is 0 for sets that lie "
    "apart and 1 for sets that cannot be told apart; since snnl-gan is trained by what the score in pixels measures, "
    "the other measures and the classifier's features are what it does not optimise."
)


def report(config: "Config", table: "pd.DataFrame", artifacts: list[CellFolder]) -> Report:
    """The whole report, from the rows and the cells' artifacts alone; whatever has not been measured is left out."""
    reading = Section("How to read it", f"{READING} n = {config.n} images a side. {floor_told(table)}".rstrip())
    return Report(
        "The soft nearest neighbor loss as a GAN's objective",
        "Does the loss train a generator in a discriminator's place, and does it help beside one?",
        [reading, *([] if pick(table, kind="gan").empty else _measured(config, table, artifacts))],
    )


def _measured(config: "Config", table: "pd.DataFrame", cells: list[CellFolder]) -> list[Section]:
    found, spaces, names = by_what_is_compared(table), named_spaces(table), [*config.compared]
    return [
        Section(
            "Over training",
            "Thin lines are single seeds, thick ones their mean; the band is real against real.",
            [
                figures.sides(found, names, spaces),
                *(figures.curves(found, names, space, title) for title, space in spaces.items()),
            ],
        ),
        tables.every_measure(found, names, spaces),
        Section(
            "Samples", "From the same latents for all.", [tables.samples(tables.trainings(found, cells, names), cells)]
        ),
        tables.nearest_training_images(found, cells, names),
    ]
