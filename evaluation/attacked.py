"""What attacks do to a classifier and its deep k-nearest neighbours, by their size, on images that it has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from attacks._ascent import NoGradientError
from attacks._config import AttackConfig
from attacks._frame import BATCH, attacked, held_still
from attacks._gradients import vanishing_gradients
from attacks._target import Target
from classifiers._credibility import Seen
from classifiers._exemplars import MAX_CALIBRATION, observer_of
from classifiers._features import device_of
from classifiers._trained import Trained
from imagesets import ImageSet
from lab.errors import Say, UsageError, WorkbenchError
from lab.files import without_nan
from lab.pace import paced
from lab.training.draws import random_generator, subset

IMAGES = 500
"""How many are attacked unless told otherwise."""
SHOWN = 5
"""Of how many the attacked images are kept, to be looked at."""
MASKED = 0.05
"""From this share of gradients that vanish on, it is said aloud."""
CHANCE = 1e-3
"""Of the largest logit: answers to the same images that differ by more differ by chance, not by rounding."""
NORMS = {
    "linf": "the largest change of a value, of values in [0, 1]",
    "l2": "the length of all changes of an image, of values in [0, 1]",
}
"""What eps is, in words."""
CLEAN = "none"
"""What stands in place of an attack where there is none."""


@dataclass(frozen=True)
class Said:
    """What a network and its neighbours say of n images.

    Attributes:
        predicted: the network's classes (n,).
        neighbors: those of the neighbours (n,).
        credibility: p-values of these (n,).
    """

    predicted: Tensor
    neighbors: Tensor
    credibility: Tensor

    @classmethod
    def of(cls, seen: Seen) -> "Said":
        """That of images that were looked at."""
        return cls(seen.logits.argmax(1), seen.found.labels, seen.found.credibility)

    def since(self, before: "Said", labels: Tensor) -> dict[str, float]:
        """What is left of it after an attack on images of classes `labels` (n,), of which `before` was said.

        `accuracy` is the network's, `dknn_accuracy` that of the neighbours; `success` and `dknn_success` the share of
        images they had right that they now have wrong, NaN where they had none; `credibility` the mean.
        """
        right, knn_right = before.predicted == labels, before.neighbors == labels
        return {
            "accuracy": _share(self.predicted == labels),
            "success": _share(self.predicted[right] != labels[right]),
            "dknn_accuracy": _share(self.neighbors == labels),
            "dknn_success": _share(self.neighbors[knn_right] != labels[knn_right]),
            "credibility": float(self.credibility.mean()),
        }


@dataclass(frozen=True)
class Attempt:
    """What became of n images under one attack.

    Attributes:
        attack: its name.
        eps: its bound; 0 without an attack.
        said: what is said of them after it.
        shown: which images are kept, those first whose prediction the attack has turned (m,).
        images: these, as they are after the attack, in [0, 1] (m, c, h, w).
    """

    attack: str
    eps: float
    said: Said
    shown: Tensor
    images: Tensor


@dataclass(frozen=True)
class Attacked:
    """What attacks did to a classifier.

    Attributes:
        trained: the classifier.
        norm: what their size is measured by.
        images: the n images as they were, in [0, 1] (n, c, h, w).
        labels: their classes (n,).
        clean: what is said of them.
        attempts: what is said of them after each attack.
        gradients: shares of gradients that vanish at the images (`attacks._gradients`); None where there are none.
    """

    trained: Trained
    norm: str
    images: Tensor
    labels: Tensor
    clean: Attempt
    attempts: Sequence[Attempt]
    gradients: dict[str, float] | None

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each attempt, the images as they were first: `Said.since`."""
        return [
            {"attack": one.attack, "eps": one.eps, **one.said.since(self.clean.said, self.labels)}
            for one in (self.clean, *self.attempts)
        ]

    def plain(self) -> dict[str, Any]:
        """As JSON-ready values, null for what is no number."""
        about = {"model": self.trained.name, "norm": self.norm, "n": len(self.labels), "gradients": self.gradients}
        plain: dict[str, Any] = without_nan({**about, "attacks": self.rows})
        return plain


