"""The figures of the report on GANs and entanglement: each draws from rows of the table and keeps what it plots."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lab.cells.rows import pick
from lab.reporting.report import PALETTE, Figure, new_figure
from lab.reporting.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

NOISE = "0.45"
BAND = "0.85"


def over_training(table: "pd.DataFrame", gans: Sequence[str]) -> Figure:
    """The joint score against held-out images, over kimg and over generator steps."""
    figure = new_figure(9.0, 3.6)
    axes = figure.subplots(1, 2, sharey=True)
    rows = pick(table, kind="gan", split="test", side="joint", metric="entanglement", group="")
    for axis, over in zip(axes, ("kimg", "step"), strict=True):
        _curves(axis, rows, gans, over)
        _references(axis, table, "joint", "entanglement")
    axes[0].set(xlabel="training (kimg)", ylabel="joint entanglement")
    axes[1].set_xlabel("generator steps")
    axes[0].legend(frameon=False)
    caption = "Joint entanglement of real and generated images over training, by images shown and by generator step."
    return Figure("entanglement-over-training", caption, figure, _plotted(rows))


def sides(table: "pd.DataFrame", gans: Sequence[str]) -> Figure:
    """Both sides' scores and 1-NN accuracies over training."""
    figure = new_figure(9.0, 6.4)
    axes = figure.subplots(2, 2, sharex=True, sharey="row")
    rows = pick(table, kind="gan", split="test", group="")
    for row, (metric, name) in enumerate((("entanglement", "entanglement"), ("one_nn_accuracy", "1-NN accuracy"))):
        for column, side in enumerate(("generated", "real")):
            axis = axes[row][column]
            _curves(axis, pick(rows, side=side, metric=metric), gans, "kimg")
            _references(axis, table, side, metric)
            axis.set_title(f"{side} side", loc="left")
        axes[row][0].set_ylabel(name)
    for axis in axes[1]:
        axis.set_xlabel("training (kimg)")
    axes[0][0].legend(frameon=False)
    shown = rows[rows["side"].isin(["generated", "real"]) & rows["metric"].isin(["entanglement", "one_nn_accuracy"])]
    caption = (
        "The generated and the real side over training, against held-out images: score above, 1-NN accuracy below."
    )
    return Figure("sides-over-training", caption, figure, _plotted(shown))


def splits(table: "pd.DataFrame", gans: Sequence[str]) -> Figure:
    """The joint score against held-out and against training images."""
    figure = new_figure(9.0, 3.4)
    axes = figure.subplots(1, 2, sharey=True)
    rows = pick(table, kind="gan", side="joint", metric="entanglement", group="")
    for axis, (split, name) in zip(axes, (("test", "held-out"), ("train", "training")), strict=True):
        _curves(axis, pick(rows, split=split), gans, "kimg")
        _references(axis, table, "joint", "entanglement")
        axis.set_title(f"against {name} images", loc="left")
        axis.set_xlabel("training (kimg)")
    axes[0].set_ylabel("joint entanglement")
    axes[0].legend(frameon=False)
    caption = (
        "Joint entanglement against held-out and against training images; copies of the latter would part the two."
    )
    return Figure("heldout-and-training", caption, figure, _plotted(rows))


def final_comparison(
    table: "pd.DataFrame", gans: Sequence[str], measures: Sequence[tuple[str, str, str, str]]
) -> Figure:
    """Every measure at the end of training: each seed, the mean and its interval."""
    figure = new_figure(9.0, 0.55 * len(measures) + 1.2)
    axis = figure.subplots()
    rows = pick(table, kind="gan", split="test", group="")
    end = rows[rows["step"] == rows.groupby("model")["step"].transform("max")]
    for place, (side, metric, _, _) in enumerate(measures):
        for index, gan in enumerate(gans):
            values = pick(end, model=gan, side=side, metric=metric)["value"].dropna()
            if len(values):
                _estimate_bar(
                    axis,
                    values,
                    place + 0.18 * (index - (len(gans) - 1) / 2),
                    index,
                    gan,
                )
        real = pick(table, kind="reference", model="real", side=side, metric=metric, group="")["value"]
        if len(real):
            axis.plot([real.mean()] * 2, [place - 0.35, place + 0.35], color=NOISE, linewidth=1, zorder=0)
    axis.set_yticks(range(len(measures)), [name for _, _, name, _ in measures])
    axis.invert_yaxis()
    axis.set_xlabel("value (grey line: real against real)")
    _legend_beside(axis)
    caption = "The end of training against held-out images: seeds as dots, mean and 95% interval as bars."
    return Figure("final-comparison", caption, figure, _plotted(end))


def by_class(table: "pd.DataFrame", gans: Sequence[str], classes: Sequence[str]) -> Figure:
    """The real side of each class at the end of training."""
    figure = new_figure(9.0, 3.6)
    axis = figure.subplots()
    rows = pick(table, kind="gan", split="test", side="real", metric="entanglement")
    rows = rows[(rows["group"] != "") & (rows["step"] == rows.groupby("model")["step"].transform("max"))]
    for place in range(len(classes)):
        for index, gan in enumerate(gans):
            values = pick(rows, model=gan, group=str(place))["value"].dropna()
            if len(values):
                at = place + 0.22 * (index - (len(gans) - 1) / 2)
                _estimate_bar(axis, values, at, index, gan, upright=True)
        real = pick(table, kind="reference", model="real", metric="entanglement", group=str(place))["value"]
        if len(real):
            axis.plot([place - 0.4, place + 0.4], [real.mean()] * 2, color=NOISE, linewidth=1, zorder=0)
    axis.set_xticks(range(len(classes)), list(classes), parse_math=False)
    axis.set(xlabel="class", ylabel="real side of the class")
    _legend_beside(axis)
    caption = "Real side by class at the end, held-out images: seeds, mean and 95% interval; grey: real against real."
    return Figure("real-side-by-class", caption, figure, _plotted(rows))


