"""Feature spaces in which cells compare images: the pixels, or the features of a network that another cell trains."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lab import registry
from lab.cells import layout
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.errors import UsageError
from tasks import train_classifier

if TYPE_CHECKING:
    from torch import Tensor

    from evaluation.spaces import Seen, Space

Where = Cell[Any] | Literal["pixels"]
"""A space as a plan names it: by the training of a classifier, or of a GAN, whose discriminator is meant."""
Kind = Literal["pixels", "discriminator", "classifier"]
KINDS: dict[str, Kind] = {"train-gan": "discriminator", "train-classifier": "classifier"}
EVALUATOR = {"classifier": "cnn", "epochs": 3, "precision": "float32"}
"""The classifier in whose features images are compared unless another is named."""

GUIDE = {**EVALUATOR, "seed": 1}
"""The classifier in whose features a generator is trained: another than that in whose features it is compared."""


def evaluator(images: str, data: Path, device: str = "auto") -> Cell[train_classifier.Config]:
    """The training, on a device, of the classifier in whose features an image set is compared unless another is named.

    Raises:
        UsageError: the images have no two classes, or are too few.
    """
    return train_classifier.cell(
        train_classifier.Config.parse({**EVALUATOR, "imageset": images, "device": device}), data
    )


def guide(images: str, data: Path, device: str = "auto") -> Cell[train_classifier.Config]:
    """The training, on a device, of the classifier in whose features a generator may be trained on an image set.

    Raises:
        UsageError: the images have no two classes, or are too few.
    """
    with _telling("that guides a GAN"):
        return train_classifier.cell(
            train_classifier.Config.parse({**GUIDE, "imageset": images, "device": device}), data
        )


def named(space: str, images: str, data: Path, device: str = "auto") -> Where:
    """The space `pixels` or `classifier` of a study of an image set.

    Raises:
        UsageError: it is that of a classifier, and the images have no two classes, or are too few.
    """
    if space == "pixels":
        return "pixels"
    with _telling("in whose features images are compared"):
        return evaluator(images, data, device)


@contextmanager
def _telling(which: str) -> Iterator[None]:
    """Tell which classifier it is that the block cannot plan, whose settings are none of the command's, and what to do.

    Raises:
        UsageError: the block raised it.
    """
    try:
        yield
    except UsageError as error:
        why = f"No classifier {which} can be trained ({str(error).rstrip('.')})"
        raise UsageError(f"{why}: take other images, or the space pixels alone, which needs none.") from error


def kind_of(space: Where) -> Kind:
    """The kind of a space."""
    return KINDS[space.task] if isinstance(space, Cell) else "pixels"


def needs_of(space: Where) -> tuple[Cell[Any], ...]:
    """The cell whose network the space is of; none for pixels."""
    return (space,) if isinstance(space, Cell) else ()


def versions(task: str) -> dict[str, int]:
    """The versions of what decides a comparison."""
    return registry.versions(f"tasks/{task}", "snnl_core")


def space_of(kind: Kind, trained: CellFolder | None) -> "Space":
    """The space of a kind: the pixels, or what the training of a GAN or a classifier left."""
    from evaluation.spaces import pixels
    from evaluation.trained import classifier_space, discriminator_space

    if kind == "pixels" or trained is None:
        return pixels()
    return classifier_space(trained) if kind == "classifier" else discriminator_space(trained)


def see_real(space: "Space", images: "Tensor", folder: CellFolder) -> "Seen":
    """What a space makes of real images, kept for all cells below the same folder of runs."""
    return space.see_once(images, layout.root_of(folder.path))
