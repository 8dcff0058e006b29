"""The kernel distance between two sets: KID, with its standard error.

Protocol: the unbiased estimate of the squared maximum mean discrepancy under the kernel (x'y / d + 1)^3 (Binkowski et
al. 2018, section 4), of all points at once, in float64; the mean over random subsets that others take has the same
expectation and more variance. It has no bias in n, and is below 0 about half of the time where the sets do not differ.
The standard error is the jackknife's over 20 random parts of either set.
"""

import torch
from torch import Tensor

from metrics._arguments import Row
from metrics._sets import Jackknife, check_sets, need, parts, row
from snnl_core.distances import full_precision

FEWEST = 4


@torch.no_grad()
def measure(real: Tensor, generated: Tensor) -> list[Row]:
    """Rows of `kid`, any real number, and `kid_stderr`; arguments and errors are those of `jackknife`."""
    found, n = jackknife(real, generated), min(len(real), len(generated))
    return [row("kid", found.whole, n), row("kid_stderr", found.stderr, n)]


def jackknife(real: Tensor, generated: Tensor) -> Jackknife:
    """KID of all points, and without each part of both sets.

    Args:
        real: floating (n, d), finite.
        generated: floating (m, d), finite.

    Raises:
        TypeError: the points are not floating.
        ValueError: shapes do not fit, or a row is not finite.
        LeftOutError: a set has fewer than four points.
    """
    check_sets(real, generated)
    need("kid", FEWEST, min(len(real), len(generated)))
    ones, others = parts(real, generated)
    with full_precision(real.device):
        sums = _within(ones), _within(others), torch.stack([_sums(part, others) for part in ones])
    sizes = [sums[0].new_tensor([len(part) for part in side]) for side in (ones, others)]
    every = torch.arange(len(ones), device="cpu")
    without = [_mmd(every[every != part], *sums, *sizes) for part in range(len(ones))]
    return Jackknife(_mmd(every, *sums, *sizes), without)


def _mmd(kept: Tensor, within: Tensor, other: Tensor, across: Tensor, sizes: Tensor, other_sizes: Tensor) -> float:
    """The estimate from the parts that are kept; sums of the kernel by part and part (g, g), and the parts' sizes."""
    a, b, c = (float(sums[kept][:, kept].sum()) for sums in (within, other, across))
    n, m = float(sizes[kept].sum()), float(other_sizes[kept].sum())
    return a / (n * (n - 1)) + b / (m * (m - 1)) - 2 * c / (n * m)


def _within(side: list[Tensor]) -> Tensor:
    """Sums of the kernel over pairs of different points of a set, by part and part (g, g)."""
    sums = side[0].new_zeros(len(side), len(side))
    for i, part in enumerate(side):
        sums[i, : i + 1] = sums[: i + 1, i] = _sums(part, side[: i + 1])
        sums[i, i] -= (part.square().sum(1) / part.shape[1] + 1).pow(3).sum()
    return sums


def _sums(part: Tensor, others: list[Tensor]) -> Tensor:
    """Sums of the kernel over the pairs of a part with each other one (g,)."""
    kernel = (part @ torch.cat(others).T).div_(part.shape[1]).add_(1)
    columns = (kernel.square() * kernel).sum(0)
    return torch.stack([own.sum() for own in columns.split([len(other) for other in others])])
