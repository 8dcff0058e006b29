"""The figures of the report on layers: each draws from rows or matrices and keeps what it plots."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab.cells.rows import pick
from lab.reporting.fonts import labels
from lab.reporting.plots import (
    GREY,
    KIMG,
    colours,
    legend,
    new_figure,
    panels,
    plotted,
    seed_curves,
    side_by_side,
    write_on,
)
from lab.reporting.report import Figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLUMNS = 3
MAP = "viridis"
FEW_CLASSES = 20
"""Up to so many, classes are named at the axes."""


def curves(table: "pd.DataFrame", classifier: str, layers: Sequence[str], settings: Sequence[str]) -> Figure:
    """The score of each layer over training, a panel a layer, with every seed."""
    figure, axes = panels(len(layers), COLUMNS, 2.1, KIMG, "score")
    rows = pick(table, model=classifier, metric="entanglement")
    pixels = pick(rows, kind="reference", space="pixels")["value"]
    for axis, layer in zip(axes, layers, strict=True):
        if len(pixels):
            axis.axhline(pixels.mean(), color=GREY, linestyle=":", linewidth=1.2, label="pixels")
        _curves(axis, pick(rows, kind="layers", layer=layer), settings)
        axis.set_title(layer, loc="left")
        axis.set_ylim(-0.03, 1.03)
    legend(axes[0])
    caption = f"Entanglement of the classes in each layer of {classifier} over training, on held-out images."
    return Figure(f"layers-{classifier}", caption, figure, plotted(rows))


def heat_maps(table: "pd.DataFrame", classifier: str, layers: Sequence[str], settings: Sequence[str]) -> Figure:
    """The mean score over seeds, layer by time, a panel a setting."""
    figure = new_figure(9.0, 0.9 + 0.32 * len(layers))
    axes = figure.subplots(1, len(settings), squeeze=False, sharey=True)[0]
    rows = pick(table, kind="layers", model=classifier, metric="entanglement")
    image = None
    for axis, setting in zip(axes, settings, strict=True):
        means = pick(rows, setting=setting).pivot_table(index="layer", columns="kimg", values="value")
        means = means.reindex([layer for layer in layers if layer in means.index])
        image = axis.imshow(means, vmin=0, vmax=1, cmap=MAP, aspect="auto")
        for y, values in enumerate(means.to_numpy()):
            for x, value in enumerate(values):
                write_on(axis, y, x, f"{value:.2f}", dark=bool(value < 0.6), fontsize=6.5)
        axis.set_xticks(range(len(means.columns)), [f"{kimg:.3g}" for kimg in means.columns])
        axis.set_yticks(range(len(means)), list(means.index))
        axis.set_title(setting, loc="left")
        axis.set_xlabel(KIMG)
        axis.grid(visible=False)
    if image is not None:
        figure.colorbar(image, ax=list(axes), label="score")
    caption = f"Mean score over seeds of each layer of {classifier} (rows, from the images down to the logits) by time."
    return Figure(f"heat-map-{classifier}", caption, figure, plotted(rows))


def class_pairs(
    found: Sequence[Mapping[str, Any]], classifier: str, layers: Sequence[str], classes: Sequence[str]
) -> Figure:
    """The class-pair matrices of some layers early (the first epoch that was kept) and late, mean over seeds."""
    import numpy as np
    import pandas as pd
    from matplotlib.colors import PowerNorm

    names, epochs = [str(name) for name in found[0]["layers"]], found[0]["epochs"]
    mean = np.mean([one["class_pairs"] for one in found], axis=0)
    figure = new_figure(9.0, 6.2)
    grid = figure.subplots(2, len(layers), squeeze=False, sharex=True, sharey=True)
    data, image = [], None
    for row, time in zip(grid, (min(1, len(epochs) - 1), len(epochs) - 1), strict=True):
        for axis, layer in zip(row, layers, strict=True):
            matrix = mean[time, names.index(layer)]
            image = axis.imshow(matrix, norm=PowerNorm(0.5, 0, 1), cmap=MAP)
            axis.set_title(f"{layer}, epoch {epochs[time]}", loc="left")
            axis.grid(visible=False)
            data += [
                {"layer": layer, "epoch": int(epochs[time]), "of": a, "on": b, "mass": float(mass)}
                for (a, b), mass in np.ndenumerate(matrix)
            ]
    if len(classes) <= FEW_CLASSES:
        named = labels(classes)
        how: dict[str, Any] = {"fontsize": 7, "fontfamily": named.families, "parse_math": False}
        for axis in grid[-1]:
            axis.set_xticks(range(len(classes)), named.texts, rotation=90, **how)
        for row in grid:
            row[0].set_yticks(range(len(classes)), named.texts, **how)
    if image is not None:
        figure.colorbar(image, ax=list(grid.flat), label="softmax mass (square-root scale)")
    caption = (
        f"Which classes mix in {classifier} without SNNL, early and at the end: softmax mass of a row's images on a "
        "column's class, mean over seeds."
    )
    return Figure(f"class-pairs-{classifier}", caption, figure, pd.DataFrame(data))


def accuracy(table: "pd.DataFrame", classifiers: Sequence[str], settings: Sequence[str]) -> Figure:
    """Validation accuracy over the epochs, a panel a classifier."""
    figure = new_figure(9.0, 2.8)
    axes = side_by_side(figure, len(classifiers))
    rows = pick(table, kind="classifier", split="validation", metric="accuracy")
    for axis, classifier in zip(axes, classifiers, strict=True):
        _curves(axis, pick(rows, model=classifier), settings)
        axis.set_title(classifier, loc="left")
        axis.set_xlabel(KIMG)
    axes[0].set_ylabel("accuracy")
    legend(axes[0])
    caption = "Accuracy on validation images over training: seeds thin, their mean thick."
    return Figure("validation-accuracy", caption, figure, plotted(rows))


def _curves(axis: "Axes", rows: "pd.DataFrame", settings: Sequence[str]) -> None:
    """A measure over the training, in a colour a setting."""
    for setting, colour in colours(settings).items():
        seed_curves(axis, pick(rows, setting=setting), "kimg", colour, setting, marker="o")
