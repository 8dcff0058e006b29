"""Figures of studies that compare GANs by every measure, from rows whose `model` tells what is compared."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lab.cells.rows import joined, pick
from lab.reporting.plots import (
    GREY,
    KIMG,
    colours,
    legend_above,
    logarithmic,
    named_band,
    new_figure,
    panels,
    plotted,
    seed_curves,
    side_by_side,
    write_on,
)
from lab.reporting.ranks import Agreement
from lab.reporting.report import Figure
from studies._measures import ENTANGLED, FID, GENERATED, MEASURES, REAL, Measure, floor_of, floor_rows, mean_floor

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LOGARITHMIC = ("fid", "kid", "sliced_wasserstein", "vendi")
"""Of untrained generators they are many times what they come to."""


def curves(table: "pd.DataFrame", names: Sequence[str], space: str, title: str) -> Figure:
    """Every measure over training."""
    shown = [measure for measure in MEASURES if len(measure.rows(table, space))]
    figure, axes = panels(len(shown), 4, 1.9, KIMG, sharey=False)
    for axis, measure in zip(axes, shown, strict=True):
        _scale(axis, measure)
        _curves(axis, measure.rows(table, space), names, "kimg")
        named_band(axis, floor_of(measure, table, space))
        axis.set_title(measure.name, loc="left")
    legend_above(figure)
    caption = f"Measures over training, {title}: seeds thin, their mean thick; the band is real against real."
    return Figure(f"curves-{title}", caption, figure, _with_floors(table, [(one, space) for one in shown]))


def over_minutes(
    table: "pd.DataFrame", names: Sequence[str], spaces: dict[str, str], paces: dict[str, float]
) -> Figure:
    """Joint entanglement and FID over the minutes of training, from the minutes that each GAN takes for a kimg."""
    figure = new_figure(9.0, 0.4 + 2.8 * len(spaces))
    grid, data = figure.subplots(len(spaces), 2, squeeze=False, sharex=True), []
    for row, (title, space) in zip(grid, spaces.items(), strict=True):
        for axis, measure in zip(row, (ENTANGLED, FID), strict=True):
            rows = measure.rows(table, space)
            timed = rows.assign(minutes=rows["kimg"] * rows["model"].map(paces))
            data += [timed, floor_rows(measure, table, space)]
            _scale(axis, measure)
            _curves(axis, timed, names, "minutes")
            named_band(axis, floor_of(measure, table, space))
            axis.set_title(f"{measure.name}, {title}", loc="left")
    for axis in grid[-1]:
        axis.set_xlabel("training (minutes)")
    legend_above(figure)
    caption = "The same over the minutes of training, at the mean pace of each GAN's trainings on this machine."
    return Figure("over-minutes", caption, figure, plotted(joined(data)))


def sides(table: "pd.DataFrame", names: Sequence[str], spaces: dict[str, str]) -> Figure:
    """The generated side against the real side at the end, every seed a dot."""
    figure = new_figure(9.0, 4.2)
    axes = side_by_side(figure, len(spaces))
    for axis, (title, space) in zip(axes, spaces.items(), strict=True):
        across_of, up_of = (side.ends(table, space, names) for side in (GENERATED, REAL))
        for name, colour in colours(names).items():
            across, up = across_of[name], up_of[name]
            axis.scatter(across, up.reindex(across.index), color=colour, s=34, alpha=0.8, linewidths=0, label=name)
        held = [mean_floor(side, table, space) for side in (GENERATED, REAL)]
        axis.scatter(held[0], held[1], marker="+", s=90, color=GREY, label="real against real")
        axis.set(xlabel="generated side", xlim=(-0.03, 1.06), ylim=(-0.03, 1.06))
        axis.set_title(title, loc="left")
    axes[0].set_ylabel("real side")
    legend_above(figure)
    caption = "Both sides at the end of training, every seed: samples near the data to the right, data reached on top."
    shown = [(side, space) for space in spaces.values() for side in (GENERATED, REAL)]
    return Figure("sides", caption, figure, _with_floors(table, shown))


def places(table: "pd.DataFrame", names: Sequence[str], spaces: dict[str, str]) -> Figure:
    """The place of each GAN by each measure at the end of training."""
    figure = new_figure(9.0, 0.9 + (0.5 + 0.32 * len(names)) * len(spaces))
    frames = []
    for axis, (title, space) in zip(figure.subplots(len(spaces), 1, squeeze=False)[:, 0], spaces.items(), strict=True):
        shown = [measure for measure in MEASURES if len(measure.rows(table, space))]
        ordered = [one for one in shown if one.has_best(mean_floor(one, table, space))]
        ranks = np.array([_places(measure, table, space, names) for measure in ordered]).T
        axis.imshow(ranks, cmap="Blues_r", vmin=1, vmax=len(names) + 1, aspect="auto")
        for (row, column), rank in np.ndenumerate(ranks):
            written = "-" if np.isnan(rank) else f"{rank:.0f}"
            write_on(axis, row, column, written, dark=bool(rank < 1 + len(names) / 2), fontsize=8)
        axis.set_yticks(range(len(names)), names)
        labels = [measure.name for measure in ordered]
        axis.set_xticks(range(len(labels)), labels, rotation=25, ha="right", fontsize=7.5)
        axis.grid(visible=False)
        axis.set_title(title, loc="left")
        frames.append(_frame(ranks, names, labels, space))
    caption = "Place of each GAN by the mean over seeds of each measure at the end of training; 1 is the best."
    return Figure("places", caption, figure, joined(frames))


def agreements(found: dict[str, Agreement]) -> Figure:
    """Kendall's tau of every pair of measures."""
    figure = new_figure(9.0, 4.9)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    axes, frames = side_by_side(figure, len(found), sharey=False), []
    for axis, (title, one) in zip(axes, found.items(), strict=True):
        image = axis.imshow(one.tau, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        for (row, column), tau in np.ndenumerate(one.tau):
            if row > column and not np.isnan(tau):
                write_on(axis, row, column, f"{tau:.1f}".replace("-0.0", "0.0"), dark=bool(abs(tau) > 0.6), fontsize=6)
        axis.set_yticks(range(len(one.names)), one.names, fontsize=7.5)
        axis.set_xticks(range(len(one.names)), one.names, rotation=90, fontsize=7.5)
        axis.grid(visible=False)
        axis.set_title(title, loc="left")
        frames.append(_frame(one.tau, one.names, one.names, title))
    figure.colorbar(image, ax=axes, shrink=0.6, label="Kendall's tau")
    caption = "How far measures order checkpoints alike, each turned so that more is better: 1 is the same order."
    return Figure("agreement", caption, figure, joined(frames))


def _curves(axis: "Axes", rows: "pd.DataFrame", names: Sequence[str], over: str) -> None:
    for name, colour in colours(names).items():
        seed_curves(axis, pick(rows, model=name), over, colour, name)


def _with_floors(table: "pd.DataFrame", shown: "Sequence[tuple[Measure, str]]") -> "pd.DataFrame":
    """The data beside a figure of some measures in some spaces, and of what real images give in their place."""
    found = (find for one, space in shown for find in (one.rows(table, space), floor_rows(one, table, space)))
    return plotted(joined(found))


def _scale(axis: "Axes", measure: Measure) -> None:
    if measure.metric in LOGARITHMIC:
        logarithmic(axis, "y", steps=(1.0, 3.0))


def _places(measure: Measure, table: "pd.DataFrame", space: str, names: Sequence[str]) -> list[float]:
    """The place of each by its mean over seeds at the end; NaN where there is none."""
    import pandas as pd

    means = pd.Series([values.mean() for values in measure.ends(table, space, names).values()])
    merits = measure.merit(means, mean_floor(measure, table, space))
    return [*merits.rank(method="min", ascending=False)]


def _frame(values: "np.ndarray", rows: Sequence[str], columns: Sequence[str], space: str) -> "pd.DataFrame":
    """A matrix as the data beside a figure: a row for each entry."""
    import pandas as pd

    entries = pd.DataFrame(values, index=list(rows), columns=list(columns)).stack(future_stack=True)
    return entries.rename_axis(["row", "column"]).rename("value").reset_index().assign(space=space)
