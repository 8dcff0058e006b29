"""Feature spaces by what a user calls them."""

from pathlib import Path

from evaluation.foreign import INCEPTION, SCRIPT, inception_space, own_space, torchvision_space
from evaluation.spaces import PIXELS, Space, pixels
from evaluation.trained import classifier_space, discriminator_space
from lab.cells import layout
from lab.cells.folder import CellFolder
from lab.errors import UsageError
from lab.files import expanded
from outside.layered import Normalize
from outside.torchvision import SCHEME

SPACES = {"train-classifier": classifier_space, "train-gan": discriminator_space}
KINDS = (
    f"{PIXELS}, {INCEPTION}, {SCHEME}NAME, FILE.py:NAME, a TorchScript file {SCRIPT}, or the folder of a classifier's "
    "or a GAN's training"
)


def space_called(
    reference: str, *, weights: Path | None, size: int | None, normalize: Normalize | None, data: Path, download: bool
) -> Space:
    """A feature space by reference.

    Args:
        reference: `pixels`; `inception`; `torchvision:NAME`; `FILE.py:NAME` or a TorchScript file `.pt`, whose output
            is taken; the folder of a classifier's training, or of a GAN's, whose discriminator is taken.
        weights: a file of them, for a network made elsewhere.
        size: side that images are resized to for a network made elsewhere; None for their own.
        normalize: `imagenet` or `none`, for a network made elsewhere; None for what is usual.
        data: folder of the data sets.
        download: whether Inception's weights may be fetched.

    Raises:
        UsageError: the reference is nothing of these, or takes no weights.
        WorkbenchError: weights are not there, or do not fit.
    """
    path = expanded(reference)
    foreign = reference == INCEPTION or reference.startswith(SCHEME) or path.suffix == SCRIPT or ".py:" in reference
    if weights is not None and not foreign:
        raise UsageError(f"--weights is for a network made elsewhere; {reference} has its own.")
    if reference == PIXELS:
        return pixels()
    if reference == INCEPTION:
        return inception_space(weights, data, download)
    if foreign:
        build = torchvision_space if reference.startswith(SCHEME) else own_space
        return build(reference, weights, size, normalize)
    folder = CellFolder(path) if path.is_dir() and layout.is_cell(path) else None
    if folder is None or folder.task not in SPACES:
        raise UsageError(f"--features {reference} is no feature space: name {KINDS}.")
    return SPACES[folder.task](folder)
