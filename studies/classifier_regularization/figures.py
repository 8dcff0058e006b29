"""The figures of the report on regularisation: each draws from rows of the table and keeps what it plots."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lab.cells.rows import pick
from lab.reporting.plots import KIMG, colours, legend, logarithmic, new_figure, plotted, seed_curves, seed_dots
from lab.reporting.report import Figure
from lab.reporting.statistics import PERCENT, POINTS, POSITIVE, SHARE, Range
from studies.classifier_regularization.effects import MARGIN, name_of, sign, tested

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

BASELINE = "0.35"
SEED = "0.75"
BAND = "0.92"
WORDS = {-1: "\nentangled", 0: "", 1: "\ndisentangled"}
"""What an alpha of a sign makes of the classes."""


def accuracy(table: "pd.DataFrame", imagesets: Sequence[str], settings: Mapping[float, str]) -> Figure:
    """Test accuracy of every seed by alpha, and its paired difference to the baseline; a row an image set."""
    figure, rows = _panels(imagesets)
    for images, (left, right) in rows.items():
        values = {alpha: 100 * tested(table, images, setting, "accuracy") for alpha, setting in settings.items()}
        _seeds(left, values, PERCENT)
        left.set(ylabel="test accuracy (%)")
        right.axhspan(-MARGIN, MARGIN, color=BAND, zorder=0)
        right.axhline(0, color=BASELINE, linewidth=0.8)
        _seeds(right, {alpha: own - values[0.0] for alpha, own in values.items()}, POINTS, skip=1)
        right.set(ylabel="minus baseline (points)")
        right.set_title("paired by seed", loc="left")
    caption = "Accuracy on the test split at the end of training, by alpha: every seed, mean and 95% interval."
    return Figure("accuracy", caption, figure, _tested(table, imagesets, ["accuracy"]))


def calibration(table: "pd.DataFrame", imagesets: Sequence[str], settings: Mapping[float, str]) -> Figure:
    """NLL and ECE of every seed by alpha; a row an image set."""
    figure, rows = _panels(imagesets)
    for images, axes in rows.items():
        for axis, (metric, within) in zip(axes, {"nll": POSITIVE, "ece": SHARE}.items(), strict=True):
            values = {alpha: tested(table, images, setting, metric) for alpha, setting in settings.items()}
            _seeds(axis, values, within)
            axis.set(ylabel=f"test {metric.upper()}")
    caption = "Calibration on the test split at the end of training, by alpha: every seed, mean and 95% interval."
    return Figure("calibration", caption, figure, _tested(table, imagesets, ["nll", "ece"]))


def training(table: "pd.DataFrame", imagesets: Sequence[str], settings: Mapping[float, str]) -> Figure:
    """Cross-entropy on the train split and accuracy on the validation part over training; a row an image set."""
    figure, rows = _panels(imagesets)
    for images, (left, right) in rows.items():
        for alpha, colour in _colours(settings).items():
            own, label = pick(table, imageset=images, setting=settings[alpha]), name_of(alpha)
            losses, shares = pick(own, kind="training", metric="cross_entropy"), pick(own, split="validation")
            seed_curves(left, losses, "kimg", colour, label)
            seed_curves(right, pick(shares, metric="accuracy"), "kimg", colour, label, factor=100)
        logarithmic(left, "y")
        left.set(ylabel="cross-entropy (train)", xlabel=KIMG)
        right.set(ylabel="validation accuracy (%)", xlabel=KIMG)
    legend(rows[imagesets[0]][0], title="alpha")
    shown = table[table["imageset"].isin(list(imagesets)) & table["metric"].isin(["cross_entropy", "accuracy"])]
    caption = "Cross-entropy on the train split and accuracy on the validation part over training."
    return Figure("training", caption, figure, plotted(shown[shown["split"] != "test"]))


def _panels(imagesets: Sequence[str]) -> "tuple[Drawing, dict[str, tuple[Axes, Axes]]]":
    """A figure with two axes for each image set, whose name is above the left one."""
    figure = new_figure(9.0, 3.1 * len(imagesets))
    axes = figure.subplots(len(imagesets), 2, squeeze=False)
    for images, (left, _) in zip(imagesets, axes, strict=True):
        left.set_title(images, loc="left")
    return figure, {images: (left, right) for images, (left, right) in zip(imagesets, axes, strict=True)}


def _seeds(axis: "Axes", values: "Mapping[float, pd.Series[float]]", within: Range, skip: int = 0) -> None:
    """Each alpha's values but the first `skip` as dots, a line for each seed, and the mean with its interval."""
    import pandas as pd

    joined = pd.DataFrame(dict(list(values.items())[skip:]))
    for _, one in joined.iterrows():
        axis.plot(range(len(one)), one, color=SEED, linewidth=0.7, zorder=1)
    palette = _colours(values)
    for place, alpha in enumerate(joined):
        seed_dots(axis, joined[alpha], place + 0.14, palette[alpha], aside=-0.14, upright=True, within=within)
    names = [f"{name_of(alpha)}{WORDS[sign(alpha)]}" for alpha in joined]
    axis.set_xticks(range(len(names)), names)
    axis.set(xlabel="alpha", xlim=(-0.4, len(names) - 0.6))


def _colours(alphas: "Mapping[float, object]") -> dict[float, str]:
    """A colour for each alpha, grey for the baseline."""
    return {0.0: BASELINE, **colours(alpha for alpha in alphas if alpha)}


def _tested(table: "pd.DataFrame", imagesets: Sequence[str], metrics: Sequence[str]) -> "pd.DataFrame":
    rows = pick(table, kind="classifier", split="test")
    return plotted(rows[rows["imageset"].isin(list(imagesets)) & rows["metric"].isin(list(metrics))])
