"""The figures of the report on points in the plane: each draws from frames or rows and keeps what it plots."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab.cells.rows import pick
from lab.reporting.report import PALETTE, Figure, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

CONTROL = "0.45"
MARKERS = ("o", "x")
"""Of a class's first and second mode."""
SIDE = 2.15
"""Half a picture's side: the disk that the points stay in has radius 2."""


def sequence(frames: Mapping[str, Any], names: Mapping[str, str]) -> Figure:
    """The points of the descents with one mode a class, first seed, over the steps."""
    shown = [name for name in names if not name.startswith("modes")]
    caption = "Points in the plane as the loss is minimised or maximised (first seed); colours are classes."
    return _pictures("descents", caption, frames, names, shown)


def modes(frames: Mapping[str, Any], names: Mapping[str, str]) -> Figure:
    """The points of the descents with two modes a class, first seed, over the steps."""
    shown = [name for name in names if name.startswith("modes")]
    caption = "Classes of two modes (disks and crosses) under both losses (first seed); colours are classes."
    return _pictures("modes", caption, frames, names, shown)


def scores(table: "pd.DataFrame", names: Mapping[str, str]) -> Figure:
    """The score and the share of nearest neighbours of the own class, of every descent over its steps."""
    figure = new_figure(9.0, 5.6)
    grid = figure.subplots(2, len(names), sharex=True, sharey="row")
    metrics = (("entanglement", "score"), ("one_nn_accuracy", "own nearest neighbours"))
    for row, (metric, word) in zip(grid, metrics, strict=True):
        for axis, (name, title) in zip(row, names.items(), strict=True):
            curves(axis, pick(table, kind="toy", setting=name, metric=metric), PALETTE[0], word)
            control = pick(table, kind="control", setting=name, metric=metric).groupby("step")["value"].mean()
            axis.plot(control.index, control, color=CONTROL, linestyle=":", linewidth=1.2)
            axis.set_ylim(-0.04, 1.06)
            if metric == "entanglement":
                axis.set_title(title.replace(", ", ",\n"), loc="left")
        row[0].set_ylabel(word)
    for axis in grid[1]:
        axis.set_xlabel("step")
    caption = "Score above, share of points whose nearest neighbour is of their class below. Dotted: shuffled labels."
    rows = table[table["metric"].isin([metric for metric, _ in metrics])]
    return Figure("scores", caption, figure, _plotted(rows))


def mode_distances(table: "pd.DataFrame", names: Mapping[str, str]) -> Figure:
    """The distance between the modes of a class over the steps, under both losses."""
    figure = new_figure(5.4, 3.4)
    axis = figure.subplots()
    rows = pick(table, kind="toy", metric="mode_distance")
    for index, name in enumerate(name for name in names if name.startswith("modes")):
        curves(axis, pick(rows, setting=name), PALETTE[index], names[name].rpartition(", ")[2])
    axis.set(xlabel="step", ylabel="distance between modes")
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False)
    caption = (
        "Distance between the centres of a class's two modes, in root mean squared distances between points: seeds "
        "thin, their mean thick."
    )
    return Figure("mode-distances", caption, figure, _plotted(rows))


def curves(axis: "Axes", rows: "pd.DataFrame", colour: str, label: str) -> None:
    """Each seed's values over the steps, thin, and their mean, thick."""
    import numpy as np

    for _, one in rows.sort_values("step").groupby("seed"):
        axis.plot(one["step"], one["value"], color=colour, alpha=0.35, linewidth=0.8)
    mean = rows.groupby("step")["value"].mean()
    axis.plot(mean.index, mean, color=colour, linewidth=2, label=label)
    # As the measurements are spaced: what happens, happens early.
    axis.set_xscale("function", functions=(lambda step: np.sqrt(np.maximum(step, 0)), np.square))
    axis.set_xlim(0, rows["step"].max())


def _pictures(
    key: str, caption: str, frames: Mapping[str, Any], names: Mapping[str, str], shown: Sequence[str]
) -> Figure:
    """One row a descent, one column a frame."""
    import pandas as pd

    steps, classes = frames["steps"], int(frames["classes"])
    figure = new_figure(1.8 * len(steps), 1.95 * len(shown))
    grid = figure.subplots(len(shown), len(steps), squeeze=False)
    data = []
    for row, name in zip(grid, shown, strict=True):
        which = frames[f"{name}/modes"]
        for axis, step, points in zip(row, steps, frames[name], strict=True):
            for mode in range(int(which.max()) + 1):
                own, second = points[which == mode], mode >= classes
                axis.scatter(
                    own[:, 0],
                    own[:, 1],
                    s=11 if second else 8,
                    marker=MARKERS[second],
                    color=PALETTE[mode % classes],
                    linewidths=0.8 if second else 0,
                    alpha=0.85,
                )
            axis.set(xticks=[], yticks=[], aspect="equal", xlim=(-SIDE, SIDE), ylim=(-SIDE, SIDE))
            axis.set_title(f"step {step}", loc="left", fontsize=8.5)
            about = {"setting": name, "step": step, "class": which % classes, "mode": which // classes}
            data.append(pd.DataFrame(points, columns=["x", "y"]).assign(**about))
        row[0].set_ylabel(names[name].replace(", ", ",\n"))
    return Figure(key, caption, figure, pd.concat(data))


def _plotted(rows: "pd.DataFrame") -> "pd.DataFrame":
    return rows[["kind", "seed", "step", "setting", "metric", "value", "n"]]
