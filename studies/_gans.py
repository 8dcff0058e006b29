"""How studies of GANs train them, but for what each asks about, and where their images are evaluated."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

import imagesets
from lab import registry
from lab.cells.cell import Cell
from studies._config import Fitting, TrainingStudy, fitting_n
from tasks import _spaces, evaluate_floor, evaluate_gan, train_gan

Gans = Annotated[tuple[Annotated[str, registry.known("gans")], ...], registry.DISTINCT]
"""Names of GANs, each once."""
Spaces = Annotated[tuple[Literal["pixels", "classifier"], ...], registry.DISTINCT]


class GanStudy(TrainingStudy):
    """Trainings of GANs on one image set."""

    imageset: imagesets.Name = Field(description="image set that the GANs learn; folder:PATH or zip:PATH for your own")
    seeds: int = Field(ge=1, le=1000, description="how many seeds of each GAN (0, 1, ...)")
    kimg: float = Field(
        gt=0, le=1e9, description="length of training in thousands of real images shown to the discriminator"
    )
    n: int = Field(ge=2, description="real images, and as many generated ones, in each measurement")
    points: int = Field(ge=2, le=1000, description="measurements over a training, denser early")
    width: int = Field(ge=1, le=1024, description="channels of the networks at the widest resolution")

    def training(self, gan: str, seed: int, **settings: Any) -> train_gan.Config:
        """The settings of a GAN's training.

        Raises:
            UsageError: one is impossible for this GAN.
        """
        shared = self.model_dump(include={*train_gan.Config.model_fields})
        own = {"gan": gan, "seed": seed, "settings": {"width": self.width, **settings}}
        return train_gan.Config.parse({**shared, **own, "snapshots": train_gan.schedule(self.kimg, self.points)})

    def fitting(self, data: Path) -> Fitting:
        """A measurement of so many images as there are."""
        return fitting_n(self.n, self.images, ("test", "train"), data)


class EvaluatedStudy(GanStudy):
    """Trainings of GANs, all of whose images are compared with real ones by every measure."""

    spaces: Spaces = Field(
        ("pixels", "classifier"),
        min_length=1,
        description="where images are compared: pixels, classifier (the last hidden layer of a small one)",
    )

    def evaluated(self, trainings: Iterable[train_gan.Config], data: Path) -> list[Cell]:
        """Cells that evaluate every training in every space, beside the floor of real against real.

        Raises:
            UsageError: too few images, or a classifier where they have no two classes.
            WorkbenchError: a user's own images are not below `data`.
        """
        imagesets.check_n(self.imageset, self.n, ("test", "train"), data)
        cells = [train_gan.cell(settings, data) for settings in trainings]
        found: list[Cell] = []
        for space in self.spaces:
            where = _spaces.named(space, self.imageset, data, self.device)
            found.append(evaluate_floor.cell(self.imageset, self.n, data, where))
            found += [evaluate_gan.cell(training, self.n, where) for training in cells]
        return found
