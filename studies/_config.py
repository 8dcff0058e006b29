"""Settings of studies that train networks on image sets."""

from collections.abc import Callable
from typing import ClassVar, Self

from lab.training.compute import Compute


class TrainingStudy(Compute):
    """The settings of a study, or of a search, that trains on the image sets that one of its fields names."""

    IMAGES: ClassVar[str] = "imageset"
    """The field that names them: one, or several."""

    def settled(self, settle: Callable[[str], str]) -> Self:
        """The settings with the name by which cells know it in place of each image set's."""
        named: str | tuple[str, ...] = getattr(self, self.IMAGES)
        return self.replaced(**{self.IMAGES: settle(named) if isinstance(named, str) else tuple(map(settle, named))})
