"""The figures of the report on points in the plane: each draws from frames or rows and keeps what it plots."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lab.cells.rows import pick
from lab.reporting.plots import GREY, PALETTE, legend, new_figure, plotted, seed_curves
from lab.reporting.report import Figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MARKERS = ("o", "x")
"""Of a class's first and second mode."""
SIDE = 2.15
"""Half a picture's side: the disk that the points stay in has radius 2."""


def pictures(key: str, names: Mapping[str, tuple[str, str]], frames: Mapping[str, Any], caption: str) -> Figure:
    """The points of some descents over the steps, first seed: one row a descent, one column a frame."""
    import pandas as pd

    steps, classes = frames["steps"], int(frames["classes"])
    figure = new_figure(1.8 * len(steps), 1.95 * len(names))
    grid = figure.subplots(len(names), len(steps), squeeze=False)
    data = []
    for row, (name, title) in zip(grid, names.items(), strict=True):
        which = frames[f"{name}/modes"]
        for axis, step, points in zip(row, steps, frames[name], strict=True):
            _picture(axis, points, which, classes)
            axis.set_title(f"step {step}", loc="left", fontsize=8.5)
            about = {"setting": name, "step": step, "class": which % classes, "mode": which // classes}
            data.append(pd.DataFrame(points, columns=["x", "y"]).assign(**about))
        row[0].set_ylabel(",\n".join(title))
    return Figure(key, caption, figure, pd.concat(data))


def scores(table: "pd.DataFrame", names: Mapping[str, tuple[str, str]]) -> Figure:
    """The score and the share of nearest neighbours of the own class, of every descent over its steps."""
    figure = new_figure(9.0, 5.6)
    grid = figure.subplots(2, len(names), sharex=True, sharey="row")
    metrics = {"entanglement": "score", "one_nn_accuracy": "own nearest neighbours"}
    for row, (metric, word) in zip(grid, metrics.items(), strict=True):
        for axis, name in zip(row, names, strict=True):
            _curves(axis, pick(table, kind="toy", setting=name, metric=metric), PALETTE[0], word)
            control = pick(table, kind="control", setting=name, metric=metric).groupby("step")["value"].mean()
            axis.plot(control.index, control, color=GREY, linestyle=":", linewidth=1.2)
            axis.set_ylim(-0.04, 1.06)
        row[0].set_ylabel(word)
    for top, bottom, title in zip(*grid, names.values(), strict=True):
        top.set_title(",\n".join(title), loc="left")
        bottom.set_xlabel("step")
    caption = "Score above, share of points whose nearest neighbour is of their class below. Dotted: shuffled labels."
    return Figure("scores", caption, figure, plotted(table[table["metric"].isin(list(metrics))]))


def mode_distances(table: "pd.DataFrame", names: Mapping[str, tuple[str, str]]) -> Figure:
    """The distance between the modes of a class over the steps, in descents that have two."""
    figure = new_figure(5.4, 3.4)
    axis = figure.subplots()
    rows = pick(table, kind="toy", metric="mode_distance")
    for (name, title), colour in zip(names.items(), PALETTE, strict=False):
        _curves(axis, pick(rows, setting=name), colour, title[1])
    axis.set(xlabel="step", ylabel="distance between modes")
    axis.set_ylim(bottom=0)
    legend(axis)
    caption = (
        "Distance between the centres of a class's two modes, in root mean squared distances between points: seeds "
        "thin, their mean thick."
    )
    return Figure("mode-distances", caption, figure, plotted(rows))


def _curves(axis: "Axes", rows: "pd.DataFrame", colour: str, label: str) -> None:
    """Curves over the steps, which are spaced as the measurements are: what happens, happens early."""
    import numpy as np

    seed_curves(axis, rows, "step", colour, label)
    axis.set_xscale("function", functions=(lambda step: np.sqrt(np.maximum(step, 0)), np.square))
    axis.set_xlim(0, rows["step"].max())


def _picture(axis: "Axes", points: Any, modes: Any, classes: int) -> None:
    """Points (n, 2) in the colours of their classes; the second modes as crosses."""
    for mode in range(int(modes.max()) + 1):
        second = mode >= classes
        size, width = (11, 0.8) if second else (8, 0)
        style: dict[str, Any] = {"s": size, "linewidths": width, "marker": MARKERS[second], "alpha": 0.85}
        axis.scatter(*points[modes == mode].T, color=PALETTE[mode % classes], **style)
    axis.set(xticks=[], yticks=[], aspect="equal", xlim=(-SIDE, SIDE), ylim=(-SIDE, SIDE))
