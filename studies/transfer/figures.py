"""The figures on transfer: each draws from rows, or from the cells' small files, and keeps what it plots."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from lab.cells.rows import pick
from lab.reporting.fonts import labels
from lab.reporting.plots import GREY, WIDTH, colours, legend, new_figure, panels, plotted, side_by_side, write_on
from lab.reporting.report import Figure
from studies._attacks import eps_curves
from studies.transfer.effects import ATTACK, SELF, attacked
from tasks._attacks import CLEAN

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Arrays = Mapping[str, "np.ndarray[Any, Any]"]
COLUMNS = 2
DARK = 0.6
"""From this share on, a cell of a heat map is bright, and its text black."""
FOOLED = "share of images fooled"


def matrix(table: "pd.DataFrame", settings: Sequence[str], attacks: Sequence[str], at: float) -> Figure:
    """The mean share of images fooled, source by target, a panel an attack."""
    import pandas as pd

    figure, axes = panels(len(attacks), COLUMNS, 0.7 + 0.5 * len(settings), "shown to", "made on")
    targets, data, image = (SELF, *settings), [], None
    for axis, attack in zip(axes, attacks, strict=True):
        means = [[attacked(table, one, target, attack, at).mean() for target in targets] for one in settings]
        image = axis.imshow(means, vmin=0, vmax=1, cmap="viridis", aspect="auto")
        for (y, source), (x, target) in product(enumerate(settings), enumerate(targets)):
            value = float(means[y][x])
            if value == value:
                write_on(axis, y, x, f"{value:.2f}", dark=value < DARK, fontsize=8)
            data.append({"attack": attack, "source": source, "target": target or "itself", "fooled": value})
        lines = [one.replace("=", "=\n", 1).replace(";", "\n") for one in settings]
        axis.set_xticks(range(len(targets)), ["itself", *lines], fontsize=7)
        axis.set_yticks(range(len(settings)), list(settings), fontsize=7)
        axis.set_title(attack, loc="left")
        axis.grid(visible=False)
    if image is not None:
        figure.colorbar(image, ax=axes, label=FOOLED)
    caption = (
        f"Share of images fooled at eps {at:g}, mean over seeds: attacks made on a row's kind, shown to a column's."
    )
    return Figure("matrix", caption, figure, pd.DataFrame(data))


def curves(table: "pd.DataFrame", settings: Sequence[str]) -> Figure:
    """What PGD on each kind does to each kind, by eps, a panel a kind of target."""
    figure = new_figure(WIDTH, 3.0)
    axes = side_by_side(figure, len(settings) + 1)
    rows = pick(table, kind="attack", space=ATTACK, metric="success")
    for axis, target in zip(axes, (SELF, *settings), strict=True):
        for source, colour in colours(settings).items():
            eps_curves(axis, pick(rows, setting=source, group=target), colour, f"made on {source}")
        axis.set_title(f"to {target}" if target else "on itself", loc="left")
        axis.set_xlabel("eps")
    axes[0].set_ylabel(FOOLED)
    legend(axes[0], fontsize=7)
    caption = f"{ATTACK} by eps: on the network itself, and shown to each kind; sources thin, their mean thick."
    return Figure("transfer-curves", caption, figure, plotted(rows))


def masking(table: "pd.DataFrame", settings: Sequence[str], attacks: Sequence[str]) -> Figure:
    """What fools each kind of network, a panel a kind: every attack on the network itself, and PGD from other kinds."""
    figure = new_figure(WIDTH, 3.0)
    axes = side_by_side(figure, len(settings))
    rows = pick(table, kind="attack", metric="success")
    rows = rows[rows["space"] != CLEAN]
    for axis, target in zip(axes, settings, strict=True):
        for attack, colour in colours(attacks).items():
            eps_curves(axis, pick(rows, setting=target, group=SELF, space=attack), colour, f"{attack}, on itself")
        for source, style in zip(settings, ("--", ":", "-.")):  # noqa: B905 (of more kinds the first ones)
            other = pick(rows, setting=source, group=target, space=ATTACK)
            eps_curves(axis, other, GREY, f"{ATTACK}, made on {source}", style)
        axis.set_title(target, loc="left")
        axis.set_xlabel("eps")
    axes[0].set_ylabel(FOOLED)
    legend(axes[-1], fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    caption = "What fools a kind of network, by eps: attacks on the network itself, and those made on others; means."
    return Figure("masking-curves", caption, figure, plotted(rows))


def gradient_maps(found: Mapping[str, Arrays], classes: Sequence[str]) -> Figure:
    """t-SNE maps of the signs of gradients, a panel a setting, a colour a class."""
    import pandas as pd
    from matplotlib import colormaps

    figure = new_figure(WIDTH, 3.2)
    axes, written = side_by_side(figure, len(found)), labels(classes)
    data: list[dict[str, Any]] = []
    for axis, (setting, one) in zip(axes, found.items(), strict=True):
        for label, name in enumerate(written.texts):
            x, y = one["coordinates"][one["label"] == label].T
            axis.scatter(x, y, s=8, linewidths=0, color=colormaps["tab20"](label % 20), label=name)
            data += [{"setting": setting, "class": classes[label], "x": a, "y": b} for a, b in zip(x, y, strict=True)]
        axis.set_title(setting, loc="left")
        axis.set_xticks([])
        axis.set_yticks([])
    legend(axes[-1], loc="center left", bbox_to_anchor=(1, 0.5), prop={"family": written.families, "size": 7})
    caption = (
        "Signs of the cross-entropy's gradients at test images, first seed, by t-SNE: a dot an image, a colour a class."
    )
    return Figure("gradient-signs", caption, figure, pd.DataFrame(data))
