"""Move points in the plane down or up the gradient of a loss, and tell how entangled they are on the way.

A loss at a fixed temperature has no maximum: points that part without end would make it as large as one likes. So
the points stay in a disk: one that a step takes out of it is brought back to its rim. The temperature is fixed
because at the best one (equation 2) sets that are apart, and sets that are fully mixed, have no gradient.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.config import Config as Settings
from lab.files import write_arrays
from tasks._schedule import quadratic

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
KEPT = "descents.npz"
"""What is kept: `run`."""
FRAMES = 5
"""Pictures of a descent."""
SPREAD = 0.2
"""Standard deviation of a blob, where the centres of the blobs lie on a circle of radius 1."""
RIM = 2.0
"""Radius of the disk, where the points start with root mean square 1."""


@dataclass(frozen=True)
class Descent:
    """Where the points start (`random`, `apart`, `modes`), by which loss they move, and whether down or up."""

    start: str
    objective: str
    direction: str


DESCENTS: Mapping[str, Descent] = {
    "random-minimise": Descent("random", "snnl", "minimise"),
    "random-maximise": Descent("random", "snnl", "maximise"),
    "apart-maximise": Descent("apart", "snnl", "maximise"),
    "modes-minimise": Descent("modes", "snnl", "minimise"),
    "modes-triplet": Descent("modes", "triplet", "minimise"),
}


class Points(Settings):
    """The points and how they move."""

    points: int = Field(ge=8, le=5000, description="points in the plane")
    classes: int = Field(ge=2, le=6, description="classes, of equal size")
    steps: int = Field(ge=1, le=10_000_000, description="gradient steps")
    measurements: int = Field(ge=2, le=10_000, description="measurements over a descent, denser early")
    rate: float = Field(gt=0, le=1, description="length of a step; 1 takes a point to where its neighbours pull it")
    temperature: float = Field(gt=0, description="temperature as a share of the points' first mean squared distance")
    modes_temperature: float = Field(gt=0, description="the same where classes have two modes: below their distance")
    triplet_margin: float = Field(gt=0, description="margin of the triplet loss, in first root mean squared distances")


class Config(Points):
    """Every descent of one seed."""

    seed: int = Field(ge=0, description="seed of the points")


def cell(config: Config) -> Cell[Config]:
    """The cell of every descent of one seed."""
    cost = config.steps * 0.012 * max(1.0, (config.points / 200) ** 2) + 1
    versions = registry.versions("tasks/descend", "snnl_core")
    return Cell("descend", f"toy-s{config.seed}", config, versions, cost=cost)


def schedule(steps: int, measurements: int) -> list[int]:
    """The steps from 0 to `steps` that are measured, denser early; each once."""
    return sorted({round(time) for time in quadratic(steps, measurements)})


def frames(times: list[int]) -> list[int]:
    """The measured steps that are drawn: the first, the last, and some between, mostly early ones."""
    count, last = min(FRAMES, len(times)), len(times) - 1
    return sorted({times[round(last * (i / (count - 1)) ** 1.5)] for i in range(count)})


def run(folder: CellFolder) -> None:
    """Rows of every descent over its steps; `descents.npz` keeps the frames, by descent: (frames, n, 2)."""
    import numpy as np

    config = folder.settings(Config)
    times = schedule(config.steps, config.measurements)
    kept: dict[str, Any] = {"steps": frames(times)}
    for done, (name, descent) in enumerate(DESCENTS.items()):
        folder.event("progress", done=done, total=len(DESCENTS), text=name)
        points, modes = start(descent.start, config.points, config.classes, config.seed)
        move = mover(descent, modes % config.classes, config)
        drawn = []
        for step in range(config.steps + 1):
            if step in times:
                _measure(folder, config, name, step, points, modes)
            if step in kept["steps"]:
                drawn.append(points.numpy().astype(np.float32))
            points = move(points)
        kept |= {name: np.stack(drawn), f"{name}/modes": modes.numpy()}
    write_arrays(folder.path / KEPT, kept)


def start(kind: str, n: int, classes: int, seed: int) -> "tuple[Tensor, Tensor]":
    """Points (n, 2), float64, of mean 0 and root mean square 1, and the mode of each (n,).

    The class of mode m is m modulo `classes`. `random`: all points are draws of one normal distribution. `apart`: one
    blob a class. `modes`: two blobs a class, opposite to each other on the circle.
    """
    import torch

    from lab.training.draws import random_generator

    blobs = 2 * classes if kind == "modes" else classes
    modes = torch.arange(n, device="cpu") % blobs
    angles = 2 * math.pi * modes.double() / blobs
    centres = torch.stack([angles.cos(), angles.sin()], 1)
    noise = torch.randn(n, 2, generator=random_generator(seed, "toy", kind), dtype=torch.float64, device="cpu")
    points = noise if kind == "random" else centres + SPREAD * noise
    centred = points - points.mean(0)
    return centred / centred.square().sum(1).mean().sqrt(), modes


def mover(descent: Descent, labels: "Tensor", config: Points) -> "Callable[[Tensor], Tensor]":
    """What takes the points (n, 2) one step further.

    The gradient of the summed loss at temperature T is of the order of 2 / T times a distance, and half of T times
    it a step of the mean shift: that is the step of rate 1. The triplet loss has unit vectors for gradients, and
    moves by them in units of its margin.
    """
    import torch

    from snnl_core import soft_nearest_neighbor_loss

    n = len(labels)
    squared = 2 * n / (n - 1)  # the mean squared distance between points of root mean square 1
    share = config.modes_temperature if descent.start == "modes" else config.temperature
    temperature, margin = share * squared, config.triplet_margin * math.sqrt(squared)
    sign = -1 if descent.direction == "minimise" else 1
    scale = sign * config.rate * (temperature / 2 if descent.objective == "snnl" else margin)

    def move(points: "Tensor") -> "Tensor":
        points = points.requires_grad_()
        if descent.objective == "snnl":
            loss = soft_nearest_neighbor_loss(points, labels, temperature, reduction="sum")
        else:
            loss = n * triplet_loss(points, labels, margin)
        (gradient,) = torch.autograd.grad(loss, points)
        moved = points.detach() + scale * gradient
        return moved * (RIM / moved.norm(dim=1, keepdim=True)).clamp_max(1)

    return move


def triplet_loss(points: "Tensor", labels: "Tensor", margin: float) -> "Tensor":
    """Mean over all triplets that are not yet far enough apart of margin + d(a, p) - d(a, n), 0 where there is none.

    Every anchor a with every other point p of its class and every n of another one, d the Euclidean distance
    ("batch all" over the active triplets: Hermans, Beyer, Leibe 2017, arXiv 1703.07737). With the negatives of an
    anchor in order, those active for a positive are the first ones, so no triplet is written out.
    """
    import torch

    distances = (points[:, None] - points).square().sum(2).clamp_min(1e-12).sqrt()
    total, active = points.new_zeros(()), 0
    for label in labels.unique():
        own = labels == label
        reach = distances[own][:, own] + margin  # negatives nearer than this are active
        negatives = distances[own][:, ~own].sort(dim=1).values
        nearest = negatives.new_zeros(len(reach), 1), negatives.cumsum(1)  # the sum of the k nearest ones, by k
        counts = torch.searchsorted(negatives.detach(), reach.detach()).fill_diagonal_(0)
        total = total + (counts * reach - torch.cat(nearest, 1).gather(1, counts)).sum()
        active += int(counts.sum())
    return total / max(active, 1)


def mode_distance(points: "Tensor", modes: "Tensor", classes: int) -> float:
    """Distance between the centres of a class's two modes, in root mean squared distances between points.

    The mean over the classes; modes m and m + classes are of one class.
    """
    n, centred = len(points), points - points.mean(0)
    spread = math.sqrt(2 * float(centred.square().sum()) / (n - 1))
    gaps = [points[modes == m].mean(0) - points[modes == m + classes].mean(0) for m in range(classes)]
    return sum(float(gap.norm()) for gap in gaps) / classes / spread


def _measure(folder: CellFolder, config: Config, name: str, step: int, points: "Tensor", modes: "Tensor") -> None:
    import torch

    from lab.training.draws import random_generator
    from snnl_core import entanglement
    from snnl_core.neighbors import nearest_neighbors

    n, labels = len(points), modes % config.classes
    shuffled = labels[torch.randperm(n, generator=random_generator(config.seed, "toy", "shuffled"), device="cpu")]
    _, nearest = nearest_neighbors(points, points, 1, exclude_self=True)
    values = {
        ("entanglement", "toy"): entanglement(points, labels).score,
        ("entanglement", "control"): entanglement(points, shuffled).score,
        ("one_nn_accuracy", "toy"): float((labels[nearest[:, 0]] == labels).double().mean()),
    }
    if DESCENTS[name].start == "modes":
        values["mode_distance", "toy"] = mode_distance(points, modes, config.classes)
    about = {"model": DESCENTS[name].objective, "seed": config.seed, "step": step, "space": "plane", "setting": name}
    for (metric, kind), value in values.items():
        folder.row(kind=kind, metric=metric, value=value, n=n, **about)
