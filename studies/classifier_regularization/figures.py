"""The figures of the report on regularisation: each draws from rows of the table and keeps what it plots."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lab.cells.rows import pick
from lab.reporting.report import PALETTE, Figure, new_figure
from lab.reporting.statistics import mean_interval
from studies.classifier_regularization.recipe import MARGIN
from studies.classifier_regularization.table import by_seed, name_of, of_alpha

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

BASELINE = "0.35"
SEED = "0.75"
BAND = "0.92"
WORDS = {-1: "\nentangled", 0: "", 1: "\ndisentangled"}
"""What an alpha of a sign makes of the classes."""


def accuracy(table: "pd.DataFrame", imagesets: Sequence[str], alphas: Sequence[float]) -> Figure:
    """Test accuracy of every seed by alpha, and its paired difference to the baseline; a row an image set."""
    figure = new_figure(9.0, 3.1 * len(imagesets))
    axes = figure.subplots(len(imagesets), 2, squeeze=False)
    for (left, right), images in zip(axes, imagesets, strict=True):
        values = {alpha: 100 * by_seed(table, "accuracy", images, alpha) for alpha in alphas}
        _seeds(left, values)
        left.set(ylabel="test accuracy (%)")
        left.set_title(images, loc="left")
        right.axhspan(-MARGIN, MARGIN, color=BAND, zorder=0)
        right.axhline(0, color=BASELINE, linewidth=0.8)
        _seeds(right, {alpha: values[alpha] - values[0.0] for alpha in alphas if alpha}, first=1)
        right.set(ylabel="minus baseline (points)")
        right.set_title("paired by seed", loc="left")
    caption = "Accuracy on the test split at the end of training, by alpha: every seed, mean and 95% interval."
    return Figure("accuracy", caption, figure, _plotted(table, imagesets, ("accuracy",)))


def calibration(table: "pd.DataFrame", imagesets: Sequence[str], alphas: Sequence[float]) -> Figure:
    """NLL and ECE of every seed by alpha; a row an image set."""
    figure = new_figure(9.0, 3.1 * len(imagesets))
    axes = figure.subplots(len(imagesets), 2, squeeze=False)
    for row, images in zip(axes, imagesets, strict=True):
        for axis, metric in zip(row, ("nll", "ece"), strict=True):
            _seeds(axis, {alpha: by_seed(table, metric, images, alpha) for alpha in alphas})
            axis.set(ylabel=f"test {metric.upper()}")
        row[0].set_title(images, loc="left")
    caption = "Calibration on the test split at the end of training, by alpha: every seed, mean and 95% interval."
    return Figure("calibration", caption, figure, _plotted(table, imagesets, ("nll", "ece")))


def training(table: "pd.DataFrame", imagesets: Sequence[str], alphas: Sequence[float]) -> Figure:
    """Cross-entropy on the train split and accuracy on the validation part over training; a row an image set."""
    figure = new_figure(9.0, 3.1 * len(imagesets))
    axes = figure.subplots(len(imagesets), 2, squeeze=False)
    for row, images in zip(axes, imagesets, strict=True):
        for index, alpha in enumerate(alphas):
            rows = of_alpha(table, images, alpha)
            _curve(row[0], pick(rows, kind="training", metric="cross_entropy"), index, alpha)
            _curve(row[1], pick(rows, split="validation", metric="accuracy"), index, alpha, factor=100)
        row[0].set(ylabel="cross-entropy (train)", yscale="log", xlabel="training (kimg)")
        row[0].yaxis.set_major_formatter("{x:g}")
        row[1].set(ylabel="validation accuracy (%)", xlabel="training (kimg)")
        row[0].set_title(images, loc="left")
    axes[0][0].legend(frameon=False, title="alpha")
    rows = table[table["imageset"].isin(list(imagesets)) & table["metric"].isin(["cross_entropy", "accuracy"])]
    caption = "Cross-entropy on the train split and accuracy on the validation part over training."
    return Figure("training", caption, figure, _columns(rows[rows["split"] != "test"]))


def _seeds(axis: "Axes", values: "dict[float, pd.Series[float]]", first: int = 0) -> None:
    """Each alpha's values as dots, a line for each seed, and the mean with its interval."""
    import pandas as pd

    joined = pd.DataFrame(values)
    for _, one in joined.iterrows():
        axis.plot(range(len(values)), one, color=SEED, linewidth=0.7, zorder=1)
    for place, own in enumerate(values.values()):
        known, colour = own.dropna(), _colour(place + first)
        axis.scatter([place] * len(known), known, s=18, color=colour, alpha=0.5, linewidths=0, zorder=2)
        if len(known):
            found = mean_interval(known)
            spread = [[found.value - found.low], [found.high - found.value]] if found.n > 1 else None
            axis.errorbar([place + 0.14], [found.value], yerr=spread, fmt="o", markersize=5, color=colour, capsize=3)
    axis.set_xticks(range(len(values)), [f"{name_of(alpha)}{WORDS[(alpha > 0) - (alpha < 0)]}" for alpha in values])
    axis.set(xlabel="alpha", xlim=(-0.4, len(values) - 0.6))


def _curve(axis: "Axes", rows: "pd.DataFrame", index: int, alpha: float, factor: float = 1) -> None:
    for _, one in rows.sort_values("step").groupby("seed"):
        axis.plot(one["kimg"], factor * one["value"], color=_colour(index), alpha=0.3, linewidth=0.7)
    mean: Any = factor * rows.groupby("kimg")["value"].mean()
    axis.plot(mean.index, mean, color=_colour(index), linewidth=1.6, label=name_of(alpha))


def _colour(index: int) -> str:
    return BASELINE if index == 0 else PALETTE[(index - 1) % len(PALETTE)]


def _plotted(table: "pd.DataFrame", imagesets: Sequence[str], metrics: Sequence[str]) -> "pd.DataFrame":
    rows = pick(table, kind="classifier", split="test")
    return _columns(rows[rows["imageset"].isin(list(imagesets)) & rows["metric"].isin(list(metrics))])


def _columns(rows: "pd.DataFrame") -> "pd.DataFrame":
    return rows[["model", "imageset", "setting", "seed", "kimg", "step", "split", "metric", "value", "n"]]
