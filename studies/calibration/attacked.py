"""The part of the report on attacked images: accuracy and credibility by eps, and a check of the adaptive attack."""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

from lab.cells.rows import pick
from lab.reporting.plots import WIDTH, colours, legend, new_figure, plotted
from lab.reporting.report import Figure, Section
from lab.reporting.statistics import SHARE, by_seed
from lab.reporting.tables import Better, Column, Rows, Table, columns, mean_entry, seed_table
from studies._attacks import eps_curves
from studies.calibration.effects import attacked
from tasks._attacks import CLEAN

if TYPE_CHECKING:
    import pandas as pd

    from studies.calibration import Config

READING = (
    "Test images are moved by at most eps. Attacks that look at the logits reach the neighbours by transfer alone; "
    "neighbor climbs a soft vote of the neighbours, and is made for them. Neighbours are searched among fewer training "
    "images here than above. Credibility need not fall: an image that was moved until its neighbours are of another "
    "class is supported by those, and p-values hold for images like those that calibrate, which attacked ones are not."
)
MEASURES: tuple[tuple[str, str, Better], ...] = (
    ("accuracy", "network right", "higher"),
    ("dknn_accuracy", "neighbours right", "higher"),
    ("credibility", "mean credibility", ""),
    ("confidence", "mean softmax", ""),
    ("credibility_auroc", "AUROC of credibility", "higher"),
    ("confidence_auroc", "AUROC of the softmax", "higher"),
    ("distance_auroc", "AUROC of the distance", "higher"),
)
"""Metric, what it is called, and which direction is better."""
DRAWN = MEASURES[:4]
ADAPTIVE, TRANSFERRED = "neighbor", "pgd"


def sections(config: "Config", table: "pd.DataFrame", settings: Sequence[str]) -> list[Section]:
    """The section, if images were attacked."""
    rows = pick(table, kind="attacked")
    names = [name for name in rows["space"].unique() if name != CLEAN]
    shown = [setting for setting in settings if len(pick(rows, setting=setting))]
    if not (names and shown):
        return []
    items: list[Figure | Table] = [
        _curves(rows, shown, names),
        _table(rows, shown),
        _seeds(rows, shown, names, config.at),
    ]
    reading = READING
    if {ADAPTIVE, TRANSFERRED} <= set(names):
        checked = _gained(rows)
        reading += f"\n\n{_verdict(checked)}"
        caption = f"Every seed: share of images on which {ADAPTIVE} fools the neighbours, minus that of {TRANSFERRED}."
        items.append(seed_table("adaptive", caption, ["setting", "eps"], checked))
    return [Section("Attacked images", reading, items)]


def _verdict(gained: "dict[tuple[str, str], pd.Series[float]]") -> str:
    """Whether the attack on neighbours does at least as well as what transfers to them, in words.

    Of neighbours that had no image right nothing is known: there is none that could be fooled.
    """
    known = [float(value) for one in gained.values() for value in one.dropna()]
    if not known:
        return f"Nothing to check {ADAPTIVE} by: the neighbours had no image right that could be fooled."
    lowest = min(known)
    if lowest >= 0:
        return (
            f"Check: {ADAPTIVE} fools the neighbours on at least as many images as the transfer of {TRANSFERRED}, for "
            "every setting, eps and seed."
        )
    return (
        f"Check failed: for some seed {ADAPTIVE} fools the neighbours on fewer images than the transfer of "
        f"{TRANSFERRED} (by {-lowest:.3f} at worst), so it is not yet an attack: give it more steps or restarts."
    )


def _gained(rows: "pd.DataFrame") -> "dict[tuple[str, str], pd.Series[float]]":
    """The share of images on which the attack on neighbours fools them, minus that of what transfers."""
    known = pick(rows, metric="dknn_success")
    return {
        (setting, eps): by_seed(pick(known, setting=setting, side=eps, space=ADAPTIVE))
        - by_seed(pick(known, setting=setting, side=eps, space=TRANSFERRED))
        for setting, eps in product(known["setting"].unique(), pick(known, space=ADAPTIVE)["side"].unique())
    }


def _curves(rows: "pd.DataFrame", settings: Sequence[str], names: Sequence[str]) -> Figure:
    """What is left by eps, a row a measure and a column a setting."""
    figure = new_figure(WIDTH, 0.6 + 1.9 * len(DRAWN))
    grid = figure.subplots(len(DRAWN), len(settings), squeeze=False, sharex=True, sharey="row")
    for axes, (metric, words, _) in zip(grid, DRAWN, strict=True):
        axes[0].set_ylim(-0.03, 1.03)
        for axis, setting in zip(axes, settings, strict=True):
            own = pick(rows, setting=setting, metric=metric)
            clean = pick(own, space=CLEAN)
            for name, colour in colours(names).items():
                one = own[own["space"].isin([CLEAN, name])] if len(clean) else pick(own, space=name)
                eps_curves(axis, one, colour, name)
        axes[0].set_ylabel(words)
    for axis, setting in zip(grid[0], settings, strict=True):
        axis.set_title(setting, loc="left")
    for axis in grid[-1]:
        axis.set_xlabel("eps")
    legend(grid[0][-1], fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    caption = "What attacks leave, by eps; 0 is the images as they are. Seeds thin, their mean thick."
    drawn = rows[rows["metric"].isin([metric for metric, *_ in DRAWN])]
    return Figure("attacked", caption, figure, plotted(drawn))


def _table(rows: "pd.DataFrame", settings: Sequence[str]) -> Table:
    found: Rows = []
    shown = rows[["space", "side"]].drop_duplicates().itertuples(index=False, name=None)
    for (attack, eps), setting in product(shown, settings):
        values = [mean_entry(attacked(rows, setting, attack, float(eps), metric), SHARE) for metric, *_ in MEASURES]
        found.append([setting, attack, float(eps), *values])
    headers = [*columns("setting", "attack", "eps"), *(Column(words, better) for _, words, better in MEASURES)]
    caption = (
        "Means over seeds with their 95% intervals. AUROC tells attacked images from the same ones as they are: 0.5 is "
        "chance, and below it attacked images look less foreign."
    )
    return Table("attacked", caption, headers, found)


def _seeds(rows: "pd.DataFrame", settings: Sequence[str], names: Sequence[str], at: float) -> Table:
    found = {
        (attack, setting): attacked(rows, setting, attack, 0.0 if attack == CLEAN else at)
        for attack, setting in product((CLEAN, *names), settings)
    }
    return seed_table("attacked-seeds", f"Every seed: mean credibility at eps {at:g}.", ["attack", "setting"], found)
