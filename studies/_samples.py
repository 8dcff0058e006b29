"""Pictures of generated images as trainings keep them, and of real ones as measurements do."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gans._config import TrainingConfig
from gans._kept import NEAREST, grids
from lab.cells.folder import CellFolder
from lab.files import read_arrays
from lab.reporting.pictures import about_square, parted, shape, sheet
from lab.reporting.report import Picture
from studies._config import classes_of
from tasks._images import REAL

GRID = 20.0
"""How wide a grid of images is, in letters' heights."""


def sample_grid(caption: str, grid: Path, training: CellFolder) -> Picture:
    """A grid that a training kept; where the GAN is conditional, it has a row for each class, which is told."""
    config = TrainingConfig.parse(training.config)
    spec = config.spec_of_images
    picture = parted(grid, spec.size)
    rows, columns = shape(picture, spec.size)
    by_class = config.settings.conditional and rows == len(spec.classes)
    names = [name for name in spec.classes for _ in range(columns)] if by_class else ()
    return Picture(caption, picture, names, columns)


def last_grid(caption: str, training: CellFolder) -> Picture:
    """The last one, and of each of its images the nearest training image, where the training looked for those."""
    picture = sample_grid(caption, grids(training.path)[-1][1], training)
    found = read_arrays(training.path / NEAREST)
    if not found:
        return picture
    names = _named(found, TrainingConfig.parse(training.config).spec_of_images.classes)
    return replace(picture, names=names, what="nearest training image", beside=sheet(found["images"], picture.columns))


def real_images(cells: Sequence[CellFolder]) -> list[Picture]:
    """As many real images, held out from training, with their classes; none where no cell kept any."""
    found = next((kept for cell in cells if (kept := read_arrays(cell.path / REAL))), None)
    if found is None:
        return []
    images, classes = found["images"], classes_of(cells)
    names = [classes[label] for label in found["labels"].tolist()] if "labels" in found else []
    return [Picture("real", sheet(images), names, about_square(len(images)))]


def _named(found: Mapping[str, Any], classes: Sequence[str]) -> list[str]:
    """Of some training images the class, where there are such, and the number."""
    numbers = [f"number {place}" for place in found["position"].tolist()]
    if "labels" not in found:
        return numbers
    return [f"{classes[label]}, {number}" for label, number in zip(found["labels"].tolist(), numbers, strict=True)]
