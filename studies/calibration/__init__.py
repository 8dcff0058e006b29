"""Does entangling a classifier's hidden layers help it to know what is foreign to it?

Claims of Frosst, Papernot and Hinton (2019): with the classes entangled in the hidden layers, deep k-nearest neighbours
(Papernot and McDaniel 2018) tell foreign images apart better, and their credibility is better calibrated on these and
on attacked ones.

What is done: entangled (alpha < 0), baseline (0) and disentangled (alpha > 0) classifiers are trained with the same
seeds. Neighbours are searched among the images trained on; p-values and temperatures come from validation images. Every
score is taken of test images and of foreign ones, none of which chose anything. With --attacks test images are attacked
as well, by what looks at the logits and, with neighbor, by what was made for the neighbours.
What to expect: a score of distances tells most foreign sets apart, softmax fewer; credibility is a p-value, so it is
uniform on test images, not high.
What it costs: about four minutes on two processor cores that compute in bf16 (preset laptop); with those attacks six
more.

    python cli.py study calibration
    python cli.py study calibration --attacks pgd,square,neighbor,noise
    python cli.py study calibration --imageset mnist --epochs 5 --settings schedule=cosine --seeds 3 --n 2000 --k 75
"""

from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from attacks._config import with_transfer
from imagesets import spec
from lab.cells.cell import Cell
from lab.errors import say
from lab.reporting.verdicts import Claim
from studies._attacks import Attacked
from studies._config import BF16, Fitting, fitting_n
from studies._recipe import Entangled
from studies.calibration.effects import (
    SCORE,
    credibility_gap,
    fall_beyond_softmax,
    fall_gained,
    neighbours_shortfall,
    separation,
)
from studies.calibration.report import report
from tasks import _foreign, attack_credibility, measure_credibility
from tasks._attacks import Attacks
from tasks._neighbors import FEWEST_VALIDATION, Searching

__all__ = ["PRESETS", "Config", "claims", "plan", "report"]


class Config(Attacked, measure_credibility.Measuring, Entangled):
    """The grid of the study."""

    neighbor_distance: Literal["cosine", "sqeuclidean"] = Field(
        "cosine", description="distance by which neighbours are near: 1 - cos, or squared Euclidean"
    )
    foreign: _foreign.Sets | None = Field(
        None,
        min_length=1,
        description="foreign images, separated by commas: image sets, rotated-45, rotated-90, shuffled, inverted, "
        "noise; not given: those that suit the image set and are at hand",
    )
    attacks: Attacks = Field(
        (), description="attacks on test images, separated by commas: list attacks tells; not given: none"
    )
    attacked: int = Field(200, ge=2, description="test images that are attacked, the same of every network")
    attacked_bank: int = Field(
        2000, ge=1, description="training images at most that neighbours are searched among where images are attacked"
    )

    def fitting(self, data: Path, apart: int = FEWEST_VALIDATION) -> Fitting:
        """As many test images as each set has, neighbours as there are images, and some to calibrate with."""
        sets = [name for name in (self.imageset, *(self.foreign or ())) if name not in _foreign.MADE]
        found = super().fitting(data, apart) | fitting_n(self.n, sets, ("test",), data)
        n = spec(self.imageset, data).n["train"]
        bank = min(self.bank or n, n - round(found.get("validation", (self.validation, ""))[0] * n))
        held = spec(self.imageset, data).n.get("test", 0)
        if self.attacks and self.attacked > held:
            found["attacked"] = (held, f"{self.imageset} has no more in its test split")
        if 1 <= bank < self.k:
            found["k"] = (bank, f"there are no more images to search ({self.imageset})")
        return found

    def measuring(self, foreign: tuple[str, ...], seed: int) -> measure_credibility.Config:
        """What is measured of a training; the first seed keeps pictures as well."""
        shared = self.model_dump(include={*measure_credibility.Measuring.model_fields})
        own = {"foreign": foreign, "distance": self.neighbor_distance, "pictures": seed == 0}
        return measure_credibility.Config.parse({**shared, **own})

    def attack(self) -> attack_credibility.Config:
        """What is attacked, where anything is."""
        searched = self.model_dump(include={*Searching.model_fields})
        bank = min(self.attacked_bank, self.bank or self.attacked_bank)
        own = {"n": self.attacked, "bank": bank, "distance": self.neighbor_distance}
        return attack_credibility.Config.parse({**self.shared(), **searched, **own})


