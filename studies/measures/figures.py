"""The figures on what measures see: each draws from rows of powers and keeps what it plots."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab.cells.rows import pick
from lab.reporting.plots import GREY, colours, legend, new_figure, panels, plotted, write_on
from lab.reporting.report import Figure
from lab.reporting.told import tell
from studies.measures.effects import SEEN, Measured, powers
from studies.measures.names import called
from tasks import _faults, _power

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

BLUES = ("#08306b", "#2171b5", "#6baed6", "#c6dbef", "#e3eef9")
"""From the smallest amount, dark, to the largest."""
BLIND, UNKNOWN = "#8080801a", "none"
"""The page shows through both."""
SHOWN: Mapping[str, tuple[_power.Key, ...]] = {
    "entanglement": (
        ("joint", "entanglement"),
        ("generated", "entanglement"),
        ("real", "entanglement"),
        ("real", "coverage"),
    ),
    "1-NN accuracy": (("joint", "one_nn_accuracy"), ("generated", "one_nn_accuracy"), ("real", "one_nn_accuracy")),
    "distances": (("joint", "fid"), ("joint", "fid_infinity"), ("joint", "kid"), ("joint", "sliced_wasserstein")),
    "balls": (("generated", "precision"), ("real", "recall"), ("generated", "density"), ("real", "ball_coverage")),
    "diversity": (("generated", "vendi"), ("generated", "spread")),
    "classes": (("generated", "class_kl"), ("generated", "class_entropy"), ("generated", "modes")),
}
"""The measures in each row of panels; MIND orders sets as the sliced Wasserstein distance does."""
BRIEF: tuple[_power.Key, ...] = (
    ("joint", "entanglement"),
    ("generated", "entanglement"),
    ("real", "entanglement"),
    ("joint", "fid"),
    ("joint", "kid"),
    ("joint", "one_nn_accuracy"),
)
OF_COPIES: tuple[_power.Key, ...] = (
    ("generated", "memorized"),
    ("generated", "copied_gap"),
    ("joint", "entanglement_gap"),
    ("generated", "entanglement_gap"),
    ("real", "entanglement_gap"),
    ("joint", "fid_gap"),
)
MIDDLE = 1
"""Which of the amounts is shown over n: the second."""


def heat_map(table: "pd.DataFrame", space: str, sizes: Sequence[int], faults: Sequence[str], name: str) -> Figure:
    """The smallest amount that each measure sees of each fault, a panel an n."""
    import pandas as pd
    from matplotlib.colors import to_rgba

    rows = pick(table, kind="power", space=space)
    known = {*zip(rows["side"], rows["metric"], strict=True)}
    keys = [key for key in (*_power.WORSE, ("generated", "memorized")) if key in known]
    figure = new_figure(1.7 + 0.42 * len(faults) * len(sizes), 0.9 + 0.22 * len(keys))
    axes = figure.subplots(1, len(sizes), squeeze=False, sharey=True)[0]
    data = []
    measured = {key: Measured(table, key) for key in keys}
    for axis, n in zip(axes, sizes, strict=True):
        image = [[to_rgba(UNKNOWN)] * len(faults) for _ in keys]
        for y, key in enumerate(keys):
            for x, fault in enumerate(faults):
                found = measured[key].seen_from(fault, space, n)
                if found is None:
                    continue
                amounts = _faults.FAULTS[fault].amounts
                place = amounts.index(found) if found in amounts else len(amounts)
                image[y][x] = to_rgba(BLIND if found not in amounts else BLUES[place])
                words = f"{found:g}".removeprefix("0") if found in amounts else "-"
                write_on(axis, y, x, words, dark=place < 2 if found in amounts else None, fontsize=7)
                data.append({"n": n, "measure": called(key), "fault": fault, "seen from": found})
        axis.imshow(image, aspect="auto")
        axis.set_xticks(range(len(faults)), faults, rotation=90, fontsize=8)
        axis.set_yticks(range(len(keys)), [called(key) for key in keys], fontsize=8)
        axis.set_title(f"n = {n}", loc="left")
        axis.grid(visible=False)
    caption = (
        "The smallest amount of each fault that a measure sees, darker for smaller ones; a dash: blind to all planted; "
        "empty: not measured."
    )
    return Figure(f"seen-{name}", caption, figure, pd.DataFrame(data))


def curves(table: "pd.DataFrame", space: str, n: int, faults: Sequence[str], name: str) -> Figure:
    """Power by amount, a column a fault, a row a family of measures."""
    rows = pick(table, kind="power", space=space, n=n)
    families = {family: keys for family, keys in SHOWN.items() if any(len(powers(rows, key)) for key in keys)}
    figure = new_figure(1.5 + 1.35 * len(faults), 0.6 + 1.35 * len(families))
    grid = figure.subplots(len(families), len(faults), squeeze=False, sharex="col", sharey=True)
    grid[0][0].set_ylim(-0.04, 1.04)  # of all: before anything is drawn, or each panel would look through the others
    for line, (family, keys) in zip(grid, families.items(), strict=True):
        for axis, fault in zip(line, faults, strict=True):
            _draw(axis, pick(rows, group=fault), keys)
        line[0].set_ylabel(family)
        legend(line[-1], loc="upper left", bbox_to_anchor=(1.0, 1.05), fontsize=7)
    for axis, fault in zip(grid[0], faults, strict=True):
        axis.set_title(fault, loc="left")
    figure.supxlabel("amount", fontsize=9)
    caption = f"Power by amount at n = {n}; the dotted line is the promised rate of false alarms."
    shown = rows[rows["group"].isin(list(faults))]
    return Figure(f"power-{name}", caption, figure, plotted(shown))


def copies(table: "pd.DataFrame", space: str, n: int, name: str) -> Figure:
    """Power by the share of copies, of the measures that look at training images."""
    rows = pick(table, kind="power", space=space, n=n, group=_faults.OF_TRAINING)
    figure = new_figure(6.5, 2.8)
    axis = figure.subplots()
    _draw(axis, rows, OF_COPIES)
    axis.set(xlabel="share of copies of training images", ylabel="power", ylim=(-0.04, 1.04))
    legend(axis, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    caption = f"What is seen of copies by measures that look at training images, n = {n}."
    return Figure(f"copies-{name}", caption, figure, plotted(rows))


def over_n(table: "pd.DataFrame", space: str, sizes: Sequence[int], faults: Sequence[str], name: str) -> Figure:
    """Power against n at each fault's second amount, a panel a fault, with intervals."""
    import pandas as pd

    figure, axes = panels(len(faults), 4, 2.0, "images a side", "power")
    data, measured = [], {key: Measured(table, key) for key in BRIEF}
    for axis, fault in zip(axes, faults, strict=True):
        amount = _faults.FAULTS[fault].amounts[MIDDLE]
        for place, (key, colour) in enumerate(colours(BRIEF).items()):
            found = [(n, measured[key].power(fault, amount, space, n)) for n in sizes]
            known = [(n * (1 + 0.03 * (place - 2.5)), one) for n, one in found if one is not None]
            if not known:
                continue
            values = [one.value for _, one in known]
            spread = [[one.value - one.low for _, one in known], [one.high - one.value for _, one in known]]
            style = {"color": colour, "marker": "o", "markersize": 3, "linewidth": 1.2, "elinewidth": 0.6}
            axis.errorbar([n for n, _ in known], values, yerr=spread, label=called(key), **style)  # type: ignore[arg-type]
            data += [
                {"fault": fault, "amount": amount, "measure": called(key), "n": n, "power": one.value, "draws": one.n}
                for n, one in found
                if one is not None
            ]
        axis.set_xscale("log")
        axis.set_xticks(list(sizes), [str(n) for n in sizes])
        axis.set_xticks([], minor=True)
        axis.set_ylim(-0.03, 1.03)
        axis.set_title(f"{fault} {amount:g}", loc="left")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    caption = "Power against the number of images a side, at the second amount of each fault, with exact 95% intervals."
    return Figure(f"over-n-{name}", caption, figure, pd.DataFrame(data))


def _draw(axis: "Axes", rows: "pd.DataFrame", keys: Sequence[_power.Key]) -> None:
    """The power of some measures by amount."""
    for key, colour in colours(keys).items():
        found = powers(rows, key)
        if len(found):
            amounts = found["setting"].astype(float)
            style: dict[str, Any] = {"marker": "o", "markersize": 2.5, "linewidth": 1.2, "label": called(key)}
            (line,) = axis.plot(amounts, found["value"], color=colour, **style)
            tell(line, called(key), "power", found["value"], amounts, "of the fault")
    axis.axhline(_power.FALSE_ALARMS, color=GREY, linestyle=":", linewidth=1)
    axis.axhline(SEEN, color="0.8", linewidth=0.8, zorder=0)
