"""The figures of the report on GANs and entanglement: each draws from rows of the table and keeps what it plots."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lab.cells.rows import joined, pick
from lab.reporting.fonts import labels
from lab.reporting.plots import (
    GREY,
    KIMG,
    PALETTE,
    colours,
    legend,
    legend_above,
    named_band,
    new_figure,
    plotted,
    seed_curves,
    seed_dots,
    side_by_side,
)
from lab.reporting.report import Figure
from lab.reporting.statistics import SHARE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FEW_CLASSES, LONG_NAME = 12, 9
"""Up to so many classes with names of up to so many letters, the names lie."""


def over_training(table: "pd.DataFrame", gans: Sequence[str]) -> Figure:
    """The joint score against held-out images, over kimg and over generator steps."""
    figure = new_figure(9.0, 3.6)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, over, label in zip(axes, ("kimg", "step"), (KIMG, "generator steps"), strict=True):
        _curves(axis, table, gans, over, split="test", side="joint", metric="entanglement")
        axis.set_xlabel(label)
    axes[0].set_ylabel("joint entanglement")
    legend_above(figure)
    caption = "Joint entanglement of real and generated images over training, by images shown and by generator step."
    rows = pick(table, kind="gan", split="test", side="joint", metric="entanglement", group="")
    held = pick(table, kind="reference", side="joint", metric="entanglement", group="")
    return Figure("entanglement-over-training", caption, figure, plotted(joined([rows, held])))


def sides(table: "pd.DataFrame", gans: Sequence[str]) -> Figure:
    """Both sides' scores and 1-NN accuracies over training."""
    figure = new_figure(9.0, 6.4)
    axes = figure.subplots(2, 2, sharex=True, sharey="row")
    names = {"entanglement": "entanglement", "one_nn_accuracy": "1-NN accuracy"}
    for row, (metric, name) in zip(axes, names.items(), strict=True):
        for axis, side in zip(row, ("generated", "real"), strict=True):
            _curves(axis, table, gans, split="test", side=side, metric=metric)
            axis.set_title(f"{side} side", loc="left")
        row[0].set_ylabel(name)
    for axis in axes[1]:
        axis.set_xlabel(KIMG)
    legend_above(figure)
    rows = joined([pick(table, kind="gan", split="test", group=""), pick(table, kind="reference", group="")])
    shown = rows[rows["side"].isin(["generated", "real"]) & rows["metric"].isin(list(names))]
    caption = (
        "The generated and the real side over training, against held-out images: score above, 1-NN accuracy below."
    )
    return Figure("sides-over-training", caption, figure, plotted(shown))


def splits(table: "pd.DataFrame", gans: Sequence[str]) -> Figure:
    """The joint score against held-out and against training images."""
    figure = new_figure(9.0, 3.4)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (split, name) in zip(axes, (("test", "held-out"), ("train", "training")), strict=True):
        _curves(axis, table, gans, split=split, side="joint", metric="entanglement")
        axis.set_title(f"against {name} images", loc="left")
        axis.set_xlabel(KIMG)
    axes[0].set_ylabel("joint entanglement")
    legend_above(figure)
    caption = (
        "Joint entanglement against held-out and against training images: a generator that copies its training images "
        "would score higher against those. Band and dotted line are of held-out images on both sides."
    )
    joint = pick(table, side="joint", metric="entanglement", group="")
    rows, held = (pick(joint, kind=kind) for kind in ("gan", "reference"))
    return Figure("heldout-and-training", caption, figure, plotted(joined([rows, held])))


