"""The loss in plain operations, for what a backward of its own cannot serve: torch.func's transforms, forward mode.

All pairs are held at once, and every operation can be differentiated again, forwards and backwards, and vectorised.
"""

import math

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import grad
from torch.nn import functional as F

MOST = 1024
"""Points that it takes: their pairs are held several times over."""
BESIDE = "call backward() or torch.autograd.grad instead"

# None of torch's public functions tells; without this one, torch refuses with words of its own.
_active = getattr(torch._C, "_are_functorch_transforms_active", lambda: False)


def transformed() -> bool:
    """Whether a transform of torch.func or forward mode is at work."""
    return bool(_active()) or getattr(forward_ad, "_current_level", -1) >= 0


def refuse_transforms(what: str, instead: str = BESIDE) -> None:
    """Raise RuntimeError if a transform of torch.func is at work, which cannot reach into what is named."""
    if transformed():
        raise RuntimeError(f"torch.func's transforms do not reach into {what}: {instead}.")


def refuse_many(x: Tensor) -> None:
    """Raise RuntimeError if there are more than MOST points."""
    if len(x) > MOST:
        raise RuntimeError(f"torch.func's transforms and forward mode take {MOST} points, not {len(x)}: {BESIDE}.")


def losses(x: Tensor, labels: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of each point (n,), 0 where it is not valid, and which are: those with another one of their class (n,).

    Args:
        x: (n, d), in the dtype to compute in.
        labels: (n,).
        beta: 1 / T, a scalar.

    Raises:
        RuntimeError: there are more than MOST points.
    """
    refuse_many(x)
    x = x - x.mean(0)
    squares, product = x.square().sum(1), x @ x.T
    distances = squares[:, None] + squares - 2 * product  # a bound at 0 would cut off derivatives of copies
    myself = torch.eye(len(x), dtype=torch.bool, device=x.device)
    alike = labels[:, None] == labels
    own, others = alike & ~myself, ~alike
    valid, mixed = own.any(1), others.any(1)
    ratio = _log_mass(distances, others, mixed, beta) - _log_mass(distances, own, valid, beta)
    return F.softplus(ratio, threshold=50).where(valid & mixed, 0.0), valid


def _log_mass(distances: Tensor, members: Tensor, some: Tensor, beta: Tensor) -> Tensor:
    """log sum exp(-beta d) over the members (n,); of all points where there is none, so that no gradient is NaN."""
    members = members | ~some[:, None]
    return (-beta * distances).masked_fill(~members, -math.inf).logsumexp(1)


def stationary(x: Tensor, labels: Tensor, beta: Tensor) -> Tensor:
    """The inverse temperature where the loss has its minimum, which is near `beta`, as a function of the points.

    Newton's step from there, whose own derivative by the points is that of the minimum's place; so the loss at it has
    the first two derivatives of the minimum.
    """

    def mean(inverse: Tensor) -> Tensor:
        each, valid = losses(x, labels, inverse)
        return each.sum() / valid.sum()

    slope, curve = grad(mean)(beta), grad(grad(mean))(beta).detach()
    return beta - (slope - slope.detach()) / curve.masked_fill(curve <= 0, math.inf)
