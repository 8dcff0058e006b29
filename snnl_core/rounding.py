"""What rounding leaves of distances, and powers of two that bring points to where their squares can be held.

A squared distance is taken from products, |a|^2 + |b|^2 - 2ab with a and b about the center, which leaves an error of
the order of eps |a|^2. It is to be small beside the temperature or, where that is larger, beside what the distances to
the nearest points of the own class and of the others differ by: the loss hangs on the differences of distances there.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from snnl_core.anchors import Anchors
from snnl_core.distances import apart
from snnl_core.distributed import gather
from snnl_core.float64 import in_float64
from snnl_core.masses import Masses

TOO_MUCH = 5e-3
"""What may be lost to rounding, as a mean over anchors: the score is then right to some 1e-4."""
HELD = 40
"""Float32 holds the squares, and the differences, of points whose size is within 2^-HELD and 2^HELD."""
LIMIT = 126
"""The largest power of two, either way, that points are multiplied by."""
LEAST = 2.0**-480
"""Points smaller than this are too small for float64."""
ROWS, TURNS = 256, 4
"""Points that stand for all of them, and how often they are paired anew."""


def share_lost(anchors: Anchors, masses: Masses, coldest: float, *, of_loss: bool = False) -> float:
    """The share of what anchors see that is rounding, at temperatures from the coldest one up: a mean, in [0, 1].

    Args:
        anchors: who see.
        masses: what they see at any temperature, relative to their nearest points.
        coldest: the temperature.
        of_loss: only as far as it reaches the loss at the masses' first temperature: not, where classes are apart.
    """
    eps, nearest, valid = torch.finfo(anchors.dtype).eps, masses.nearest.amin(0), anchors.valid
    # In many dimensions all distances are nearly the same, and what they differ by is what the loss hangs on.
    shares = (masses.nearest[0] - masses.nearest[1]).abs() / nearest
    usual = math.exp(_mean(anchors, in_float64(shares[valid]).nan_to_num(1.0).clamp(eps, 1).log()))
    each = (eps * anchors.squares / (nearest * usual).clamp_min(coldest)).nan_to_num(0.0, posinf=1.0).clamp_max(1)
    return _mean(anchors, in_float64((each * masses.foreign[0] if of_loss else each)[valid]))


def _mean(anchors: Anchors, values: Tensor) -> float:
    """The mean of values of this process's anchors over those of all processes; 0 where there are none."""
    total, count = anchors.agreed(anchors.total(torch.stack([values.sum(), torch.ones_like(values).sum()]))).tolist()
    return float(total / count) if count else 0.0


def factor_of(size: float) -> float:
    """The power of two that points of this size are to be multiplied by, so that float32 holds their squares; or 1."""
    power = -math.frexp(size)[1]
    return 1.0 if not size or abs(power) <= HELD else 2.0 ** max(-LIMIT, min(power, LIMIT))


def largest_of(x: Tensor) -> float:
    """The largest absolute value."""
    return max(float(end.abs()) for end in x.aminmax()) if x.numel() else 0.0


def sizes(largest: Tensor) -> tuple[float, float]:
    """The median, of those that are not 0, and the maximum of points' largest absolute values (n,); 0 where none is."""
    largest = largest[largest > 0]
    return (float(largest.median()), float(largest.max())) if len(largest) else (0.0, 0.0)


def fits(largest: float, d: int, dtype: torch.dtype) -> bool:
    """Whether a dtype holds squared distances of points (n, d) about any center, and more, by their largest value."""
    return 16 * d * largest * largest <= torch.finfo(dtype).max


@dataclass(frozen=True)
class Sample:
    """What a few of the points tell of all, in float64.

    Attributes:
        size: the largest absolute value or, where float32 does not hold its square, the median over points of theirs,
            leaving out those at the origin; 0 for none.
        largest: the largest absolute value.
        center: a point (d,) amid most of the others, however far the rest are.
        apart: the median of distances between points of two classes that are not 0, or less, by what a sample leaves
            open; infinite where all are 0.
    """

    size: float
    largest: float
    center: Tensor
    apart: float

    @classmethod
    def of(cls, x: Tensor, labels: Tensor, processes: int = 1) -> "Sample":
        """Of points (n, d) and their labels (n,), each process having a part of them where there are several."""
        picked = torch.randperm(len(x), generator=torch.Generator().manual_seed(0), device="cpu")
        picked = picked[: -(-ROWS // processes)].to(x.device)
        size = largest = largest_of(x)
        if factor_of(largest) != 1:
            size, largest = sizes(torch.maximum(x.amax(1), -x.amin(1)))
        some, of = x[picked].double(), labels[picked]
        if processes > 1:
            some, of = gather(some), gather(of)
            size, largest = gather(some.new_tensor([[size, largest]])).amax(0).tolist()
        return cls(size, largest, _middle(some) if len(some) else some.sum(0), _apart(some, of))

    def times(self, factor: float) -> "Sample":
        """The same of points that are multiplied by a factor."""
        return Sample(self.size * factor, self.largest * factor, self.center * factor, self.apart * factor**2)


def _middle(x: Tensor) -> Tensor:
    """The median of each column (d,) of points (n, d), of two the lower one."""
    if x.is_cpu:
        return x.median(0).values
    # A GPU has no deterministic median by column, and refuses it where deterministic algorithms alone are allowed.
    return x.sort(0).values[(len(x) - 1) // 2]


def _apart(x: Tensor, labels: Tensor) -> float:
    found = [x.new_zeros(0)]
    for turn in range(1, min(TURNS, len(x) - 1) + 1):
        differ = (labels != labels.roll(turn)).nonzero().flatten()
        found.append(apart(x, differ, (differ - turn) % len(x)))
    distances = torch.cat(found)
    distances = distances[distances > 0].sort().values
    # Two standard errors below: of two kinds of distances, each half of all, the median may be one of the short ones.
    place = max(0, int(len(distances) / 2 - len(distances) ** 0.5))
    return float(distances[place]) if len(distances) else math.inf
