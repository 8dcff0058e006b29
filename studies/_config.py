"""What studies that train networks on image sets have in common."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Self

from lab import registry
from lab.cells.folder import CellFolder
from lab.training.compute import Compute

BF16: dict[str, Any] = {"precision": "bf16"}
"""The arithmetic of the published cells, named by the presets that they are of: so any processor finds them."""


class TrainingStudy(Compute):
    """The settings of a study, or of a search, that trains on the image sets that one of its fields names."""

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


def classes_of(cells: Iterable[CellFolder]) -> tuple[str, ...]:
    """The names of the classes that the networks of a study's trainings learned; none if no training is among them."""
    trainings = [cell for cell in cells if cell.task in ("train-gan", "train-classifier")]
    runs = (registry.load("tasks", cell.task).Config.parse(cell.config) for cell in trainings)
    return next((run.spec_of_images.classes for run in runs), ())
