"""Do real and generated images entangle as a GAN trains, and does the architecture decide which classes are covered?

Claim of Frosst, Papernot and Hinton (2019): the soft nearest neighbor loss between real and generated images rises
as a GAN trains, and the coverage of modes differs from one architecture to the next.

What is done: each GAN is trained with several seeds; at many points of each training, as many generated as real
images are compared in pixel space, against held-out and against training images.
What to expect: a score near 0 for an untrained generator, rising towards the band of real against real, near 1.
What it costs: five to ten minutes on two processor cores that compute in bf16 (preset laptop).

    python cli.py study gan-entanglement
    python cli.py study gan-entanglement --imageset mnist --kimg 300 --seeds 3
"""

from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic import Field

import imagesets
from lab.cells.cell import Cell
from lab.reporting.verdicts import Claim
from studies._config import BF16
from studies._gans import Gans, GanStudy
from studies.gan_entanglement.report import difference_of_coverage, report, rise
from tasks import embed, measure_gan, measure_references, train_gan

__all__ = ["PRESETS", "Config", "claims", "plan", "report"]


class Config(GanStudy):
    """The grid of the study."""

    gans: Gans = Field(min_length=1, description="GANs, separated by commas")


GANS = {"gans": ("dcgan", "wgan-gp")}
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {**GANS, "imageset": "digits", "seeds": 2, "kimg": 3.0, "n": 100, "points": 4, "width": 8},
    "laptop": {**GANS, **BF16, "imageset": "digits", "seeds": 5, "kimg": 100.0, "n": 500, "points": 14, "width": 64},
    "paper": {**GANS, "imageset": "cifar10", "seeds": 5, "kimg": 12800.0, "n": 5000, "points": 20, "width": 64},
}

RISE_MARGIN = 0.1
COVERAGE_MARGIN = 0.05


def plan(config: Config, data: Path) -> list[Cell]:
    """Train and measure each GAN with each seed; embed the first seed's, n at most; measure the references.

    Raises:
        UsageError: an unknown GAN or image set, or more images asked for than there are.
        WorkbenchError: a user's own images are not below `data`.
    """
    imagesets.check_n(config.imageset, config.n, ("test", "train"), data)
    grid = [config.training(gan, seed) for seed in range(config.seeds) for gan in config.gans]
    trainings = [train_gan.cell(settings, data) for settings in grid]
    return [
        measure_references.cell(config.imageset, config.n, data),
        *(measure_gan.cell(training, config.n) for training in trainings),
        *(embed.cell(training, min(embed.POINTS, config.n)) for training in trainings[: len(config.gans)]),
    ]


def claims(config: Config) -> list[Claim]:
    """What is claimed, and by which margin, before anything runs."""
    rises = [
        Claim(
            f"Real and generated images entangle as {gan} trains.",
            "joint entanglement with held-out images, end of training minus untrained, paired by seed",
            RISE_MARGIN,
            "exceeds",
            partial(rise, gan=gan),
            finding=4,
        )
        for gan in config.gans
    ]
    differences = [
        Claim(
            f"The coverage of classes differs between {one} and {other}.",
            f"mean real side over the classes at the end, {one} minus {other}, Welch over seeds",
            COVERAGE_MARGIN,
            "differs",
            partial(difference_of_coverage, one=one, other=other),
            finding=4,
        )
        for one, other in combinations(config.gans, 2)
    ]
    return [*rises, *differences]
