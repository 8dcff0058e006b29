"""Measuring entanglement: the loss at its best temperature (equation 2), in arithmetic that holds the distances."""

import warnings
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from snnl_core.anchors import Anchors
from snnl_core.compiling import uncompiled
from snnl_core.distances import (
    Distance,
    check_count,
    check_finite,
    check_generator,
    check_integers,
    check_points,
    full_precision,
    prepare,
)
from snnl_core.distributed import agree
from snnl_core.float64 import where_float64_is
from snnl_core.measurement import Entanglement, measure
from snnl_core.pairs import Progress, all_pairs
from snnl_core.plain import refuse_transforms
from snnl_core.rounding import LEAST, TOO_MUCH, Sample, factor_of, fits
from snnl_core.sharded import Sharded
from snnl_core.temperature import BETA_LIMIT

BEYOND = (
    "float64 cannot hold the distances of x: the entanglement is rounding for the most part. Leave out what lies far "
    "off, or what does not tell points apart."
)


@uncompiled
@torch.no_grad()
def entanglement(
    x: Tensor,
    labels: Tensor,
    *,
    distance: Distance = "sqeuclidean",
    groups: Tensor | None = None,
    anchors: int | None = None,
    sharded: bool = False,
    progress: Progress | None = None,
    generator: torch.Generator | None = None,
) -> Entanglement:
    """The soft nearest neighbor loss of a set of points, minimised over the temperature.

    Points of float32 may be as small or as large as that is. They are measured in float32, and once more in float64
    where float32 cannot hold their distances: where some lie far off, or classes differ by little beside something
    else. Where float64 cannot either, it warns. Points on a device without float64 are measured on the processor.

    Args:
        x: points (n, ...), floating and finite; flattened to (n, d).
        labels: class of each point (n,), any integers.
        distance: `sqeuclidean`, or `cosine` for 1 - cos; a row of zeros is at 0.5 from all others but such rows.
        groups: integers (n,) that part the anchors, each group to be minimised at a temperature of its own;
            negative: in no group.
        anchors: use this many random anchors, each against all points, as an estimate; default all.
        sharded: every process holds a part of the points, none of which is another's, and calls this at the same time;
            each gets what one process would get from all of them, with `per_sample` for its own; of `anchors`, each
            draws its share, rounded up. A part may be empty, (0, d). What one process refuses, all refuse, and the
            message names the process.
        progress: told now and then the number of the pass over all pairs, from 1, and the share of it that is done;
            with the classes each at its own temperature there are about twenty passes.
        generator: of the CPU; draws the anchors and the sample of the search; default a fixed seed.

    Raises:
        TypeError: x is not floating, labels or groups are not integers, or the generator is none.
        ValueError: shapes do not match, n < 2, anchors < 1, a row is not finite, a label or group is 2^63 or more, the
            generator is not one of the CPU, the distance is unknown, squared distances are too large or small for
            float64, or processes differ in d, dtype, kind of device, distance or anchors.
        RuntimeError: `sharded` without a process group, or inside a transform of torch.func.
    """
    refuse_transforms("a measurement", "measure each set by itself")
    check = partial(_checked, x, labels, groups, generator, fewest=0 if sharded else 2)
    (points, labels, groups), rows = agree(check, distance=distance, anchors=anchors) if sharded else (check(), [])
    measurement = _Measurement(labels, groups, rows, anchors, progress, generator or torch.Generator().manual_seed(0))
    with full_precision(points.device):
        return measurement.of(prepare(points, distance))


@dataclass(frozen=True)
class _Measurement:
    """What is to be measured of points; as in `entanglement`, with the rows of each process where there are several."""

    labels: Tensor
    groups: Tensor
    rows: list[int]
    anchors: int | None
    progress: Progress | None
    generator: torch.Generator

    def of(self, points: Tensor) -> Entanglement:
        """The entanglement of points (n, d), in float32 where that holds their distances."""
        sample, state = Sample.of(points, self.labels, max(1, len(self.rows))), self.generator.get_state()
        if points.dtype == torch.float64 and 0 < sample.size < LEAST:
            raise ValueError(f"squared distances of x are too small for {points.dtype}: scale x up.")
        factor = 1.0 if points.dtype == torch.float64 else factor_of(sample.size)
        if factor != 1:
            points, sample = points * factor, sample.times(factor)
        if not fits(sample.largest, points.shape[1], points.dtype):
            points = points.double()
        found, rounding = self._at(points, sample)
        if rounding > TOO_MUCH:
            self.generator.set_state(state)
            found, rounding = self._at(points.double(), sample, sample.center)
        if rounding > TOO_MUCH:
            warnings.warn(BEYOND, stacklevel=5)
        return found if factor == 1 else found.times(factor**-2)

    def _at(self, points: Tensor, sample: Sample, center: Tensor | None = None) -> tuple[Entanglement, float]:
        """The same in the points' own dtype, about a center, else the mean; and the share of it that is rounding."""
        pairs: Anchors
        if self.rows:
            pairs = Sharded.of(points, self.labels, self.rows, self.progress, center)
        else:
            pairs = all_pairs(points, self.labels.unique(return_inverse=True)[1], self.progress, center)
        _check_reach(pairs)
        if self.anchors is not None:
            pairs = _some(pairs, self.anchors, self.generator)
        return measure(pairs, self.labels, self.groups, self.generator, sample.apart / BETA_LIMIT)


def _some(anchors: Anchors, size: int, generator: torch.Generator) -> Anchors:
    check_count("anchors", size)
    if size < 1:
        raise ValueError(f"anchors = {size}: at least one is needed, or None for all.")
    return anchors if size >= anchors.count else anchors.some(anchors.draw(size, generator))


def _checked(
    x: Tensor, labels: Tensor, groups: Tensor | None, generator: torch.Generator | None, fewest: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Points (n, d), at least so many and all finite, their labels and their groups (n,), negative for none."""
    check_generator(generator)
    points, labels = map(where_float64_is, check_points(x, labels, fewest))
    check_finite(points)
    return points, labels, torch.full_like(labels, -1) if groups is None else _check_groups(groups, labels)


def _check_reach(anchors: Anchors) -> None:
    """Raise ValueError unless squared distances, and twice as much, can be represented."""
    if not anchors.scale(1)[1] <= torch.finfo(anchors.dtype).max / 2:
        raise ValueError(f"squared distances of x are too large for {anchors.dtype}: scale x down.")


def _check_groups(groups: Tensor, labels: Tensor) -> Tensor:
    check_integers("groups", groups)
    if groups.shape != labels.shape:
        raise ValueError(f"groups must be (n,) like labels, {tuple(labels.shape)}, not {tuple(groups.shape)}.")
    return groups.to(labels)
