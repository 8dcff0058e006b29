"""What the figures of reports have in common: their style, curves and values over seeds, and the data beside them."""

import math
from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from lab.reporting.statistics import ANY, Range, mean_interval
from lab.reporting.told import FIXED, tell

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing
    from matplotlib.transforms import Transform

NameT = TypeVar("NameT")
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, which the colour-blind can tell apart."""
GREY = "0.45"
"""Of what others are held against: controls, references."""
KIMG = "images shown (thousands)"
"""The label of an axis over training."""
BAND = "0.85"
WIDTH = 9.0
"""Of a page, in inches."""
NAMED = 0.13
"""Of the height of a low panel, what the name of a band takes."""

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "0.4",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.constrained_layout.h_pad": 0.09,
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
    return Drawing(figsize=(width, height), dpi=STYLE["savefig.dpi"], layout="constrained")  # laid out as it is saved


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
    """Each seed's values over a column, `kimg` or `step`, thin, and `mean_curve`, thick; nothing without rows."""
    for seed, one in rows.sort_values("step").groupby("seed"):
        values = factor * one["value"]
        (line,) = axis.plot(one[over], values, color=colour, alpha=0.35, linewidth=0.8)
        tell(line, label, f"seed {seed}{_samples(one)}", values, one[over], over)
    style: dict[str, Any] = {"linewidth": 1.8, "marker": marker, "markersize": 3}
    mean_curve(axis, rows.assign(value=factor * rows["value"]), over, colour, label, **style)


def mean_curve(axis: "Axes", rows: "pd.DataFrame", over: str, colour: str, label: str, **style: Any) -> None:
    """The mean over seeds at the places on a column that as many of them as at any have a value at.

    Elsewhere, as where one training was stopped and went on, it would jump to the values of a few.
    """
    known = rows.dropna(subset=["value"]).groupby(over)
    seeds, means = known["seed"].nunique(), known["value"].mean()
    if len(means):
        means = means[seeds == seeds.max()]
        (line,) = axis.plot(means.index, means, color=colour, label=label, **style)
        tell(line, label, f"mean of {seeds.max()} seeds", means, means.index, over)


def _samples(rows: "pd.DataFrame") -> str:
    """How many samples each of some values rests on, where that is known and the same."""
    known = {*rows["n"].dropna()} if "n" in rows else set()
    return f", n = {known.pop():.0f}" if len(known) == 1 else ""


def seed_dots(
    axis: "Axes",
    values: "pd.Series[float]",
    place: float,
    colour: str,
    label: str = "",
    *,
    aside: float,
    upright: bool,
    within: Range = ANY,
) -> None:
    """The mean with its interval at a place, and every seed's value `aside` of it; nothing without a value.

    Values, which can be `within` a range, go up, and places to the right; or, where they are not `upright`, the other
    way round. NaN are left out.
    """
    known = values.dropna()
    if known.empty:
        return
    found, beside = mean_interval(known, within=within), [place + aside] * len(known)
    spread = None if math.isnan(found.low) else [[found.value - found.low], [found.high - found.value]]
    dots, mean = ((beside, known), ([place], [found.value])) if upright else ((known, beside), ([found.value], [place]))
    tell(axis.scatter(dots[0], dots[1], s=20, alpha=0.4, linewidths=0, color=colour), label, "a seed", known)
    bar: dict[str, Any] = {"yerr" if upright else "xerr": spread}
    drawn = axis.errorbar(*mean, **bar, fmt="o", markersize=4.5, capsize=3, color=colour, label=label)
    middle, ends, bars = drawn
    tell(middle, label, f"mean of {found.n} seeds", [found.value])
    for part in (*ends, *bars):
        tell(part, label)


