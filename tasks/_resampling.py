"""Real images held against real ones over and over: two disjoint random draws of the held-out images by every measure.

Probabilities are over draws from the images that there are: a draw is independent of the next, given them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

import imagesets
from imagesets import ImageSet
from lab.cells.folder import CellFolder
from lab.errors import UsageError
from tasks import _power as power
from tasks import _spaces as spaces
from tasks._images import Compared

if TYPE_CHECKING:
    from torch import Tensor

    from evaluation.spaces import Seen, Space
    from metrics.memorization import TrainingSet

HELD_OUT = "test"
DRAWS_OF_N = 3
"""So many times n held-out images are needed, that there is a choice among those that are not the real draw."""
VALUES = "values.npz"
"""The file with the value of every measure in every draw, by `side/metric`."""


class Resampling(Compared):
    """What is drawn, how often, and where it is compared."""

    space: spaces.Kind = Field("pixels", description="the feature space")
    draws: int = Field(ge=3, description="draws on which a power is reported")
    training: int = Field(10_000, ge=2, description="random training images that may be copied, or all there are")

    @property
    def about(self) -> dict[str, Any]:
        """What every row says."""
        return {"model": "real", "imageset": self.imageset, "split": HELD_OUT, "n": self.n}


def check_n(images: str, n: int, data: Path) -> None:
    """Raise UsageError unless there are held-out images for two draws of n, and as many to choose among classes."""
    held = imagesets.spec(images, data).n.get(HELD_OUT, 0)
    if held < DRAWS_OF_N * n:
        raise UsageError(
            f"{images} has {held} images in its {HELD_OUT} split; planted faults need {DRAWS_OF_N} times --n {n}."
        )


def settings_of(images: str, n: int, space: spaces.Where, data: Path) -> dict[str, Any]:
    """The settings that say where n images a side are compared, in a space as for `tasks.evaluate_gan`.

    Raises:
        UsageError: there are too few images.
    """
    check_n(images, n, data)
    return {"imageset": images, "spec": imagesets.recorded_spec(images, data), "n": n, "space": spaces.kind_of(space)}


def cost(n: int, comparisons: float) -> float:
    """A guess of so many comparisons in seconds on one core."""
    return comparisons * (0.1 + 0.9 * (n / 1000) ** 1.5)


@dataclass(frozen=True)
class Stage:
    """The held-out images, and what a space makes of them.

    Attributes:
        config: what is drawn.
        space: where images are compared.
        images: the held-out ones.
        seen: the same in the space.
        trained: the training images in the space; None where they are not looked at.
        known: the points of these.
    """

    config: Resampling
    space: "Space"
    images: ImageSet
    seen: "Seen"
    trained: "Seen | None"
    known: "TrainingSet | None"

    @classmethod
    def of(cls, config: Resampling, folder: CellFolder, classifier: CellFolder | None, *, trained: bool) -> "Stage":
        """What a cell needs, of its image set and in its space."""
        from lab.training.draws import subset
        from metrics.memorization import TrainingSet

        space = spaces.space_of(config.space, classifier)
        images = imagesets.load(config.imageset, HELD_OUT, **folder.data)
        seen, known = spaces.see_real(space, images.images, folder), None
        if trained:
            source = imagesets.load(config.imageset, "train", **folder.data)
            picked = subset(len(source), min(config.training, len(source)), 0, "planted", "training")
            known = spaces.see_real(space, source.pixels(picked), folder)
        return cls(config, space, images, seen, known, None if known is None else TrainingSet.of(known.features))

    @property
    def place(self) -> dict[str, str]:
        """What rows say of the space."""
        return {"space": self.space.name, "layer": self.space.layer}

    def order(self, seed: int, purpose: str) -> "tuple[Tensor, Tensor]":
        """The positions of n real images (n,), and of all others in random order, of one draw for a purpose."""
        from lab.training.draws import subset

        order = subset(len(self.images), len(self.images), seed, "planted", purpose)
        return order[: self.config.n], order[self.config.n :]

    def compare(self, real: "Tensor", generated: "Seen") -> dict[power.Key, float]:
        """The value of every measure, by side and metric, of real images by their positions (n,) against others."""
        from metrics.comparison import compare

        one = rows_of(self.seen, real)
        found = compare(
            one.features,
            generated.features,
            real_labels=None if self.images.labels is None else self.images.labels[real],
            predicted=self.space.predictions(one, generated),
            training=self.known,
        )
        values = {(str(row["side"]), str(row["metric"])): float(row["value"]) for row in found.rows if not row["group"]}
        return {key: values[key] for key in power.ALL if key in values}


def rows_of(seen: "Seen", positions: "Tensor") -> "Seen":
    """What a space made of some of the images (m,)."""
    from evaluation.spaces import Seen

    return Seen(seen.features[positions], None if seen.predicted is None else seen.predicted[positions])


def in_all(found: list[dict[power.Key, float]]) -> dict[power.Key, list[float]]:
    """The values of each measure that every comparison gave."""
    return {key: [one[key] for one in found] for key in found[0] if all(key in one for one in found)}


def named(values: Mapping[power.Key, Any]) -> dict[str, Any]:
    """The same by `side/metric`, as files name them."""
    return {"/".join(key): value for key, value in values.items()}
