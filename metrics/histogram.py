"""The classes of generated images, as a classifier sees them, against those of real ones.

Protocol: the same classifier's first choice for n real and m generated images, so that its own errors are on both
sides. `class_share` is the share of generated images of each class; `class_entropy` the entropy of those shares, in
nats; `modes` the number of classes that hold at least a tenth of the share that they have among the real ones.
`class_kl` is KL(generated || real) in nats; half an image is added to every class of either side, so that it is finite.
"""

import torch
from torch import Tensor

from metrics._arguments import Row
from metrics._sets import row
from snnl_core.distances import check_integers

HELD = 0.1
"""A class is a mode that is there from this share of its real share on."""
SMOOTHING = 0.5
"""Images added to each class before the divergence is taken."""


def measure(real: Tensor, generated: Tensor, classes: int) -> list[Row]:
    """Rows of `class_share` of each class, `class_entropy` in [0, log classes], `class_kl` and `modes`, generated side.

    Args:
        real: predicted classes of real images (n,), integers in [0, classes).
        generated: predicted classes of generated images (m,).
        classes: how many there are.

    Raises:
        TypeError: a side is not of integers.
        ValueError: a side is empty or not (n,), or a class is out of range.
    """
    counts = [_counts(name, side, classes) for name, side in {"real": real, "generated": generated}.items()]
    usual, found = (side / side.sum() for side in counts)
    expected, smoothed = ((side + SMOOTHING) / (side + SMOOTHING).sum() for side in counts)
    values = {
        "class_entropy": torch.special.entr(found).sum(),
        "class_kl": (smoothed * (smoothed / expected).log()).sum(),
        "modes": ((found >= HELD * usual) & (found > 0)).sum(),
    }
    n = len(generated)
    shares = [row("class_share", share, n, "generated", str(name)) for name, share in enumerate(found.tolist())]
    return [*shares, *(row(metric, float(value), n, "generated") for metric, value in values.items())]


def _counts(name: str, predicted: Tensor, classes: int) -> Tensor:
    check_integers(name, predicted)
    if predicted.ndim != 1 or not len(predicted):
        raise ValueError(f"{name} must be predicted classes (n,), at least one, not {tuple(predicted.shape)}.")
    if predicted.min() < 0 or predicted.max() >= classes:
        low, high = int(predicted.min()), int(predicted.max())
        raise ValueError(f"{name} must be in 0 to {classes - 1}, not {low} to {high}.")
    return torch.bincount(predicted.long(), minlength=classes).double()