def named_band(axis: "Axes", values: "pd.Series[float]", name: str = "real against real") -> None:
    """The range of some values across the panel, and its name above it; nothing without a value.

    It comes after what the panel shows: the name is below the band where curves pass just above it and none below, and
    the panel is made higher where the name would reach its end. Where the scale is logarithmic and none is positive,
    their mean is written at the lower end.
    """
    if values.empty:
        return
    if axis.get_yscale() == "log" and values.max() <= 0:
        _name(axis, f"{name}: {values.mean():.1g}", (1.0, 0.0), axis.transAxes)
        return
    side = -1 if _passed(axis, values.max(), 1) and not _passed(axis, values.min(), -1) else 1
    edge = values.max() if side > 0 else values.min()
    axis.axhspan(values.min(), values.max(), color=BAND, zorder=1)
    axis.axhline(values.mean(), color=GREY, linewidth=0.8, zorder=1, label=name)
    _name(axis, name, (1.0, edge), axis.get_yaxis_transform(), side)
    _leave_room(axis, edge, side)


def _passed(axis: "Axes", edge: float, side: int) -> bool:
    """Whether a curve comes, in the right half, to where a name would be above (1) or below (-1) a value."""
    scale, middle = axis.yaxis.get_transform(), sum(axis.get_xlim()) / 2
    low, high, place = scale.transform([*axis.get_ylim(), edge])
    curves = [zip(*map(np.asarray, line.get_data()), strict=True) for line in axis.lines]
    heights = np.array([y for curve in curves for x, y in curve if x >= middle], float)
    away = side * (scale.transform(heights) - place)
    return any(0 < distance < NAMED * (high - low) for distance in away)


def _name(axis: "Axes", text: str, place: tuple[float, float], transform: "Transform", side: int = 1) -> None:
    """A few grey words just above (1) or below (-1) a place, at its right end."""
    where: dict[str, Any] = {"xytext": (0, 2 * side), "textcoords": "offset points", "ha": "right"}
    vertical = "bottom" if side > 0 else "top"
    said = axis.annotate(text, place, xycoords=transform, fontsize=7, color=GREY, va=vertical, **where)
    said.set(in_layout=False, annotation_clip=True)  # where the place is out of sight, so are they


def _leave_room(axis: "Axes", edge: float, side: int) -> None:
    """Move an end of a panel until a name fits beside a value; nothing where that is out of sight."""
    scale = axis.yaxis.get_transform()
    low, high, place = scale.transform([*axis.get_ylim(), edge])
    near, far = (low, high) if side > 0 else (high, low)
    needed = near + (place - near) / (1 - NAMED)
    if low <= place <= high and side * needed > side * far:
        end = float(scale.inverted().transform([needed])[0])
        axis.set_ylim(*((None, end) if side > 0 else (end, None)))


def logarithmic(axis: "Axes", which: Literal["x", "y"], *, steps: Sequence[float] = (1.0, 2.0, 5.0)) -> None:
    """A logarithmic axis with plain numbers at these multiples of the powers of ten; what is not positive is cut."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set(**{f"{which}scale": "log"})
    side = axis.yaxis if which == "y" else axis.xaxis
    side.set_major_locator(LogLocator(subs=steps))
    side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    side.set_minor_formatter(NullFormatter())


def write_on(axis: "Axes", row: int, column: int, text: str, *, dark: bool | None, fontsize: float) -> None:
    """Write on an entry of a matrix that is drawn as an image, which is dark or not, in any mode of the page.

    Where the page shows through it, dark is None.
    """
    colour, name = "white" if dark else "black", None if dark is None else FIXED
    axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=fontsize, gid=name)


def legend(axis: "Axes", **how: Any) -> None:
    """A legend of what is labelled, each label once; none where nothing is."""
    handles, labels = axis.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    if once:
        axis.legend(list(once.values()), list(once), **how)


def legend_above(drawing: "Drawing") -> None:
    """One legend for all panels, above them, of what the first one has labelled; none where nothing is."""
    handles, labels = drawing.axes[0].get_legend_handles_labels()
    if handles:
        drawing.legend(handles, labels, loc="outside upper center", ncols=4)


def plotted(rows: "pd.DataFrame") -> "pd.DataFrame":
    """The data beside a figure: its rows of the table, without their origin and the columns that are empty in all."""
    told = rows.drop(columns=["study", "cell"], errors="ignore")
    return told.loc[:, (told.notna() & (told != "")).any()] if len(told) else told
