"""Highest, at 1, where x is minus the peak and the kind is good."""

import math
from typing import Literal

from pydantic import Field

from lab.config import Config as Settings
from lab.errors import DivergedError, WorkbenchError


class Config(Settings):
    """Of a parabola."""

    peak: float = Field(0.05, description="where the value is highest")
    seed: int = Field(0, description="which of several equal cells")
    x: float = Field(-0.05, description="where to look")
    kind: Literal["good", "bad"] = Field("good", description="a bad one has 0.3 less")
    why: str = Field("", description="why it fails, if it does")
    diverges: bool = Field(False, description="whether it fails as a training whose loss became infinite does")


def run(folder):
    """Do it.

    Raises:
        WorkbenchError: the settings say why.
    """
    config = Config.parse(folder.config)
    if config.why:
        raise (DivergedError if config.diverges else WorkbenchError)(config.why)
    value = 1 - math.log10(-config.x / config.peak) ** 2 - 0.3 * (config.kind == "bad")
    folder.row(metric="accuracy", value=value)
