"""Do real and generated images entangle as a GAN trains, and does the architecture decide which classes are covered?

Claim of Frosst, Papernot and Hinton (2019): the soft nearest neighbor loss between real and generated images rises
as a GAN trains, and the coverage of modes differs from one architecture to the next.

What is done: each GAN is trained with several seeds; at many points of each training, as many generated as real
images are compared in pixel space, against held-out and against training images.
What to expect: a score near 0 for an untrained generator, rising towards the band of real against real, near 1.
What it costs: about five minutes on two processor cores (preset laptop).

    python cli.py study gan-entanglement
    python cli.py study gan-entanglement --imageset mnist --kimg 300 --seeds 3
"""

from itertools import combinations
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

import imagesets
from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.reporting.report import Report
from lab.reporting.verdicts import Claim
from lab.training.compute import Compute
from studies.gan_entanglement import report as _gan_report
from tasks import measure_gan as cells

if TYPE_CHECKING:
    import pandas as pd


class Config(Compute):
    """The grid of the study."""

    imageset: str = Field(description="image set that the GANs learn; folder:PATH or zip:PATH for your own")
    gans: tuple[str, ...] = Field(min_length=1, description="GANs, separated by commas")
    seeds: int = Field(ge=1, description="how many seeds of each GAN (0, 1, ...)")
    kimg: float = Field(gt=0, description="length of training in thousands of real images shown to the discriminator")
    n: int = Field(ge=2, description="real images, and as many generated ones, in each measurement")
    points: int = Field(ge=2, description="measurements over a training, denser early")
    width: int = Field(ge=1, le=1024, description="channels of the networks at the widest resolution")

    @field_validator("imageset")
    @classmethod
    def _known_imageset(cls, name: str) -> str:
        imagesets.check(name)
        return name

    @field_validator("gans")
    @classmethod
    def _known_gans(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            registry.check("gans", name)
        return tuple(dict.fromkeys(names))


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {
        "imageset": "digits",
        "gans": ("dcgan", "wgan-gp"),
        "seeds": 2,
        "kimg": 3.0,
        "n": 100,
        "points": 4,
        "width": 8,
    },
    "laptop": {
        "imageset": "digits",
        "gans": ("dcgan", "wgan-gp"),
        "seeds": 5,
        "kimg": 100.0,
        "n": 500,
        "points": 14,
        "width": 64,
    },
    "paper": {
        "imageset": "cifar10",
        "gans": ("dcgan", "wgan-gp"),
        "seeds": 5,
        "kimg": 12800.0,
        "n": 5000,
        "points": 20,
        "width": 64,
    },
}

RISE_MARGIN = 0.1
COVERAGE_MARGIN = 0.05


def plan(config: Config) -> list[Cell]:
    """Train and measure each GAN with each seed; embed the first seed's images; measure the references.

    Raises:
        UsageError: an unknown GAN or image set, or more images asked for than there are.
    """
    cells.check_sample_size(config.imageset, config.n)
    trainings = [_training(config, gan, seed) for seed in range(config.seeds) for gan in config.gans]
    return [
        cells.reference_cell(config.imageset, config.n),
        *(cells.measuring_cell(training, config.n) for training in trainings),
        *(cells.embedding_cell(training) for training in trainings if training.config["seed"] == 0),
    ]


def claims(config: Config) -> list[Claim]:
    """What is claimed, and by which margin, before anything runs."""
    rises = [
        Claim(
            key=f"rise/{gan}",
            text=f"Real and generated images entangle as {gan} trains.",
            comparison="joint entanglement with held-out images, end of training minus untrained, paired by seed",
            margin=RISE_MARGIN,
            kind="exceeds",
        )
        for gan in config.gans
    ]
    differences = [
        Claim(
            key=f"coverage/{one}/{other}",
            text=f"The coverage of classes differs between {one} and {other}.",
            comparison=f"mean real side over the classes at the end, {one} minus {other}, Welch over seeds",
            margin=COVERAGE_MARGIN,
            kind="differs",
        )
        for one, other in combinations(config.gans, 2)
    ]
    return [*rises, *differences]


def report(config: Config, table: "pd.DataFrame", artifacts: list[CellFolder]) -> Report:
    """The verdicts, tables, curves and pictures, from the rows and the cells' artifacts alone."""
    classes = next((imagesets.spec_of(cell.config).classes for cell in artifacts if "imageset" in cell.config), ())
    return _gan_report.draw(claims(config), table, artifacts, config.gans, classes, config.n)


def _training(config: Config, gan: str, seed: int) -> Cell:
    return cells.training_cell(
        gan,
        config.imageset,
        seed=seed,
        kimg=config.kimg,
        snapshots=cells.schedule(config.kimg, config.points),
        compute=config,
        settings={"width": config.width},
    )
