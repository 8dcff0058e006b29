"""Do attacks that were made on entangled classifiers transfer less to others, and is that robustness or masking?

Claim of Frosst, Papernot and Hinton (2019): with the classes entangled in the hidden layers, attacks that fool one
network transfer less to another, and the signs of its gradients no longer cluster by class.

What is done: entangled (alpha < 0), baseline (0) and disentangled (alpha > 0) classifiers are trained with the same
seeds, as in the study of calibration. Each is attacked, and what fools it is shown to itself and to every kind of
network of the other seeds, which share neither its weights at the start nor its batches. Beside PGD and FGSM stand
noise of the same size, and the square attack, which asks for no gradient; how many gradients vanish is counted.
What to expect: attacks transfer within and between kinds; a kind that PGD fools less than square does, or than attacks
from another kind do, masks its gradients and is not robust.
What it costs: about four minutes on two processor cores that compute in bf16 (preset laptop).

    python cli.py study transfer
    python cli.py study transfer --imageset mnist --epochs 5 --settings schedule=cosine --seeds 3 --at 0.3
"""

from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from lab.cells.cell import Cell
from lab.reporting.verdicts import Claim
from studies._attacks import Attacked
from studies._config import BF16, Fitting, fitting_n
from studies._recipe import Entangled
from studies.transfer.effects import ATTACK, clustering, to_the_baseline, within
from studies.transfer.report import report
from tasks import transfer_attacks

__all__ = ["PRESETS", "Config", "claims", "plan", "report"]


class Config(Attacked, Entangled):
    """The grid of the study."""

    n: int = Field(ge=2, description="test images that are attacked, the same of every network")

    def fitting(self, data: Path, apart: int = 1) -> Fitting:
        """As many test images as there are."""
        return super().fitting(data, apart) | fitting_n(self.n, self.images, ("test",), data)

    def attack(self, seed: int) -> transfer_attacks.Config:
        """What is done to a network; those of the first seed keep a map as well."""
        return transfer_attacks.Config.parse({**self.shared(), "n": self.n, "pictures": seed == 0})


GRID: dict[str, Any] = {
    **BF16,
    "alphas": (-0.00658, 0.00658),
    "attacks": ("fgsm", "pgd", "square", "noise"),
    "eps": (0.03, 0.1, 0.2, 0.3, 0.5, 1.0),
}
"""Alphas that were chosen on validation images of Fashion-MNIST, by `tune` (docs/results.md)."""
QUICK = ("steps=20", "step=0.125", "queries=300")
"""Of attacks: half the steps, twice as long, and fewer queries than usual."""
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {
        "alphas": (-0.00658,),
        "imageset": "digits",
        "seeds": 2,
        "epochs": 2,
        "attacks": ("pgd", "square", "noise"),
        "eps": (0.1, 1.0),
        "at": 0.2,
        "attack_settings": ("steps=4", "step=0.5", "queries=10"),
        "n": 40,
    },
    "laptop": {**GRID, "imageset": "digits", "seeds": 5, "epochs": 20, "at": 0.1, "attack_settings": QUICK, "n": 200},
    "paper": {
        **GRID,
        "imageset": "mnist",
        "seeds": 3,
        "epochs": 5,
        "settings": ("schedule=cosine",),
        "at": 0.3,
        "n": 1000,
    },
}

TRANSFER_MARGIN = 0.05
"""Of the share of images that are fooled."""
CLUSTER_MARGIN = 0.05
"""Of the score of the classes in the signs of gradients."""


def plan(config: Config, data: Path) -> list[Cell]:
    """Train every alpha and the baseline with every seed; attack each, with those of all other seeds as targets.

    Raises:
        UsageError: an unknown name, an impossible setting, or too few images.
        WorkbenchError: a user's own images are not below `data`.
    """
    trainings = config.trainings(data)
    return [
        transfer_attacks.cell(
            source,
            [target for target in trainings if target.config.seed != source.config.seed],
            config.attack(source.config.seed),
            data,
        )
        for source in trainings
    ]


def claims(config: Config) -> list[Claim]:
    """What is claimed, and by which margin, before anything runs."""
    settings = config.settings_by_alpha(config.alphas)
    without = settings[0.0]
    how = f"share of the images that a network had right and that {ATTACK}, eps {config.at:g}, fools it on"
    return [
        claim
        for alpha, setting in settings.items()
        if alpha < 0
        for claim in (
            Claim(
                f"Among networks entangled with alpha = {alpha:g}, attacks transfer less.",
                f"{how}: from baseline to baseline minus from entangled to entangled, of other seeds each, paired by "
                "the source's seed",
                TRANSFER_MARGIN,
                "exceeds",
                partial(within, setting=setting, without=without, eps=config.at),
                finding=5,
            ),
            Claim(
                f"From networks entangled with alpha = {alpha:g}, attacks transfer less to the baseline.",
                f"{how}: from baseline to baseline minus from entangled to the same targets, of other seeds, paired by "
                "the source's seed",
                TRANSFER_MARGIN,
                "exceeds",
                partial(to_the_baseline, setting=setting, without=without, eps=config.at),
                finding=5,
            ),
            Claim(
                f"Entangled with alpha = {alpha:g}, the signs of gradients cluster less by class.",
                "score of the classes in the signs of the cross-entropy's gradients at test images (1: they mix), with "
                "the loss minus baseline, paired by seed",
                CLUSTER_MARGIN,
                "exceeds",
                partial(clustering, setting=setting, without=without),
            ),
        )
    ]