def measure_attacks(
    trained: Trained,
    test: ImageSet | None,
    attacks: Sequence[tuple[str, AttackConfig]],
    *,
    n: int | None = None,
    n_bank: int | None = None,
    k: int | None = None,
    seed: int = 0,
    say: Say = lambda text: None,
) -> Attacked:
    """Attack a classifier on images that it has not seen, which take no part in calibrating its neighbours.

    Args:
        trained: the network and its images.
        test: images to attack; None for a part of those that were held out, of which others calibrate.
        attacks: names and settings (`attacks._config.planned`), one at least, all of one norm.
        n: how many images, drawn by seed; None for 500, or all there are.
        n_bank, k: training images to search, and neighbours (`classifiers._exemplars.observer_of`).
        seed: draws the images, and what attacks draw.
        say: is told, in lines, what is done, and what to beware of.

    Raises:
        UsageError: there are fewer images than asked for.
        WorkbenchError: images are too few, or have no labels.
    """
    if test is None:
        trained, test = _parted(trained)
    if test.labels is None:
        raise WorkbenchError(f"The test images of {trained.place} have no labels: it cannot be told what is wrong.")
    if n and n > len(test):
        raise UsageError(f"--n {n} is more than the {len(test)} images that can be attacked.")
    observer, _ = observer_of(trained, n_bank=n_bank, k=k, say=say)
    chosen = subset(len(test), n or min(IMAGES, len(test)), seed, "attacked")
    target, device = Target(observer.network, observer.knn, observer.max_features), device_of(observer.network)
    x, labels = (test.pixels(chosen).float() / 255).to(device), test.classes(chosen).to(device)
    norm = attacks[0][1].norm
    say(f"{len(chosen)} of {len(test)} images are attacked; eps is {NORMS[norm]}.")
    _tell_of_chance(target, x[:BATCH], say)
    gradients = _gradients(target, x, labels, say)

    def outcome(name: str, eps: float, images: Tensor, before: Tensor | None) -> Attempt:
        said = Said.of(observer.see(images))
        turned = said.predicted != before if before is not None else torch.zeros_like(said.predicted)
        shown = turned.long().argsort(descending=True, stable=True)[:SHOWN]
        return Attempt(name, eps, said, shown, images.cpu()[shown])

    clean, attempts = outcome(CLEAN, 0.0, x, None), []
    for name, config in paced(attacks, len(attacks), "attacks"):
        made = attacked(name, target, x, labels, config, seed=seed)
        attempts.append(outcome(name, config.eps, made, clean.said.predicted))
    return Attacked(trained, norm, x.cpu(), labels.cpu(), clean, attempts, gradients)


def _parted(trained: Trained) -> tuple[Trained, ImageSet]:
    """The network with a part of its held-out images, and the others, which can be attacked."""
    held_out, generator = trained.held_out, random_generator(trained.seed, "attacked-part")
    order = torch.randperm(len(held_out), generator=generator, device="cpu")
    kept = min(len(order) // 2, MAX_CALIBRATION)
    parts = [ImageSet(held_out.pixels(part), held_out.classes(part)) for part in (order[:kept], order[kept:])]
    return replace(trained, held_out=parts[0]), parts[1]


def _tell_of_chance(target: Target, x: Tensor, say: Say) -> None:
    """Whether the network answers by chance, which no attack here averages over (Athalye et al. 2018)."""
    with held_still(target.network), torch.no_grad():
        first, second = target.logits(x), target.logits(x)
    if (first - second).abs().amax() > CHANCE * first.abs().amax():
        say(
            "Warning: the network answers the same images otherwise when asked again. Attacks follow one answer at a "
            "time, where the mean over many is needed (expectation over transformation): they show no robustness."
        )


def _gradients(target: Target, x: Tensor, labels: Tensor, say: Say) -> dict[str, float] | None:
    """Which gradients vanish, which is told."""
    try:
        found = vanishing_gradients(target, x, labels)
    except NoGradientError as error:
        say(f"Warning: {error}")
        return None
    zero, vanishing = found["zero"], found["vanishing"]
    say(f"Gradients of the cross-entropy: {zero:.1%} of the images have none, those of {vanishing:.1%} vanish.")
    if vanishing > MASKED:
        say(
            "Warning: attacks that follow such gradients fail for that, and not for robustness: compare with "
            "--attack square, or take --settings loss=margin."
        )
    return found


def _share(which: Tensor) -> float:
    """The share of True (n,); NaN of none."""
    return float(which.double().mean())
