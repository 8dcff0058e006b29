"""What measures of two sets of points demand of them, and the error of a measure from parts of the sets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.special import stdtrit
from torch import Tensor

from metrics._arguments import Row
from snnl_core.distances import check_finite

GROUPS = 20
"""Parts of a set, each of which is left out once."""
CONFIDENCE = 0.95


class LeftOutError(ValueError):
    """A measure cannot be had of these points, of which there are too few, mostly; others may go on."""


def check_sets(real: Tensor, generated: Tensor) -> None:
    """Raise TypeError or ValueError unless both sets are floating (n, d), of the same d, finite and not empty."""
    for name, points in {"real": real, "generated": generated}.items():
        if not points.is_floating_point():
            raise TypeError(f"{name} must be floating, not {points.dtype}; convert it, e.g. {name}.float().")
        if points.ndim != 2 or points.numel() == 0 or points.shape[1] != real.shape[1]:
            shapes = f"{tuple(real.shape)} and {tuple(generated.shape)}"
            raise ValueError(f"real (n, d) and generated (m, d) are needed, at least one, not {shapes}.")
        check_finite(points)


def check_same_shape(real: Tensor, generated: Tensor) -> None:
    """Raise ValueError unless both sets have as many points, of the same shape."""
    if real.shape != generated.shape:
        raise ValueError(f"real {tuple(real.shape)} and generated {tuple(generated.shape)} must have the same shape.")


def need(what: str, needed: int, n: int, why: str = "") -> None:
    """Raise LeftOutError, naming the measure, unless the smaller set has as many points, n, as are needed."""
    if n < needed:
        raise LeftOutError(f"{what}: needs {needed} points a side{why and f' ({why})'}; there are {n}.")


def row(metric: str, value: float, n: int, side: str = "joint", group: str = "") -> Row:
    """A row of the sets, of one of them (`real`, `generated`), or of a class of one."""
    return {"side": side, "group": group, "metric": metric, "value": value, "n": n}


def parts(real: Tensor, generated: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Both sets (n, d) in as many random parts, of about equal size, as are left out one after another; float64.

    There are 20, or as many as the smaller set has points; always the same ones.
    """
    groups = min(GROUPS, len(real), len(generated))
    return _parts(real, groups), _parts(generated, groups)


def _parts(points: Tensor, groups: int) -> list[Tensor]:
    order = torch.randperm(len(points), generator=torch.Generator("cpu").manual_seed(0), device="cpu")
    return [points[part].double() for part in order.to(points.device).tensor_split(groups)]


@dataclass(frozen=True)
class Jackknife:
    """What leaving out one part after another says of an estimate (Quenouille 1956, Tukey 1958).

    Attributes:
        whole: the estimate from all points.
        without: the estimates without each part.
    """

    whole: float
    without: Sequence[float]

    @property
    def stderr(self) -> float:
        """The standard error of the estimate over sets of this size."""
        mean, groups = sum(self.without) / len(self.without), len(self.without)
        return math.sqrt((groups - 1) / groups * sum((one - mean) ** 2 for one in self.without))

    @property
    def unbiased(self) -> float:
        """The estimate without its bias of order 1 / n: where the line over 1 / n through both sizes meets 0."""
        groups = len(self.without)
        return groups * self.whole - (groups - 1) * sum(self.without) / groups

    @property
    def half_width(self) -> float:
        """Half of the interval that holds the estimate's expectation with 95 % confidence (Student's t)."""
        return float(stdtrit(len(self.without) - 1, (1 + CONFIDENCE) / 2)) * self.stderr
