"""Points among which neighbours are searched, and their queries: what is demanded of them, and how they are read."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from snnl_core.distances import Distance, check_distance
from snnl_core.float64 import where_float64_is
from snnl_core.plain import refuse_transforms
from snnl_core.rounding import LEAST, factor_of, fits, sizes

CHUNK = 1 << 24
"""Numbers that are copied at a time."""
SAMPLED = 4096
"""Points that the center is the mean of, at most."""


def check_rows(x: Tensor) -> Tensor:
    """The largest absolute value of each row (n,) of points (n, d).

    Raises:
        TypeError: x is not floating, or of one byte, which torch only stores.
        ValueError: a row is not finite; the first is named.
    """
    if not x.is_floating_point() or x.element_size() == 1:
        raise TypeError(f"points must be floating, not {x.dtype}; convert them to 16 bits or more, e.g. with double().")
    largest = torch.maximum(x.amax(1), -x.amin(1)) if x.numel() else x.new_zeros(len(x))
    bad = (~largest.isfinite()).nonzero().flatten()
    if len(bad):
        raise ValueError(f"row {int(bad[0])} is not finite; {len(bad)} of {len(x)} rows are not.")
    return largest


@dataclass(frozen=True)
class Rows:
    """Points that are not copied, and the factors that make their squared distances the wanted ones.

    For the cosine distance, 1 - cos = |a - b|^2 / 2 on the unit sphere. A point at the origin has no direction: it
    counts as one orthogonal to all, at 0 from others at the origin and at 1 from all else.

    Attributes:
        x: (n, d), floating and finite; in memory or mapped to it, on any device.
        scale: (n,), in the dtype to compute in, at least float32: 1, or for the cosine distance sqrt(1/2) / |x|, and 0
            at the origin.
        tiny: whether float32 would lose the squares of their differences, small as they are.
        cosine: whether the factors are those of the cosine distance.
    """

    x: Tensor
    scale: Tensor
    tiny: bool = False
    cosine: bool = False

    @classmethod
    def of(cls, x: Tensor, distance: Distance) -> "Rows":
        """Points (n, d), maybe none; to be computed with in float64 where their squares are too large for float32.

        Raises:
            TypeError: they are not floating.
            ValueError: a row is not finite, squares are too large or small for float64, or the distance is unknown.
        """
        refuse_transforms("a search for neighbours", "search for each set by itself")
        x = where_float64_is(x)
        largest = check_rows(x).to(wide(x.dtype))
        check_distance(distance)
        if distance == "cosine":
            return cls(x, _cosine_scale(x, largest), cosine=True)
        size, reach = sizes(largest)
        if not fits(reach, x.shape[1], largest.dtype):
            largest = largest.double()
        if not fits(reach, x.shape[1], largest.dtype):
            raise ValueError(f"squared distances are too large for {largest.dtype}: scale them down.")
        if 0 < size < LEAST:
            raise ValueError(f"squared distances are too small for {largest.dtype}: scale them up.")
        return cls(x, torch.ones_like(largest), factor_of(size) > 1)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice) -> "Rows":
        return replace(self, x=self.x[rows], scale=self.scale[rows])

    def at(self, dtype: torch.dtype) -> "Rows":
        """The same to be computed with in a dtype: beside rows of float64 the factors of others are as precise."""
        if not self.cosine or dtype == self.scale.dtype:
            return self
        scale = _cosine_scale(self.x, check_rows(self.x).to(dtype))
        return replace(self, scale=scale.masked_fill_(self.zero(), 0))

    def center(self) -> Tensor:
        """The mean of an evenly spread sample (d,): products lose fewer digits around it."""
        few = max(1, min(SAMPLED, CHUNK // max(1, self.x.shape[1])))
        some = slice(None, None, max(1, len(self) // few))
        points = self.x[some].to(self.scale.dtype) * self.scale[some, None]
        return points.sum(0) / max(1, len(points))

    def zero(self) -> Tensor:
        """Which points have no direction though one is needed (n,)."""
        return self.scale == 0

    def minus(self, origin: Tensor, which: slice | Tensor) -> Tensor:
        """Some of the points, scaled, from an origin (d,) or one each (m, d), in its dtype and on its device."""
        if isinstance(which, Tensor):
            which = which.to(self.x.device)
        x = self.x[which].to(origin.device, origin.dtype)
        return torch.addcmul(-origin, x, self.scale[which].to(origin.device, origin.dtype)[:, None])

    def differences(self, origins: Tensor, which: Tensor) -> Tensor:
        """Distances (q, m) from origins (q, d), scaled and with a direction, to points by position (q, m)."""
        x = self.x.index_select(0, which.flatten().to(self.x.device)).to(origins.device, origins.dtype)
        x = x.view(*which.shape, -1)
        scale = self.scale[which.to(self.scale.device)].to(origins.device, origins.dtype)
        torch.addcmul(-origins[:, None], x, scale[:, :, None], out=x)
        return torch.linalg.vector_norm(x, dim=2).square_() + 0.5 * (scale == 0)


def _cosine_scale(x: Tensor, largest: Tensor) -> Tensor:
    """sqrt(1/2) / |x| (n,) of points whose largest absolute values are known (n,); 0 where that is no normal number."""
    largest = largest.masked_fill(largest < torch.finfo(largest.dtype).tiny, math.inf)
    size, scale = max(1, CHUNK // max(1, x.shape[1])), torch.empty_like(largest)
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        # Divided first, so that no square overflows or vanishes.
        lengths = torch.linalg.vector_norm(x[rows].to(largest.dtype) / largest[rows, None], dim=1)
        scale[rows] = 0.5**0.5 / lengths / largest[rows]
    return scale.masked_fill_(largest.isinf(), 0)


def wide(dtype: torch.dtype) -> torch.dtype:
    """What is computed in: at least float32."""
    return torch.promote_types(dtype, torch.float32)
