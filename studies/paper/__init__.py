"""What of the paper's six findings replicates? One page over the verdicts of all published studies.

Claims are those of Frosst, Papernot and Hinton (2019), as the other studies stated them with margins before they ran;
this one has none of its own, and no cells.

What is done: the rows of every study in `results/` are judged anew, and each verdict is put below the finding that it
tests, with its effect, interval and number of seeds.
What to expect: findings that replicate in part, by image set and by claim.
What it costs: seconds.

    python cli.py study paper
"""

from pathlib import Path
from typing import Any

from lab.cells.cell import Cell
from lab.config import Config as Settings
from lab.reporting.verdicts import Claim
from studies.paper.report import report

__all__ = ["PRESETS", "Config", "claims", "plan", "report"]


class Config(Settings):
    """There is nothing to set."""


PRESETS: dict[str, dict[str, Any]] = {"smoke": {}, "laptop": {}, "paper": {}}


def plan(config: Config, data: Path) -> list[Cell]:
    """Nothing is done: what others published is read."""
    return []


def claims(config: Config) -> list[Claim]:
    """None of its own: those of the other studies are judged."""
    return []
