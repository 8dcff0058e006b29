"""The page of a comparison of images: every measure beside its floor, figures, and the images that say most."""

import numpy as np
from torch import Tensor

from evaluation.meanings import meanings
from evaluation.measured import SHOWN as SHOWN_AS
from evaluation.measured import ImagesComparison
from lab.reporting.pictures import png
from lab.reporting.plots import GREY, PALETTE, legend, new_figure
from lab.reporting.provenance import of_now
from lab.reporting.report import Figure, Gallery, GalleryRow, Picture, Report, Section
from lab.reporting.tables import Column, Table

SHOWN = 10
"""Images in a row."""
TICKS = 30
"""Numbers at an axis at most."""
READING = (
    "The score is the soft nearest neighbor loss between real and generated images at its best temperature, divided by "
    "the value that it cannot exceed: 0 for sets that lie apart, 1 for sets that cannot be told apart. A low generated "
    "side means samples bunched together, a low real side means data that the samples do not reach, or samples spread "
    "too far. The floor is what other real images give in place of the generated ones: no generator can be expected to "
    "do better. docs/measures.md tells more of every measure, and what noise does to them."
)


def report(found: ImagesComparison) -> Report:
    """The whole page."""
    question = (
        f"How like {found.real.name} are the images of {found.generated.name}? {found.n} images a side, in the space "
        f"{found.space.title}."
    )
    return Report(
        f"{found.generated.name} against {found.real.name}",
        question,
        [
            Section("How to read it", "\n\n".join([READING, *found.remarks])),
            Section("Measures", "", [_table(found), explained(found)]),
            Section(
                "Entanglement of single images",
                "Each image's own loss at the best temperature of all: high where the other side is near, else 0.",
                [_losses(found), *(_entangled(found, side) for side in ("real", "generated"))],
            ),
            *([Section("Classes", "As the classifier sees them.", [_classes(found)])] if found.predicted else []),
            *([_memorized(found)] if found.trained is not None else []),
            made(found, found.generated.name),
        ],
    )


def _table(found: ImagesComparison) -> Table:
    headers = [Column("measure"), Column("side"), Column("value"), Column("floor"), Column("gap")]
    rows = [[*row.values()] for row in found.entries]
    caption = (
        f"Every measure, n = {found.n} a side; floor: the same real images against {found.n} others; gap: against "
        "held-out images minus against training ones. _low and _high end a 95 % interval, _stderr is a standard error."
    )
    return Table("measures", caption, headers, rows, four_digits=True)


def explained(*found: ImagesComparison) -> Table:
    """What the measures of some comparisons are."""
    metrics = {str(row["metric"]) for one in found for row in one.found.rows}
    return meanings({metric: [SHOWN_AS.get(metric, metric)] for metric in metrics})


def made(found: ImagesComparison, generated: str) -> Section:
    """What was compared with the images that people call `generated`, and by which code."""
    asked = {"real": found.real.name, "generated": generated, "space": found.space.title, "images a side": found.n}
    return of_now({**asked, "seed": found.seed})


def _losses(found: ImagesComparison) -> Figure:
    """How the losses of single images are spread on either side."""
    import pandas as pd

    figure = new_figure(8.0, 3.0)
    axis = figure.subplots()
    losses, frames = _losses_of(found), []
    edges = np.linspace(0, max(float(side.max()) for side in losses.values()) or 1, 41)
    for (side, values), colour in zip(losses.items(), PALETTE, strict=False):
        counts, _ = np.histogram(values.numpy(), edges)
        axis.stairs(counts, edges, color=colour, label=side)
        frames.append(pd.DataFrame({"side": side, "from": edges[:-1], "to": edges[1:], "images": counts}))
    bound = found.found.entanglement.bound
    axis.axvline(bound, color=GREY, linestyle=":", linewidth=1.2, label="cannot be told apart")
    axis.set(xlabel="loss of an image (nats)", ylabel="images")
    legend(axis)
    caption = "Losses of single images; their mean over both sides is the loss whose share of the bound is the score."
    return Figure("losses", caption, figure, pd.concat(frames))


def _entangled(found: ImagesComparison, side: str) -> Gallery:
    images = (found.real if side == "real" else found.generated).images
    losses = _losses_of(found)[side]
    order = losses.argsort(stable=True)
    rows = []
    for label, which in (("most entangled", order.flip(0)), ("least entangled", order)):
        shown = which[:SHOWN].tolist()
        rows.append(GalleryRow(label, [Picture(f"{float(losses[i]):.2f}", png(images[i].numpy())) for i in shown]))
    return Gallery(f"The {side} images that are most and least entangled with the others, each with its loss.", rows)


def _losses_of(found: ImagesComparison) -> dict[str, Tensor]:
    losses = found.found.entanglement.per_sample
    return {"real": losses[: found.n], "generated": losses[found.n :]}


def _classes(found: ImagesComparison) -> Figure:
    import pandas as pd

    predicted = found.predicted
    assert predicted is not None
    figure = new_figure(8.0, 2.8)
    axis = figure.subplots()
    places, frames = np.arange(predicted.classes), []
    sides = {"real": predicted.real, "generated": predicted.generated}
    for (side, choices), colour, aside in zip(sides.items(), PALETTE, (-0.2, 0.2), strict=False):
        shares = np.bincount(choices.numpy(), minlength=predicted.classes) / found.n
        axis.bar(places + aside, shares, 0.4, color=colour, label=side)
        frames.append(pd.DataFrame({"side": side, "class": places, "share": shares}))
    axis.set(xlabel="class", ylabel="share of images", xticks=places[:: 1 + predicted.classes // TICKS])
    legend(axis)
    return Figure("classes", "Share of each class among real and generated images.", figure, pd.concat(frames))


def _memorized(found: ImagesComparison) -> Section:
    near, trained = found.found.nearest, found.trained
    assert near is not None and trained is not None
    shown = near.order[:SHOWN].tolist()
    told = [_nearness(float(near.distance[i]), float(near.own[i])) for i in shown]
    generated = [Picture(text, png(found.generated.images[i].numpy())) for i, text in zip(shown, told, strict=True)]
    nearest = [Picture(f"number {int(near.position[i])}", png(trained[near.position[i]].numpy())) for i in shown]
    text = (
        "The generated images that are nearest to a training image, by their distance divided by that of the training "
        "image to its own nearest: up to 1 an image counts as memorised. A dash: that one is there twice. Held-out "
        "images have a share of memorised ones, too."
    )
    rows = [GalleryRow("generated", generated), GalleryRow("nearest training image", nearest)]
    return Section("Nearest training images", text, [Gallery("Most memorised first.", rows)])


def _nearness(distance: float, own: float) -> str:
    """A distance to a training image, divided by that of this to its own nearest, where it is no copy and there is one.

    A training image that is there twice is at distance 0 from its own nearest, and nothing is to be divided by.
    """
    if distance == 0:
        return "copy"
    return f"{distance / own:.2f}" if own else "-"