def maps(embeddings: dict[str, Any]) -> Figure:
    """Real and generated points in the plane, early and at the end, one row a GAN."""
    import pandas as pd

    figure = new_figure(8.0, 3.9 * len(embeddings))
    axes = figure.subplots(len(embeddings), 2, squeeze=False, sharex="row", sharey="row")
    frames = []
    for row, (name, embedding) in zip(axes, embeddings.items(), strict=True):
        points = pd.DataFrame(embedding["coordinates"], columns=["x", "y"]).assign(kind=embedding["kind"], gan=name)
        frames.append(points)
        for axis, kind, kimg in zip(row, ("early", "late"), embedding["kimg"], strict=True):
            for index, (which, label) in enumerate((("real", "real"), (kind, "generated"))):
                shown = pick(points, kind=which)
                colour = "0.35" if index == 0 else PALETTE[1]
                axis.scatter(
                    shown["x"], shown["y"], s=7, color=colour, alpha=0.7, linewidths=0, label=label, rasterized=True
                )
            axis.set_title(f"{name}, {kimg:.3g} kimg", loc="left")
            axis.set(xticks=[], yticks=[])
    axes[0][0].legend(frameon=False, markerscale=2)
    caption = "t-SNE of held-out real images and generated ones, early and at the end of training; one map a row."
    return Figure("maps", caption, figure, pd.concat(frames))


def losses(table: "pd.DataFrame", gans: Sequence[str]) -> Figure:
    """The discriminator's and the generator's loss over training."""
    figure = new_figure(9.0, 3.0)
    axes = figure.subplots(1, max(2, len(gans)), squeeze=False)[0]
    rows = pick(table, kind="training")
    rows = rows[rows["metric"].isin(["discriminator_loss", "generator_loss"])]
    for axis, gan in zip(axes, gans, strict=False):
        for index, metric in enumerate(("discriminator_loss", "generator_loss")):
            own = pick(rows, model=gan, metric=metric)
            for _, one in own.groupby("seed"):
                axis.plot(one["kimg"], one["value"], color=PALETTE[index + 2], alpha=0.3, linewidth=0.7)
            mean = own.groupby("kimg")["value"].mean()
            axis.plot(mean.index, mean, color=PALETTE[index + 2], linewidth=1.5, label=metric.replace("_", " "))
        axis.set_title(gan, loc="left")
        axis.set_xlabel("training (kimg)")
    axes[0].legend(frameon=False)
    caption = "Losses over training: seeds thin, their mean thick."
    return Figure("losses", caption, figure, _plotted(rows))


def _curves(axis: "Axes", rows: "pd.DataFrame", gans: Sequence[str], over: str) -> None:
    for index, gan in enumerate(gans):
        own = pick(rows, model=gan)
        for _, one in own.sort_values("step").groupby("seed"):
            axis.plot(one[over], one["value"], color=PALETTE[index], alpha=0.35, linewidth=0.8)
        mean = own.groupby(over)["value"].mean()
        axis.plot(mean.index, mean, color=PALETTE[index], linewidth=2, marker="o", markersize=3, label=gan)
    axis.set_ylim(-0.02, 1.04)


def _references(axis: "Axes", table: "pd.DataFrame", side: str, metric: str) -> None:
    rows = pick(table, kind="reference", side=side, metric=metric, group="")
    real, noise = pick(rows, model="real")["value"], pick(rows, model="noise")["value"]
    if len(real):
        axis.axhspan(real.min(), real.max(), color=BAND, zorder=1, label="real against real")
    if len(noise):
        axis.axhline(noise.mean(), color=NOISE, linestyle=":", linewidth=1.2, zorder=1, label="noise")


def _estimate_bar(
    axis: "Axes", values: "pd.Series[float]", place: float, index: int, label: str, upright: bool = False
) -> None:
    estimate = mean_interval(values)
    spread = [[estimate.value - estimate.low], [estimate.high - estimate.value]] if estimate.n > 1 else None
    beside = [place + 0.08] * len(values)
    dots = (beside, values) if upright else (values, beside)
    bar: dict[str, Any] = {"yerr" if upright else "xerr": spread}
    point = ([place], [estimate.value]) if upright else ([estimate.value], [place])
    axis.scatter(dots[0], dots[1], s=20, color=PALETTE[index], alpha=0.4, linewidths=0)
    axis.errorbar(point[0], point[1], **bar, fmt="o", markersize=4.5, color=PALETTE[index], capsize=3, label=label)


def _legend_beside(axis: "Axes") -> None:
    """Name each colour once, to the right of the panel; nothing is there to name where nothing is drawn."""
    handles, names = axis.get_legend_handles_labels()
    named = dict(zip(names, handles, strict=True))
    if named:
        axis.legend(named.values(), named.keys(), frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _plotted(rows: "pd.DataFrame") -> "pd.DataFrame":
    columns = ["model", "imageset", "seed", "kimg", "step", "split", "side", "group", "metric", "value", "n"]
    return rows[columns]
