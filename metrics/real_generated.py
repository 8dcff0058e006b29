"""Real against generated images: entanglement, coverage of classes, and 1-NN accuracy, jointly and by side.

Protocol: n real and n generated images, as many of each, in the space they are given in. The soft nearest neighbor
loss between the two sets, at its best temperature and divided by its bound, is the joint score (Frosst et al. 2019).
The same over the generated (real) anchors alone, at their own temperature and bound, is the generated (real) side;
over the real anchors of one class, the real side of that class, and their mean over the classes the coverage.
1-NN accuracy is the two-sample test that leaves each point out (Lopez-Paz and Oquab 2017): 0.5 is indistinguishable.
"""

from dataclasses import replace

import torch
from torch import Tensor

from lab.processes import part
from metrics._arguments import Row
from metrics._sets import check_same_shape, row
from snnl_core import Entanglement, GroupEntanglement, entanglement
from snnl_core.distributed import gather
from snnl_core.neighbors import nearest_neighbors

REAL, GENERATED = 0, 1


def measure(real: Tensor, generated: Tensor, real_labels: Tensor | None = None) -> list[Row]:
    """Rows (side, group, metric, value, n) that compare real with generated images.

    Args:
        real: images or features (n, ...), uint8 (taken to [-1, 1]) or floating.
        generated: as many of the same kind.
        real_labels: the class of each real image (n,), for the rows by class and the coverage.

    Raises:
        ValueError: the two sets differ in number or shape.
    """
    check_same_shape(real, generated)
    points, side = joined(real, generated)
    found = entangle(points, side, real_labels)
    return [*entanglement_rows(found), *_neighbor_rows(points, side, len(real))]


def joined(real: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets as points (2n, d), the real ones first, and which side each is of (2n,)."""
    points = torch.cat([_points(real), _points(generated)])
    return points, torch.tensor([REAL, GENERATED], device=points.device).repeat_interleave(len(real))


def entangle(points: Tensor, side: Tensor, real_labels: Tensor | None = None, *, sharded: bool = False) -> Entanglement:
    """The entanglement of what `joined` gives, whose groups are the classes (n,) of the real points.

    Where it is `sharded`, several processes have the same points, call this at the same time, and share the work.
    """
    groups = torch.full_like(side, -1)
    if real_labels is not None:
        groups[: len(real_labels)] = real_labels
    if not sharded:
        return entanglement(points, side, groups=groups)
    own = part(len(points))
    found = entanglement(points[own], side[own], groups=groups[own], sharded=True)
    return replace(found, per_sample=gather(found.per_sample))


def entanglement_rows(found: Entanglement) -> list[Row]:
    """Rows (side, group, metric, value, n) of entanglement jointly, by side and by class, and of the coverage."""
    n = len(found.per_sample) // 2
    return [
        *_side_rows("joint", found, n),
        *_side_rows("real", found.by_class[REAL], n),
        *_side_rows("generated", found.by_class[GENERATED], n),
        *_class_rows({int(name): found.by_group[name] for name in sorted(found.by_group)}, n),
    ]


def _points(images: Tensor) -> Tensor:
    flat = images.flatten(1)
    return flat.float() / 127.5 - 1 if flat.dtype == torch.uint8 else flat


def _side_rows(side: str, found: GroupEntanglement, n: int) -> list[Row]:
    inverse = 1 / found.temperature
    values = {"entanglement": found.score, "entanglement_loss": found.loss, "inverse_temperature": inverse}
    return [row(metric, value, n, side) for metric, value in values.items()]


def _class_rows(by_class: dict[int, GroupEntanglement], n: int) -> list[Row]:
    if not by_class:
        return []
    rows = [row("entanglement", found.score, found.n_valid, "real", str(name)) for name, found in by_class.items()]
    mean = sum(found.score for found in by_class.values()) / len(by_class)
    return [*rows, row("coverage", mean, n, "real")]


def _neighbor_rows(points: Tensor, side: Tensor, n: int) -> list[Row]:
    _, nearest = nearest_neighbors(points, points, 1, exclude_self=True)
    right = side[nearest[:, 0]] == side
    return one_nn_rows(right[:n], right[n:])


def one_nn_rows(real: Tensor, generated: Tensor) -> list[Row]:
    """Rows of the 1-NN accuracy, given whether the nearest point of each real and generated one (n,) is of its side."""
    sides = {"joint": torch.cat([real, generated]), "real": real, "generated": generated}
    shares = {name: float(right.double().mean()) for name, right in sides.items()}
    return [row("one_nn_accuracy", share, len(real), name) for name, share in shares.items()]
