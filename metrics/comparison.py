"""Every measure of real against generated points at once, each search made once.

Protocol: n real and n generated points of one feature space, as many of each. What a measure needs and is not there is
said, and the others go on. Against training points, of which n are drawn, all is measured a second time: the gaps are
what is better there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from metrics import diversity, frechet, histogram, kernel, manifolds, sliced
from metrics._arguments import Row
from metrics._sets import LeftOutError, check_same_shape, check_sets, need, row
from metrics.memorization import TrainingNeighbors, TrainingSet, gaps, training_neighbors
from metrics.neighborhoods import Neighborhoods
from metrics.real_generated import entangle, entanglement_rows, joined, one_nn_rows
from snnl_core import Entanglement

FEWEST = 2


@dataclass(frozen=True)
class Predictions:
    """A classifier's first choice for each real and each generated image, integers (n,), of so many classes."""

    real: Tensor
    generated: Tensor
    classes: int


@dataclass(frozen=True)
class Comparison:
    """What all measures say of n real and n generated points.

    Attributes:
        rows: side, group, metric, value, n; the gaps and the memorised shares among them.
        left_out: why measures are not among the rows.
        remarks: what a reader must know: that the sets are the same, or share points, or that the generator collapsed.
        entanglement: of the real points, then the generated ones, by side.
        copied: whether each generated point is at distance 0 of a real one (n,).
        trained: the same against n training points; None without them.
        nearest: the training point that is nearest to each generated one, of all; None without them.
    """

    rows: list[Row]
    left_out: list[str]
    remarks: list[str]
    entanglement: Entanglement
    copied: Tensor
    trained: "Comparison | None" = None
    nearest: TrainingNeighbors | None = None

    def value(self, metric: str, side: str = "joint") -> float | None:
        """The value of a measure, not of a class; None where it was left out."""
        wanted = (metric, side, "")
        found = (one for one in self.rows if (one["metric"], one["side"], one["group"]) == wanted)
        return next((float(one["value"]) for one in found), None)


def compare(
    real: Tensor,
    generated: Tensor,
    *,
    real_labels: Tensor | None = None,
    predicted: Predictions | None = None,
    training: TrainingSet | None = None,
    usual: TrainingNeighbors | None = None,
    sharded: bool = False,
) -> Comparison:
    """Compare two sets by every measure.

    Args:
        real: floating (n, d), finite.
        generated: floating (n, d), finite.
        real_labels: the class of each real point (n,), for entanglement by class.
        predicted: for the histogram of classes.
        training: all that the generator was trained on, if the real points are held out from it.
        usual: the nearest training points of the real ones, where they are known from another comparison.
        sharded: several processes have the same points, call this at the same time, and share what takes longest,
            entanglement; the other measures each makes for itself.

    Raises:
        TypeError: the points are not floating.
        ValueError: shapes do not fit, a row is not finite, or squared distances overflow.
        LeftOutError: a set has one point alone.
    """
    check_sets(real, generated)
    check_same_shape(real, generated)
    need("a comparison", FEWEST, len(real))
    near = Neighborhoods.of(real, generated)
    found = _compare(near, real_labels, predicted, sharded)
    if training is None:
        return found
    neighbors = training_neighbors(generated, training)
    usual = usual or training_neighbors(real, training)
    rows = [*found.rows, *neighbors.rows("generated"), *usual.rows("real")]
    if len(training) < len(real):
        short = f"gaps to training images: needs {len(real)} of them; there are {len(training)}."
        return replace(found, rows=rows, left_out=[*found.left_out, short], nearest=neighbors)
    drawn = torch.randperm(len(training), generator=torch.Generator("cpu").manual_seed(0), device="cpu")[: len(real)]
    trained = _compare(near.against(training.points[drawn.to(training.points.device)]), None, None, sharded)
    return replace(found, rows=[*rows, *gaps(found.rows, trained.rows)], trained=trained, nearest=neighbors)


def _compare(
    near: Neighborhoods, real_labels: Tensor | None, predicted: Predictions | None, sharded: bool
) -> Comparison:
    real, generated = near.real, near.generated
    entangled = entangle(*joined(real, generated), real_labels, sharded=sharded)
    families: list[Callable[[], Sequence[Row]]] = [
        partial(entanglement_rows, entangled),
        partial(_one_nn, near),
        *(partial(family.measure, real, generated) for family in (frechet, kernel, sliced)),
        *(partial(family.measure, near) for family in (manifolds, diversity)),
    ]
    if predicted is not None:
        families.append(partial(histogram.measure, predicted.real, predicted.generated, predicted.classes))
    rows, left_out = list[Row](), list[str]()
    for family in families:
        try:
            rows += family()
        except LeftOutError as error:
            left_out.append(str(error))
    copied = near.to_real.distances[:, 0] == 0
    rows.append(row("copied", float(copied.double().mean()), near.n, "generated"))
    return Comparison(rows, [*left_out, *_missing(rows, near)], _remarks(rows, near, copied), entangled, copied)


def _one_nn(near: Neighborhoods) -> list[Row]:
    """As `metrics.real_generated` has it: of points equally near, a real one comes first."""
    real = near.within_real.distances[:, 0] <= near.to_generated.distances[:, 0]
    generated = near.within_generated.distances[:, 0] < near.to_real.distances[:, 0]
    return one_nn_rows(real, generated)


def _missing(rows: Sequence[Row], near: Neighborhoods) -> list[str]:
    """What a family left out of its own rows."""
    measured, needed = {one["metric"] for one in rows}, frechet.least(near.real.shape[1])
    left_out = []
    if "fid" in measured and "fid_infinity" not in measured:
        left_out.append(f"fid_infinity, interval of fid: needs {needed} points a side; there are {near.n}.")
    if "spread" not in measured:
        left_out.append("spread: needs real points that are not all there twice.")
    return left_out


def _remarks(rows: Sequence[Row], near: Neighborhoods, copied: Tensor) -> list[str]:
    remarks = []
    spread = next((float(one["value"]) for one in rows if one["metric"] == "spread"), 1.0)
    if spread < diversity.COLLAPSED:
        remarks.append(
            f"The generator has collapsed: its samples are {spread:.2g} times as far from each other as real ones are."
        )
    if bool(copied.all()) and bool((near.to_generated.distances[:, 0] == 0).all()):
        remarks.append("The two sets are the same: every score is at its ceiling and says nothing.")
    elif bool(copied.any()):
        remarks.append(f"{int(copied.sum())} of {near.n} generated samples are copies of real ones (distance 0).")
    return remarks
