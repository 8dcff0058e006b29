"""The Frechet distance between Gaussians fitted to two sets: FID, its interval, and FID at infinite n.

Protocol: the mean and the covariance (divided by n - 1) of each set in float64,

    |m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))

(Heusel et al. 2017, equation 6; the name FID is kept whatever the features). It grows as n falls, by a bias that is
linear in 1 / n to first order (Chong and Forsyth 2020): compare equal n. The interval is for the expectation at this n,
by Student's t and the jackknife over 20 random parts of either set; the same parts give the line over 1 / n, which ends
at `fid_infinity`. Below two points a feature the covariances of parts are singular, and FID stands alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from metrics._arguments import Row
from metrics._sets import Jackknife, LeftOutError, check_sets, need, parts, row
from snnl_core.distances import full_precision

POINTS_PER_FEATURE = 2
LARGEST = 4096
"""Features beyond which a covariance takes too much time and memory."""


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution: mean (d,) and covariance (d, d), float64."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, points: Tensor) -> "Gaussian":
        """The one fitted to points (n, d), n > 1."""
        return _Scatter.of(points.double(), points.double().mean(0)).gaussian()


@torch.no_grad()
def measure(real: Tensor, generated: Tensor) -> list[Row]:
    """Rows of `fid` >= 0 and, from two points a feature on, `fid_low`, `fid_high` and the three of `fid_infinity`.

    `fid_infinity` is without bias, so it can be below 0 where the sets do not differ.

    Args:
        real: floating (n, d), finite.
        generated: floating (m, d), finite.

    Raises:
        TypeError: the points are not floating.
        ValueError: shapes do not fit, or a row is not finite.
        LeftOutError: a set has one point alone, or there are more than 4096 features.
    """
    n = min(len(real), len(generated))
    if n < least(real.shape[1]):
        return [row("fid", fid(real, generated), n)]
    found, values = jackknife(real, generated), {}
    for name, value in {"fid": found.whole, "fid_infinity": found.unbiased}.items():
        values[name] = value
        values[f"{name}_low"], values[f"{name}_high"] = value - found.half_width, value + found.half_width
    return [row(metric, value, n) for metric, value in values.items()]


def least(features: int) -> int:
    """The points a side from which on parts can be left out."""
    return max(POINTS_PER_FEATURE * features, 8)


def fid(real: Tensor, generated: Tensor) -> float:
    """The distance of the two fitted Gaussians; arguments and errors are those of `measure`."""
    _check(real, generated)
    if max(len(real), len(generated)) <= real.shape[1]:
        return _of_few(real.double(), generated.double())
    return frechet_distance(Gaussian.of(real), Gaussian.of(generated))


def jackknife(real: Tensor, generated: Tensor) -> Jackknife:
    """FID of all points, and without each part of both sets; arguments and errors are those of `measure`."""
    _check(real, generated)
    without = zip(*map(_leaving_out, parts(real, generated)), strict=True)
    return Jackknife(fid(real, generated), [frechet_distance(one, other) for one, other in without])


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """|m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)), >= 0; either covariance may be singular.

    The trace of the root is the sum of the roots of the eigenvalues of the symmetric S_1^(1/2) S_2 S_1^(1/2).
    """
    with full_precision(one.mean.device):
        variances, axes = torch.linalg.eigh(one.covariance)
        root = axes * variances.clamp(min=0).sqrt()
        shared = torch.linalg.eigvalsh(root.T @ other.covariance @ root).clamp(min=0).sqrt().sum()
    apart = (one.mean - other.mean).square().sum()
    return max(0.0, float(apart + one.covariance.trace() + other.covariance.trace() - 2 * shared))


def _of_few(one: Tensor, other: Tensor) -> float:
    """The same of points (n, d) and (m, d), n and m at most d, without a covariance.

    With the centred points X and Y, divided by the roots of n - 1 and m - 1, S_1 S_2 = X'X Y'Y has the eigenvalues of
    XY'(XY')' and zeros: the trace of the root is the sum of the singular values of XY'.
    """
    means = one.mean(0), other.mean(0)
    x, y = ((points - mean) / (len(points) - 1) ** 0.5 for points, mean in zip((one, other), means, strict=True))
    with full_precision(x.device):
        shared = torch.linalg.svdvals(x @ y.T).sum()
    return max(0.0, float((means[0] - means[1]).square().sum() + x.square().sum() + y.square().sum() - 2 * shared))


@dataclass(frozen=True)
class _Scatter:
    """Sums over n points around an origin: of differences (d,), and of their products (d, d)."""

    n: int
    origin: Tensor
    sums: Tensor
    products: Tensor

    @classmethod
    def of(cls, points: Tensor, origin: Tensor) -> "_Scatter":
        around = points - origin
        return cls(len(points), origin, around.sum(0), around.T @ around)

    def less(self, part: "_Scatter") -> "_Scatter":
        return _Scatter(self.n - part.n, self.origin, self.sums - part.sums, self.products - part.products)

    def gaussian(self) -> Gaussian:
        shift = self.sums / self.n
        return Gaussian(self.origin + shift, (self.products - torch.outer(shift, self.sums)) / (self.n - 1))


def _leaving_out(side: list[Tensor]) -> list[Gaussian]:
    """The Gaussians fitted to a set without each of its parts in turn."""
    whole = torch.cat(side)
    origin = whole.mean(0)
    scatter = _Scatter.of(whole, origin)
    return [scatter.less(_Scatter.of(part, origin)).gaussian() for part in side]


def _check(real: Tensor, generated: Tensor) -> None:
    check_sets(real, generated)
    need("fid", 2, min(len(real), len(generated)))
    if real.shape[1] > LARGEST:
        raise LeftOutError(f"fid: needs at most {LARGEST} features; there are {real.shape[1]}.")