GRID = {**BF16, "alphas": (-0.00658, 0.00658)}
"""Alphas that were chosen on validation images of Fashion-MNIST, by `tune` (docs/results.md)."""
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"alphas": (-0.00658, 0.00658), "imageset": "digits", "seeds": 1, "epochs": 2, "n": 150, "k": 20},
    "laptop": {**GRID, "imageset": "digits", "seeds": 5, "epochs": 20, "n": 500, "k": 25},
    "paper": {**GRID, "imageset": "mnist", "seeds": 3, "epochs": 5, "n": 10000, "settings": ("schedule=cosine",)},
}

SEPARATION_MARGIN = 0.01
"""Of AUROC."""
GAP_MARGIN = 0.02
"""Of mean credibility."""
ACCURACY_MARGIN = 0.5
"""Percentage points."""
JUDGED = {"pgd": "which looks at the logits", "neighbor": "which is made for the neighbours"}
"""The attacks of which something is claimed, and what they do."""


def plan(config: Config, data: Path) -> list[Cell]:
    """Train every alpha and the baseline with every seed; measure each, and attack it where attacks are asked for.

    Usual foreign sets may be left out, aloud.

    Raises:
        UsageError: an unknown name, an impossible setting, too few images, or foreign ones of another shape.
        WorkbenchError: a user's own images, or foreign ones that were named, are not below `data`.
    """
    foreign = config.foreign
    if foreign is None:
        images, usual = spec(config.imageset, data), _foreign.usual(config.imageset)
        reasons = {name: _foreign.lacking(name, images, data) for name in usual}
        foreign = tuple(name for name in usual if not reasons[name])
        for name in usual:
            if reasons[name]:
                say(f"{name} {reasons[name]}: left out of the foreign sets.")
    trainings = config.trainings(data)
    measured = [
        measure_credibility.cell(training, config.measuring(foreign, training.config.seed), data)
        for training in trainings
    ]
    if not config.attacks:
        return measured
    return [*measured, *(attack_credibility.cell(training, config.attack(), data) for training in trainings)]


def claims(config: Config) -> list[Claim]:
    """What is claimed, and by which margin, before anything runs."""
    settings = config.settings_by_alpha(config.alphas)
    without = settings[0.0]
    entangled = [
        claim
        for alpha, setting in settings.items()
        if alpha < 0
        for claim in (
            Claim(
                f"Entangled with alpha = {alpha:g}, the neighbours tell foreign images apart better.",
                f"AUROC of {SCORE}, over layers, mean over the foreign sets, with the loss minus baseline, paired by "
                "seed",
                SEPARATION_MARGIN,
                "exceeds",
                partial(separation, setting=setting, without=without),
                finding=6,
            ),
            Claim(
                f"Entangled with alpha = {alpha:g}, credibility is better calibrated on foreign images.",
                "mean credibility on test images minus that on foreign ones, mean over their sets, with the loss minus "
                "baseline, paired by seed",
                GAP_MARGIN,
                "exceeds",
                partial(credibility_gap, setting=setting, without=without),
                finding=3,
            ),
        )
    ]
    accurate = [
        Claim(
            f"With alpha = {alpha:g}, the neighbours are as accurate as the network.",
            "test accuracy in percentage points, neighbours minus network, paired by seed",
            -ACCURACY_MARGIN,
            "exceeds",
            partial(neighbours_shortfall, setting=setting),
        )
        for alpha, setting in settings.items()
    ]
    return [*entangled, *accurate, *_attacked(config, settings)]


def _attacked(config: Config, settings: dict[float, str]) -> list[Claim]:
    """What is claimed of attacked images, of the attacks that are asked for."""
    asked = [name for name in JUDGED if name in with_transfer(config.attacks)]
    how = f"fall in mean credibility from images as they are to attacked ones, eps {config.at:g}"
    return [
        claim
        for alpha, setting in settings.items()
        if alpha < 0
        for attack in asked
        for claim in (
            Claim(
                f"Entangled with alpha = {alpha:g}, credibility falls further under {attack}, {JUDGED[attack]}.",
                f"{how}, with the loss minus baseline, paired by seed",
                GAP_MARGIN,
                "exceeds",
                partial(fall_gained, setting=setting, without=settings[0.0], attack=attack, eps=config.at),
                finding=3,
            ),
            Claim(
                f"Entangled with alpha = {alpha:g}, credibility falls further than the softmax does under {attack}.",
                f"{how}, minus that of the mean maximum softmax, of the same networks, paired by seed",
                GAP_MARGIN,
                "exceeds",
                partial(fall_beyond_softmax, setting=setting, attack=attack, eps=config.at),
            ),
        )
    ]
