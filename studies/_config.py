"""What studies that train networks on image sets have in common."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import imagesets
from lab import registry
from lab.cells.folder import CellFolder
from lab.config import Config
from lab.errors import Say
from lab.training.compute import Compute
from tasks import train_classifier

BF16: dict[str, Any] = {"precision": "bf16"}
"""The arithmetic of the published cells, named by the presets that they are of: so any processor finds them."""


class ImageStudy(Config):
    """The settings of a study that works with the image sets that one of its fields names."""

    IMAGES: ClassVar[str] = "imageset"
    """The field that names them: one, or several."""

    @property
    def images(self) -> tuple[str, ...]:
        """Their names."""
        named: str | tuple[str, ...] = getattr(self, self.IMAGES)
        return (named,) if isinstance(named, str) else named

    def settled(self, settle: Callable[[str], str]) -> Self:
        """The settings with the name by which cells know it in place of each image set's."""
        named: str | tuple[str, ...] = getattr(self, self.IMAGES)
        return self.replaced(**{self.IMAGES: settle(named) if isinstance(named, str) else tuple(map(settle, named))})

    def fitting(self, data: Path) -> "Fitting":
        """What images below `data` allow of settings that ask more of them, by field, each with the reason."""
        return {}

    @property
    def asked(self) -> set[str]:
        """The settings that were asked for, unlike those of a preset or a default."""
        return self.model_fields_set

    def fitted(self, data: Path, say: Say) -> Self:
        """The settings with what the images allow in place of what nobody asked for; each change is told."""
        found = {name: fit for name, fit in self.fitting(data).items() if name not in self.asked}
        for name, (value, why) in found.items():
            say(f"{name}: {round(value, 6)}, since {why}.")
        return self.with_fit({name: value for name, (value, _) in found.items()})

    def with_fit(self, values: dict[str, Any]) -> Self:
        """The settings with other ones in their place, by the names that `fitting` gives them."""
        return self.replaced(**values)


class TrainingStudy(ImageStudy, Compute):
    """The settings of a study, or of a search, that says how networks are trained on the images."""


Fitting = dict[str, tuple[float, str]]
"""What images allow of a setting, by its name, and why."""


def fitting_n(n: int, names: Iterable[str], splits: Sequence[str], data: Path) -> Fitting:
    """How many images can be measured where n are more than each of the splits of each of the sets has."""
    held = {(name, split): imagesets.spec(name, data).n.get(split, 0) for name in names for split in splits}
    name, split = min(held, key=lambda one: held[one])
    which = "smaller" if len(splits) > 1 else split
    return {"n": (held[name, split], f"{name} has no more in its {which} split")} if n > held[name, split] else {}


def fitting_training(trainings: Iterable[train_classifier.Config], data: Path, apart: int = 1) -> Fitting:
    """What the smallest image set allows of trainings of classifiers that keep so many images apart at least."""
    sizes = {training.imageset: imagesets.spec(training.imageset, data).n["train"] for training in trainings}
    smallest = min(sizes, key=lambda name: sizes[name])
    found: Fitting = {}
    for training in trainings:
        found |= train_classifier.fitting(training, sizes[smallest], smallest, apart)
    return found


def classes_of(cells: Iterable[CellFolder]) -> tuple[str, ...]:
    """The names of the classes that the networks of a study's trainings learned; none if no training is among them."""
    trainings = [cell for cell in cells if cell.task in ("train-gan", "train-classifier")]
    runs = (registry.load("tasks", cell.task).Config.parse(cell.config) for cell in trainings)
    return next((run.spec_of_images.classes for run in runs), ())
