"""Does the soft nearest neighbor loss train a generator, alone in place of a discriminator, or beside one?

Claim of Frosst, Papernot and Hinton (2019): a generator learns MNIST by maximising the soft nearest neighbor loss
(SNNL) between its images and real ones in pixel space, without a discriminator. They show samples and give no figure.

What is done: snnl-gan, whose objective is made of that loss alone, turned so that it does not saturate, is held against
a GAN with a discriminator; so is that GAN with a reward for the SNNL of real and generated images in the
discriminator's layers added to the generator's objective, with the same seeds. Every checkpoint is compared with real
images by every measure.
What to expect: blurred images that are near the data and few in kind from the loss alone.
What it costs: about four minutes on two processor cores that compute in bf16 (preset laptop).

    python cli.py study gan-objective
    python cli.py study gan-objective --imageset mnist --kimg 300 --seeds 3 --n 1000 --points 10
"""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from lab import registry
from lab.cells.cell import Cell
from lab.reporting.verdicts import Claim
from studies._config import BF16
from studies._gans import EvaluatedStudy
from studies._measures import ENTANGLED, RECALL
from studies.gan_objective.effects import difference, gain
from studies.gan_objective.report import report

__all__ = ["PRESETS", "Config", "claims", "plan", "report"]

ALONE = "snnl-gan"


def _not_zero(weights: tuple[float, ...]) -> tuple[float, ...]:
    if 0 in weights:
        raise ValueError("0 is the GAN without the term, which always runs: name the others alone")
    return registry.distinct(weights)


class Config(EvaluatedStudy):
    """The grid of the study."""

    gan: Annotated[str, registry.known("gans")] = Field(
        "dcgan", description="the GAN that the loss is held against, and to which it is added"
    )
    weights: Annotated[tuple[float, ...], AfterValidator(_not_zero)] = Field(
        (1.0,), description="weights of the added term, separated by commas"
    )

    @property
    def compared(self) -> dict[str, tuple[str, dict[str, float]]]:
        """What is compared: the GAN and its settings, by the name that a report gives it."""
        added = {
            f"{self.gan}, snnl_weight = {weight:g}": (self.gan, {"snnl_weight": weight}) for weight in self.weights
        }
        return {self.gan: (self.gan, {}), ALONE: (ALONE, {}), **added}


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"imageset": "digits", "seeds": 1, "kimg": 2.0, "n": 100, "points": 3, "width": 8},
    "laptop": {**BF16, "imageset": "digits", "seeds": 5, "kimg": 40.0, "n": 500, "points": 6, "width": 32},
    "paper": {"imageset": "mnist", "seeds": 5, "kimg": 6400.0, "n": 10000, "points": 14, "width": 64},
}

ENTANGLED_MARGIN = 0.05
GAIN_MARGIN = 0.02
RECALL_MARGIN = -0.05


def plan(config: Config, data: Path) -> list[Cell]:
    """Train each of what is compared with each seed, evaluate each training in every space, and the floor.

    Raises:
        UsageError: an unknown GAN or image set, or more images asked for than there are.
        WorkbenchError: a user's own images are not below `data`.
    """
    grid = config.compared.values()
    return config.evaluated(
        [config.training(gan, seed, **settings) for seed in range(config.seeds) for gan, settings in grid], data
    )


def claims(config: Config) -> list[Claim]:
    """What is claimed, and by which margin, before anything runs."""
    alone = partial(difference, one=ALONE, other=config.gan)
    found = [
        Claim(
            f"Trained by the SNNL alone, images entangle with real ones as those of {config.gan} do.",
            f"joint entanglement in pixels at the end of training, {ALONE} minus {config.gan}, Welch over seeds",
            -ENTANGLED_MARGIN,
            "exceeds",
            partial(alone, space="pixels", measure=ENTANGLED),
        ),
        Claim(
            f"Trained by the SNNL alone, images reach as much of the data as those of {config.gan} do.",
            f"recall in the classifier's features at the end of training, {ALONE} minus {config.gan}, Welch over seeds",
            RECALL_MARGIN,
            "exceeds",
            partial(alone, space="classifier", measure=RECALL),
        ),
    ]
    for name in [name for name in config.compared if name not in (config.gan, ALONE)]:
        added = partial(gain, one=name, other=config.gan)
        how = f"at the end of training, {name} minus without, paired by seed"
        found += [
            Claim(
                f"{name}: images entangle more with real ones than without the term.",
                f"joint entanglement in pixels {how}",
                GAIN_MARGIN,
                "exceeds",
                partial(added, space="pixels", measure=ENTANGLED),
            ),
            Claim(
                f"{name}: the term costs no recall.",
                f"recall in the classifier's features {how}",
                RECALL_MARGIN,
                "exceeds",
                partial(added, space="classifier", measure=RECALL),
            ),
        ]
    return found
