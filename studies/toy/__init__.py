"""What do minimising and maximising the loss do to points in the plane, and what becomes of a class with two modes?

Claim of Frosst, Papernot and Hinton (2019): gradient descent on the coordinates of random points with random labels
parts the classes when it minimises the soft nearest neighbor loss and mixes them when it maximises it; and a class
with two modes keeps both while the loss is minimised, where a triplet loss merges them.

What is done: for each seed, points move down (or up) the gradient of the loss at a fixed temperature; they start at
random, with the classes apart, or with two modes a class, and from the latter also by a triplet loss.
What to expect: the score falls to 0 when the loss is minimised, and rises to 1 when it is maximised, where random
points begin; the modes of a class stay apart, and the triplet loss brings them together.
What it costs: less than a minute on two processor cores (preset laptop); there are no images and no network.

    python cli.py study toy
    python cli.py study toy --modes-temperature 1
"""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.config import Config as Settings
from lab.errors import UsageError
from lab.reporting.report import Report
from lab.reporting.verdicts import Claim
from studies.toy import report as _toy_report
from tasks import descend as cells

if TYPE_CHECKING:
    import pandas as pd


class Config(Settings):
    """The points and how they move."""

    seeds: int = Field(ge=1, description="how many seeds of the points (0, 1, ...)")
    points: int = Field(ge=8, le=5000, description="points in the plane")
    classes: int = Field(ge=2, le=6, description="classes, of equal size")
    steps: int = Field(ge=1, description="gradient steps")
    measurements: int = Field(ge=2, description="measurements over a descent, denser early")
    rate: float = Field(gt=0, le=1, description="length of a step; 1 takes a point to where its neighbours pull it")
    temperature: float = Field(gt=0, description="temperature as a share of the points' first mean squared distance")
    modes_temperature: float = Field(gt=0, description="the same where classes have two modes: below their distance")
    triplet_margin: float = Field(gt=0, description="margin of the triplet loss, in first root mean squared distances")


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {
        "seeds": 2,
        "points": 80,
        "classes": 4,
        "steps": 60,
        "measurements": 6,
        "rate": 0.2,
        "temperature": 1.0,
        "modes_temperature": 0.1,
        "triplet_margin": 0.5,
    },
    "laptop": {
        "seeds": 10,
        "points": 200,
        "classes": 4,
        "steps": 600,
        "measurements": 20,
        "rate": 0.2,
        "temperature": 1.0,
        "modes_temperature": 0.1,
        "triplet_margin": 0.5,
    },
    "paper": {
        "seeds": 20,
        "points": 200,
        "classes": 4,
        "steps": 2000,
        "measurements": 30,
        "rate": 0.1,
        "temperature": 1.0,
        "modes_temperature": 0.1,
        "triplet_margin": 0.5,
    },
}

SCORE_MARGIN = 0.5
NEIGHBOR_MARGIN = 0.1
MODES_MARGIN = 0.5


def plan(config: Config) -> list[Cell]:
    """One cell a seed, in which every descent starts from the same draws.

    Raises:
        UsageError: fewer than two points for each mode of a class.
    """
    fewest = 4 * config.classes
    if config.points < fewest:
        raise UsageError(f"points: {config.points} are too few for {config.classes} classes; give {fewest} or more.")
    return [cells.descent_cell(seed, config.plain()) for seed in range(config.seeds)]


def claims(config: Config) -> list[Claim]:
    """What is claimed, and by which margin, before anything runs."""
    return [
        Claim(
            key="separates",
            text="Minimising the loss parts random points with random labels into their classes.",
            comparison="entanglement at the start minus at the end, paired by seed",
            margin=SCORE_MARGIN,
            kind="exceeds",
        ),
        Claim(
            key="mixes-random",
            text="Maximising the loss mixes random points further than chance does.",
            comparison="share of points whose nearest neighbour is of their class, start minus end, paired by seed",
            margin=NEIGHBOR_MARGIN,
            kind="exceeds",
        ),
        Claim(
            key="mixes-apart",
            text="Maximising the loss mixes classes that lie apart.",
            comparison="entanglement at the end minus at the start, paired by seed",
            margin=SCORE_MARGIN,
            kind="exceeds",
        ),
        Claim(
            key="modes",
            text="Minimising the loss keeps the two modes of a class further apart than a triplet loss does.",
            comparison="distance between a class's modes at the end, in root mean squared distances between points, "
            "minimised loss minus triplet loss, paired by seed",
            margin=MODES_MARGIN,
            kind="exceeds",
        ),
    ]


def report(config: Config, table: "pd.DataFrame", artifacts: list[CellFolder]) -> Report:
    """The verdicts, pictures and curves, from the rows and the cells' artifacts alone."""
    return _toy_report.draw(claims(config), table, artifacts, config.points)
