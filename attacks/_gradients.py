"""How many gradients vanish: where they do, an attack that follows them fails whether the network is robust or not.

That is gradient masking (Papernot et al. 2017, arXiv 1602.02697; Athalye et al. 2018, arXiv 1802.00420): a network
whose slope tells nothing still falls to attacks that come from another network or ask for no gradient.
"""

import torch
from torch import Tensor

from attacks._ascent import slope
from attacks._config import Loss
from attacks._frame import BATCH, check_images, held_still
from attacks._target import Target

NO_CHANGE = 2.0**-23
"""The rounding of float32 at 1."""


def gradients(target: Target, x: Tensor, labels: Tensor, *, loss: Loss = "cross-entropy", batch: int = BATCH) -> Tensor:
    """The gradient of a loss at each of the images x (n, c, h, w) in [0, 1], of the same shape.

    Raises:
        NoGradientError: there is none.
        TypeError, ValueError: x or labels are not as they should be, or there is no image.
    """
    check_images(x, labels)
    if not len(x):
        raise ValueError("there is no image to take a gradient at.")
    parts = zip(x.split(batch), labels.split(batch), strict=True)
    with held_still(target.network), torch.inference_mode(False), torch.enable_grad():
        return torch.cat([slope(target.objective(own.clone(), loss), part.clone())[0] for part, own in parts])


def vanishing_gradients(
    target: Target, x: Tensor, labels: Tensor, *, loss: Loss = "cross-entropy", batch: int = BATCH
) -> dict[str, float]:
    """Shares of images whose gradient of a loss says nothing, at the images x (n, c, h, w) in [0, 1] themselves.

    Returns: as `vanishing`. Raises: as `gradients`.
    """
    return vanishing(gradients(target, x, labels, loss=loss, batch=batch))


def vanishing(found: Tensor) -> dict[str, float]:
    """Shares of gradients (n, c, h, w) that say nothing.

    Returns:
        zero: of images whose gradient is 0 in every value.
        vanishing: of images whose gradient is so small, by the sum of its absolute values, that no change within
            [0, 1] moves the loss by as much as float32 tells from 1, to first order; those with none among them.
        values: the share of all single values of gradients that are 0.
    """
    flat = found.flatten(1)
    total, empty = flat.abs().sum(1, dtype=torch.float64), (flat == 0).double().mean(1)
    shares = {"zero": empty == 1, "vanishing": total < NO_CHANGE, "values": empty}
    return {name: float(share.double().mean()) for name, share in shares.items()}