def final_comparison(
    table: "pd.DataFrame", gans: Sequence[str], measures: Sequence[tuple[str, str, str, str]]
) -> Figure:
    """Every measure at the end of training: each seed, the mean and its interval."""
    figure = new_figure(9.0, 0.55 * len(measures) + 1.2)
    axis = figure.subplots()
    end = _at_end(pick(table, kind="gan", split="test", group=""))
    real = pick(table, kind="reference", model="real", group="")
    for place, (side, metric, _, _) in enumerate(measures):
        own, held = (pick(rows, side=side, metric=metric) for rows in (end, real))
        _compare(axis, place, gans, own, held, upright=False)
    axis.set_yticks(range(len(measures)), [name for _, _, name, _ in measures])
    axis.invert_yaxis()
    axis.set_xlabel("value (grey line: real against real)")
    legend(axis, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    caption = "The end of training against held-out images: seeds as dots, mean and 95% interval as bars."
    return Figure("final-comparison", caption, figure, plotted(joined([end, real])))


def by_class(
    table: "pd.DataFrame", gans: Sequence[str], classes: Sequence[str], shown: Sequence[int] | None = None
) -> Figure:
    """The real side of some classes, by number, or of all at the end of training; the data beside are those of all."""
    figure, shown = new_figure(9.0, 3.6), range(len(classes)) if shown is None else shown
    axis = figure.subplots()
    rows = pick(table, kind="gan", split="test", side="real", metric="entanglement")
    rows = _at_end(rows[rows["group"] != ""])
    real = pick(table, kind="reference", model="real", metric="entanglement")
    for place, group in enumerate(shown):
        own, held = (pick(found, group=str(group)) for found in (rows, real))
        _compare(axis, place, gans, own, held, upright=True)
    named = labels(classes)
    upright = len(shown) > FEW_CLASSES or max(map(len, named.texts), default=0) > LONG_NAME
    how: dict[str, Any] = {"rotation": 90, "fontsize": 7} if upright else {}
    texts = [named.texts[group] for group in shown]
    axis.set_xticks(range(len(shown)), texts, fontfamily=named.families, parse_math=False, **how)
    axis.set(xlabel="class", ylabel="real side of the class")
    legend(axis, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    caption = "Real side by class at the end, held-out images: seeds, mean and 95% interval; grey: real against real."
    return Figure("real-side-by-class", caption, figure, plotted(joined([rows, real[real["group"] != ""]])))


def maps(embeddings: dict[str, Any]) -> Figure:
    """Real and generated points in the plane, early and at the end, one row a GAN."""
    import pandas as pd

    figure = new_figure(8.0, 3.9 * len(embeddings))
    axes = figure.subplots(len(embeddings), 2, squeeze=False, sharex="row", sharey="row")
    frames = []
    for row, (name, embedding) in zip(axes, embeddings.items(), strict=True):
        points = pd.DataFrame(embedding["coordinates"], columns=["x", "y"]).assign(kind=embedding["kind"], gan=name)
        frames.append(points)
        for axis, time, kimg in zip(row, ("early", "late"), embedding["kimg"], strict=True):
            for kind, label, colour in (("real", "real", "0.5"), (time, "generated", PALETTE[1])):
                style: dict[str, Any] = {"s": 7, "alpha": 0.7, "linewidths": 0, "rasterized": True}
                shown = pick(points, kind=kind)
                axis.scatter(shown["x"], shown["y"], color=colour, label=label, **style)
            axis.set_title(f"{name}, {kimg:.3g} kimg", loc="left")
            axis.set(xticks=[], yticks=[])
    legend(axes[0][0], markerscale=2)
    caption = "t-SNE of held-out real images and generated ones, early and at the end of training; one map a row."
    return Figure("maps", caption, figure, pd.concat(frames))


def losses(table: "pd.DataFrame", gans: Sequence[str]) -> Figure:
    """The discriminator's and the generator's loss over training."""
    figure = new_figure(9.0, 3.0)
    axes = side_by_side(figure, len(gans), sharey=False)
    metrics = {"discriminator_loss": PALETTE[2], "generator_loss": PALETTE[3]}
    rows = pick(table, kind="training")
    rows = rows[rows["metric"].isin(list(metrics))]
    for axis, gan in zip(axes, gans, strict=True):
        for metric, colour in metrics.items():
            seed_curves(axis, pick(rows, model=gan, metric=metric), "kimg", colour, metric.replace("_", " "))
        axis.set_title(gan, loc="left")
        axis.set_xlabel(KIMG)
    axes[0].set_ylabel("loss")
    legend(axes[0])
    caption = "Losses over training: seeds thin, their mean thick."
    return Figure("losses", caption, figure, plotted(rows))


def _curves(axis: "Axes", table: "pd.DataFrame", gans: Sequence[str], over: str = "kimg", **which: str) -> None:
    """A measure of every GAN over its training, and what it is held against."""
    rows = pick(table, kind="gan", group="", **which)
    for gan, colour in colours(gans).items():
        seed_curves(axis, pick(rows, model=gan), over, colour, gan, marker="o")
    axis.set_ylim(-0.02, 1.05)
    held = pick(table, kind="reference", side=which["side"], metric=which["metric"], group="")
    real, noise = (pick(held, model=model)["value"] for model in ("real", "noise"))
    named_band(axis, real)
    if len(noise):
        axis.axhline(noise.mean(), color=GREY, linestyle=":", linewidth=1.2, zorder=1, label="noise")


def _at_end(rows: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of each GAN's last step."""
    return rows[rows["step"] == rows.groupby("model")["step"].transform("max")]


def _compare(
    axis: "Axes", place: int, gans: Sequence[str], rows: "pd.DataFrame", real: "pd.DataFrame", *, upright: bool
) -> None:
    """The GANs' values side by side around a place, and a grey line where real against real is."""
    first = place - 0.2 * (len(gans) - 1) / 2
    for index, (gan, colour) in enumerate(colours(gans).items()):
        values = pick(rows, model=gan)["value"]
        seed_dots(axis, values, first + 0.2 * index, colour, gan, aside=0.08, upright=upright, within=SHARE)
    if len(real):
        line = ([place - 0.4, place + 0.4], [real["value"].mean()] * 2)
        axis.plot(*(line if upright else line[::-1]), color=GREY, linewidth=1, zorder=0, label="real against real")
