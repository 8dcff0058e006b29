"""Evaluate every generator that a training kept by every measure, in pixels or in the features of a network."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

import imagesets
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.config import Config as Settings
from lab.errors import UsageError
from lab.files import write_arrays
from lab.training.snapshots import snapshots
from tasks import _spaces as spaces
from tasks import train_gan
from tasks._images import draw

if TYPE_CHECKING:
    from torch import Tensor

    from metrics.comparison import Comparison

VERSION = 1
PAIRS = "pairs.npz"
"""What is kept: `run`."""
SHOWN = 8
"""Images of a kind that are kept."""


class Config(Settings):
    """How much is compared, and where."""

    n: int = Field(ge=2, description="held-out images, as many training images, and as many generated ones")
    space: spaces.Kind = Field("pixels", description="the feature space")
    seed: int = Field(0, ge=0, description="seed of the choice of real images")


def cell(training: Cell[train_gan.Config], n: int, space: spaces.Where = "pixels") -> Cell[Config]:
    """Evaluate every snapshot of a training cell against n held-out images, and against n training images.

    They are compared in pixels, in the features of a classifier, by the cell of its training (such as
    `tasks._spaces.evaluator`), or in those of a discriminator, by the cell of its training, which may be the same.

    Raises:
        UsageError: the image set holds fewer images.
    """
    run = training.config
    for split in ("test", "train"):
        held = run.spec_of_images.n.get(split, 0)
        if n > held:
            raise UsageError(f"{run.imageset} has {held} images in its {split} split; n = {n} is more than that.")
    return Cell(
        "evaluate-gan",
        f"evaluate-{training.label}",
        Config(n=n, space=spaces.kind_of(space), seed=run.seed),
        spaces.versions("evaluate-gan"),
        needs=(training, *(need for need in spaces.needs_of(space) if need != training)),
        cost=len(run.kept_at) * (0.5 + 4 * (n / 1000) ** 2) + 10,
    )


def run(folder: CellFolder) -> None:
    """Rows of `metrics.comparison` for every snapshot, against held-out (with the gaps) and against training images.

    Of the last one, `pairs.npz` holds images, uint8: `memorized` (2, m, c, h, w), the most memorised generated images
    and their nearest training images; `generated` and `real` (2, m, c, h, w), the least and the most entangled ones.
    """

    from gans._snapshots import generated_by
    from metrics.comparison import compare
    from metrics.memorization import TrainingSet, training_neighbors

    training = folder.needs[0]
    config, run = folder.settings(Config), training.settings(train_gan.Config)
    space = spaces.space_of(config.space, folder.needs[-1])
    real, labels = draw(folder, run.imageset, "test", config.n, config.seed)
    trained = imagesets.load(run.imageset, "train", **folder.data).images
    held = spaces.see_real(space, real, folder)
    known = TrainingSet.of(spaces.see_real(space, trained, folder).features)
    usual = training_neighbors(held.features, known)
    kept = snapshots(training.path, "generator")
    for done, snapshot in enumerate(kept):
        folder.event("progress", done=done, total=len(kept), text=f"{done} of {len(kept)} snapshots")
        generated = generated_by(snapshot, run, config.n)
        seen = space.see(generated)
        predicted = space.predictions(held, seen)
        found = compare(
            held.features, seen.features, real_labels=labels, predicted=predicted, training=known, usual=usual
        )
        about = {"kind": "gan", **run.about, "space": space.name, "layer": space.layer, **snapshot.when}
        for row in _rows(found):
            folder.row(**about, **row)
        for text in found.left_out if not done else []:
            folder.warn(f"left out: {text}")
    write_arrays(folder.path / PAIRS, {name: x.numpy() for name, x in _pairs(found, real, generated, trained).items()})


def _rows(found: "Comparison") -> Iterator[dict[str, Any]]:
    """Against held-out images, the gaps among them, then against training images."""
    yield from ({"split": "test", **row} for row in found.rows)
    if found.trained is not None:
        yield from ({"split": "train", **row} for row in found.trained.rows)


def _pairs(found: "Comparison", real: "Tensor", generated: "Tensor", trained: "Tensor") -> "dict[str, Tensor]":
    import torch

    assert found.nearest is not None, "training images were given"
    n, loss = len(real), found.entanglement.per_sample
    copies = found.nearest.order[:SHOWN]
    pairs = {"memorized": torch.stack([generated[copies], trained[found.nearest.position[copies]]])}
    for name, images, losses in (("real", real, loss[:n]), ("generated", generated, loss[n:])):
        order = losses.argsort(stable=True)
        pairs[name] = torch.stack([images[order[:SHOWN]], images[order.flip(0)[:SHOWN]]])
    return pairs
