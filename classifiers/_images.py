"""Which images a classifier takes. Free of torch, so that a plan can check it."""

from typing import TYPE_CHECKING

from imagesets import Spec, in_words
from lab.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

FEWEST_CLASSES = 2


def check_classes(spec: Spec) -> None:
    """Raise UsageError unless the images have labels of at least two classes."""
    if len(spec.classes) < FEWEST_CLASSES:
        found = len(spec.classes) or "none"
        raise UsageError(f"A classifier needs images of at least {FEWEST_CLASSES} classes; these have {found}.")


def check_validation(n: int) -> None:
    """Raise UsageError unless some images, n, were kept apart from training."""
    if not n:
        raise UsageError("No images were kept apart to validate on: train with --validation above 0.")


def check_shown(built: Spec, shown: Spec, name: str) -> None:
    """Raise UsageError unless a network that was built for `built` takes the images `shown`, those of the set `name`.

    Channels and sides must agree; classes may differ, as those of foreign images do.
    """
    if built.shape != shown.shape:
        raise UsageError(f"The network takes {in_words(built.shape)}; {name} has {in_words(shown.shape)}.")


def check_batch(x: "Tensor", spec: Spec) -> None:
    """Raise ValueError unless x is a batch (b, c, h, w) of images of `spec`."""
    if x.ndim != 4 or x.shape[1:] != spec.shape:
        expected = f"{in_words(spec.shape)}, (b, {', '.join(map(str, spec.shape))})"
        raise ValueError(f"the network takes {expected}, not {tuple(x.shape)}.")
