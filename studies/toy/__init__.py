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

from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from lab.cells.cell import Cell
from lab.errors import UsageError
from lab.reporting.verdicts import Claim
from studies.toy.effects import fall, modes_kept, rise
from studies.toy.report import report
from tasks import descend

__all__ = ["PRESETS", "Config", "claims", "plan", "report"]


class Config(descend.Points):
    """The points and how they move, seed by seed."""

    seeds: int = Field(ge=1, le=1000, description="how many seeds of the points (0, 1, ...)")


MOVES = {"classes": 4, "temperature": 1.0, "modes_temperature": 0.1, "triplet_margin": 0.5}
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {**MOVES, "seeds": 2, "points": 80, "steps": 60, "measurements": 6, "rate": 0.2},
    "laptop": {**MOVES, "seeds": 10, "points": 200, "steps": 600, "measurements": 20, "rate": 0.2},
    "paper": {**MOVES, "seeds": 20, "points": 200, "steps": 2000, "measurements": 30, "rate": 0.1},
}

SCORE_MARGIN = 0.5
NEIGHBOR_MARGIN = 0.1
MODES_MARGIN = 0.5


def plan(config: Config, data: Path) -> list[Cell]:
    """One cell a seed, in which every descent starts from the same draws; no data are read.

    Raises:
        UsageError: fewer than two points for each mode of a class.
    """
    fewest = 4 * config.classes
    if config.points < fewest:
        raise UsageError(f"points: {config.points} are too few for {config.classes} classes; give {fewest} or more.")
    points = config.model_dump(exclude={"seeds"})
    return [descend.cell(descend.Config.parse({**points, "seed": seed})) for seed in range(config.seeds)]


def claims(config: Config) -> list[Claim]:
    """What is claimed, and by which margin, before anything runs."""
    return [
        Claim(
            "Minimising the loss parts random points with random labels into their classes.",
            "entanglement at the start minus at the end, paired by seed",
            SCORE_MARGIN,
            "exceeds",
            partial(fall, name="random-minimise", metric="entanglement"),
        ),
        Claim(
            "Maximising the loss mixes random points further than chance does.",
            "share of points whose nearest neighbour is of their class, start minus end, paired by seed",
            NEIGHBOR_MARGIN,
            "exceeds",
            partial(fall, name="random-maximise", metric="one_nn_accuracy"),
        ),
        Claim(
            "Maximising the loss mixes classes that lie apart.",
            "entanglement at the end minus at the start, paired by seed",
            SCORE_MARGIN,
            "exceeds",
            partial(rise, name="apart-maximise", metric="entanglement"),
        ),
        Claim(
            "Minimising the loss keeps the two modes of a class further apart than a triplet loss does.",
            "distance between a class's modes at the end, in root mean squared distances between points, "
            "minimised loss minus triplet loss, paired by seed",
            MODES_MARGIN,
            "exceeds",
            modes_kept,
        ),
    ]
