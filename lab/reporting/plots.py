"""What the figures of reports have in common: their style, curves and values over seeds, and the data beside them."""

import math
from collections.abc import Iterable
from itertools import cycle
from typing import TYPE_CHECKING, Any, TypeVar

from lab.reporting.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

NameT = TypeVar("NameT")
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, which the colour-blind can tell apart."""
GREY = "0.45"
"""Of what others are held against: controls, references."""
KIMG = "training (kimg)"
"""The label of an axis: thousands of images shown."""
WIDTH = 9.0
"""Of a page, in inches."""

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "0.4",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "font.size": 9,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "savefig.dpi": 150,
    "svg.fonttype": "path",
    "svg.hashsalt": "snnl",
    "text.parse_math": False,  # a class may be called $x$; a logarithmic axis needs a plain formatter
}


def new_figure(width: float, height: float) -> "Drawing":
    """An empty drawing of that many inches in the reports' style, without global state."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Drawing

    # Set for good, not within a context: drawing and saving read it again later.
    mpl.rcParams.update(STYLE)  # type: ignore[arg-type]
    return Drawing(figsize=(width, height), layout="constrained")


def panels(
    count: int, columns: int, height: float, xlabel: str, ylabel: str = "", *, sharey: bool = True
) -> "tuple[Drawing, list[Axes]]":
    """A drawing of `count` panels with the same x axis, row by row, and the panels; each row is `height` inches high.

    The lowest panel of each column has the label and the ticks of x, where the last row is not full, too.
    """
    rows = math.ceil(count / columns)
    drawing = new_figure(WIDTH, 0.5 + height * rows)
    grid = drawing.subplots(rows, columns, squeeze=False, sharex=True, sharey=sharey)
    for place, axis in enumerate(grid.flat):
        axis.set_visible(place < count)
        if place + columns >= count:
            axis.set_xlabel(xlabel)
            axis.tick_params(labelbottom=True)
    for row in grid:
        row[0].set_ylabel(ylabel)
    return drawing, list(grid.flat[:count])


def side_by_side(drawing: "Drawing", count: int, *, sharey: bool = True) -> "list[Axes]":
    """A row of panels in a drawing; one alone takes half of it."""
    axes = list(drawing.subplots(1, max(2, count), squeeze=False, sharey=sharey)[0])
    for axis in axes[count:]:
        axis.set_visible(False)
    return axes[:count]


def colours(names: Iterable[NameT]) -> dict[NameT, str]:
    """A colour for each of the things that are shown, in their order."""
    return dict(zip(names, cycle(PALETTE), strict=False))


def seed_curves(
    axis: "Axes", rows: "pd.DataFrame", over: str, colour: str, label: str, *, factor: float = 1.0, marker: str = ""
) -> None:
    """Each seed's values over a column, `kimg` or `step`, thin, and their mean, thick; nothing where there are none."""
    for _, one in rows.sort_values("step").groupby("seed"):
        axis.plot(one[over], factor * one["value"], color=colour, alpha=0.35, linewidth=0.8)
    mean = factor * rows.groupby(over)["value"].mean()
    if len(mean):
        axis.plot(mean.index, mean, color=colour, linewidth=1.8, marker=marker, markersize=3, label=label)


def seed_dots(
    axis: "Axes", values: "pd.Series[float]", place: float, colour: str, label: str = "", *, aside: float, upright: bool
) -> None:
    """The mean with its interval at a place, and every seed's value `aside` of it; nothing without a value.

    Values go up, and places to the right; or, where they are not `upright`, the other way round. NaN are left out.
    """
    known = values.dropna()
    if known.empty:
        return
    found, beside = mean_interval(known), [place + aside] * len(known)
    spread = [[found.value - found.low], [found.high - found.value]] if found.n > 1 else None
    dots, mean = ((beside, known), ([place], [found.value])) if upright else ((known, beside), ([found.value], [place]))
    axis.scatter(dots[0], dots[1], s=20, alpha=0.4, linewidths=0, color=colour)
    bar: dict[str, Any] = {"yerr" if upright else "xerr": spread}
    axis.errorbar(*mean, **bar, fmt="o", markersize=4.5, capsize=3, color=colour, label=label)


def legend(axis: "Axes", **how: Any) -> None:
    """A legend of what is labelled, each label once; none where nothing is."""
    handles, labels = axis.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    if once:
        axis.legend(list(once.values()), list(once), **how)


def plotted(rows: "pd.DataFrame") -> "pd.DataFrame":
    """The data beside a figure: its rows of the table, without their origin and the columns that are empty in all."""
    told = rows.drop(columns=["study", "cell"], errors="ignore")
    return told.loc[:, (told.notna() & (told != "")).any()] if len(told) else told
