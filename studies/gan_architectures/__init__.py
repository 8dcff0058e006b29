"""Which GAN comes closest to real images, and do the measures that say so agree?

Claim of Frosst, Papernot and Hinton (2019): the entanglement of real and generated images tells how good a GAN is. If
so, it orders GANs as other measures do: the joint score as the Frechet distance does, the generated side as precision,
the real side as recall.

What is done: GANs of several architectures and objectives are trained with several seeds; every checkpoint is compared
with held-out and with training images by every measure, in pixels and in the features of a small classifier, beside
the floor of real against real. Agreement is Kendall's tau over all checkpoints but the untrained ones.
What to expect: a ranking with the probability that each place is right; measures that agree on what is far off, and
less on what is near.
What it costs: about six minutes on two processor cores that compute in bf16 (preset laptop).

    python cli.py study gan-architectures
    python cli.py study gan-architectures --imageset mnist --kimg 300 --seeds 3 --n 1000 --points 10
"""

from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from lab.cells.cell import Cell
from lab.reporting.verdicts import Claim
from studies._config import BF16
from studies._gans import EvaluatedStudy, Gans
from studies._measures import ENTANGLED, FID, GENERATED, PRECISION, REAL, RECALL
from studies.gan_architectures.effects import follows, follows_rather
from studies.gan_architectures.report import report
from tasks import interpolate, train_gan

__all__ = ["PRESETS", "Config", "claims", "plan", "report"]


class Config(EvaluatedStudy):
    """The grid of the study."""

    gans: Gans = Field(min_length=1, description="GANs, separated by commas")


TWO: dict[str, Any] = {"gans": ("dcgan", "r3gan")}
FIVE: dict[str, Any] = {"gans": ("dcgan", "wgan-gp", "sngan", "r3gan", "snnl-gan")}
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {**TWO, "imageset": "digits", "seeds": 2, "kimg": 2.0, "n": 100, "points": 3, "width": 8},
    "laptop": {**FIVE, **BF16, "imageset": "digits", "seeds": 5, "kimg": 40.0, "n": 500, "points": 6, "width": 32},
    "paper": {**FIVE, "imageset": "cifar10", "seeds": 5, "kimg": 12800.0, "n": 10000, "points": 20, "width": 64},
}

AGREEMENT_MARGIN = 0.5
"""Of Kendall's tau: three pairs of four in the same order."""
PREFERENCE_MARGIN = 0.1
"""Of a difference of two taus."""


def plan(config: Config, data: Path) -> list[Cell]:
    """Train each GAN with each seed, evaluate each training in every space, and the floor; interpolate first seeds.

    Raises:
        UsageError: an unknown GAN or image set, or more images asked for than there are.
        WorkbenchError: a user's own images are not below `data`.
    """
    grid = [config.training(gan, seed) for seed in range(config.seeds) for gan in config.gans]
    ways = [interpolate.cell(train_gan.cell(settings, data)) for settings in grid[: len(config.gans)]]
    return [*config.evaluated(grid, data), *ways]


def claims(config: Config) -> list[Claim]:
    """What is claimed, and by which margin, before anything runs."""
    return [claim for space in config.spaces for claim in _claims_in(space)]


def _claims_in(space: str) -> list[Claim]:
    """What is claimed of a space: that measures agree, and with which one more than with another."""
    how = "Kendall's tau over all checkpoints but the untrained ones, bootstrapped by training"
    agreements = [
        Claim(
            f"In {space}, checkpoints are ordered by the {one.name} as by {other.name}.",
            f"{how}, each turned so that more is better",
            AGREEMENT_MARGIN,
            "exceeds",
            partial(follows, space=space, one=one, other=other),
        )
        for one, other in ((ENTANGLED, FID), (GENERATED, PRECISION), (REAL, RECALL))
    ]
    preferences = [
        Claim(
            f"In {space}, the {one.name} follows {other.name} rather than {than.name}.",
            f"{how}: with {other.name} minus with {than.name}",
            PREFERENCE_MARGIN,
            "exceeds",
            partial(follows_rather, space=space, one=one, other=other, than=than),
        )
        for one, other, than in ((GENERATED, PRECISION, RECALL), (REAL, RECALL, PRECISION))
    ]
    return [*agreements, *preferences]
