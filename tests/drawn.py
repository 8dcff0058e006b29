"""Whether a figure draws what the data file beside it holds, and what the words on it say.

Curves, means, intervals, bands and matrices are looked for among the data. What is found there must be what the words
beside it tell apart: a column of the data, whose texts differ, has its text in the title, on the axes or in the legend.
"""

import re
from functools import cache

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb

from lab.reporting.statistics import mean_interval, share_interval
from lab.reporting.told import _told
from studies._measures import MEASURES
from studies.calibration.attacked import DRAWN
from studies.calibration.figures import RELIABLE, RISKS
from studies.gan_entanglement.report import FINAL_MEASURES
from studies.measures.names import called
from studies.toy.report import NAMES

SAID = {
    "test": ["held-out"],
    "train": ["training"],
    "entanglement": ["score"],
    "one_nn_accuracy": ["1-NN accuracy", "own nearest neighbours"],
    "": ["itself"],
    "none": [],
    "success": ["fooled"],
    "mode_distance": ["distance between modes"],
    "p_values": ["p-values of true labels"],
    **{name: [title] for name, title in (RELIABLE | RISKS).items()},
    **{name: [title] for name, title, _ in DRAWN if name not in RELIABLE | RISKS},
    **{name: [title[1]] for name, title in NAMES.items()},
}
"""What words on figures call what the data have."""
CURVES = (("coverage", "risk"), ("fpr", "tpr"), ("confidence", "accuracy"), ("level", "share"), ("n", "power"))
"""Columns of what is drawn across and up, where the data are no rows of the table."""
ACROSS = {"kimg": "images shown (thousands)", "of the fault": ""}
"""What an axis is called."""
MATRICES = {"layer": "kimg", "row": "column", "source": "target", "of": "on", "measure": "fault"}
"""Columns of what tells the rows and the columns of a matrix apart."""
SPLITS = {"test": "^(?!.*validation)", "train": r"training images|\(train\)|^losses", "validation": "validation"}
FLOORS = {"real against real": ("model", "real"), "noise": ("model", "noise"), "pixels": ("space", "pixels")}
"""What a line across a panel is the mean of."""


def faults(figure):
    """What is drawn and is not in the data, or not by that name: a line each."""
    panels = [axis for axis in figure.drawing.axes if axis.get_visible() and axis.get_label() != "<colorbar>"]
    data = _Data(figure.data, figure.caption)
    checks = (_curves, _untold, _bars, _powers, _floors, _matrix, _dots, _ends, _stairs)
    everywhere = [figure.name, figure.caption, *(word for axis in panels for word in _words(axis, figure))]
    found = [*_as_a_whole(figure, " ".join(everywhere))]
    for axis in panels:
        words = _words(axis, figure)
        found += [f"{figure.name} {words}: {fault}" for check in checks for fault in check(axis, data, words)]
    return found


def _as_a_whole(figure, words):
    """Whether it is said that networks saw the images that they are measured on, and what alone is measured."""
    for n in re.findall(r"\bn = (\d+)", words):
        if int(n) not in {*figure.data.get("n", ())}:
            yield f"{figure.name}: nothing in the data is of n = {n}"
    if "metric" not in figure.data:
        return
    rows = figure.data[figure.data["kind"] != "reference"]
    for split in rows["split"].unique() if "split" in rows else ():
        if not re.search(SPLITS[split], words, re.IGNORECASE):
            yield f"{figure.name}: nothing says that images are of {split}"
    (metric, side), *others = {*zip(rows["metric"], rows.get("side", rows["metric"]), strict=True)} or [("", "")]
    if not others and metric and not (_says([words], metric) or any(name in words for name in _called(side, metric))):
        yield f"{figure.name}: nothing says {metric}"


class _Data:
    """The data beside a figure, in groups by what their texts say."""

    def __init__(self, frame, caption=""):
        self.frame = frame
        self.styles = {style: name for name, style in re.findall(r"([\w-]+) (solid|dashed)", caption)}
        self.texts = [name for name in frame if frame[name].dtype.kind not in "iufb"]
        self.varied = {name for name in self.texts if frame[name].nunique() > 1}
        self.varied -= {"kind"} if "metric" in frame else set()
        for name in sorted(self.varied):  # what others tell need not be said
            others = [other for other in self.varied - {name} if (frame.groupby(other)[name].nunique() == 1).all()]
            self.varied -= {name} if others else set()
        self.grouped, self.said = cache(self.grouped), cache(self.said)

    def grouped(self, across="", up="value", by=""):
        """Each group's texts, the column across (n,), that up (n,), and how many seeds these are of at most.

        Several values at one place across are one, their mean, where all that have any there are.
        """
        rows, texts = self.frame.dropna(subset=[up]), self.texts
        if column := {"eps": "side", "of the fault": "setting"}.get(across, ""):
            rows, texts = rows.assign(x=pd.to_numeric(rows[column])), [name for name in texts if name != column]
            clean = rows["space"] == "none"  # all attacks begin with the images as they are
            names = rows.loc[~clean, "space"].unique() if clean.any() else []
            rows = pd.concat([rows[~clean], *(rows[clean].assign(space=name) for name in names)])
        elif across:
            rows = rows.assign(x=rows[across]).dropna(subset="x")
        keys = [*texts, *([by] if by else [])]
        if across and "seed" in rows and by != "seed":
            rows = rows.groupby([*keys, "x"], dropna=False).agg(y=(up, "mean"), seeds=("seed", "nunique")).reset_index()
            rows = rows[rows["seeds"] == rows.groupby(keys, dropna=False)["seeds"].transform("max")]
        else:
            rows = rows.assign(y=rows[up], seeds=1, **({} if across else {"x": rows[up]}))
            rows = rows.sort_values("x", kind="stable") if across in {"eps", "kimg", "step", "minutes"} else rows
        groups = rows.groupby(keys, sort=False, dropna=False).indices if keys else {(): range(len(rows))}
        columns = [rows[name].to_numpy(float) for name in ("x", "y", "seeds")]
        found = []
        for key, places in groups.items():
            x, y, seeds = (column[places] for column in columns)
            found.append((dict(zip(keys, key if len(keys) > 1 else [key], strict=False)), x, y, seeds.max(initial=0)))
        return found

    def said(self, key, words, but=()):
        """Whether the words tell these texts from others."""
        key, told = dict(key), self.varied - {*but}
        if {"side", "metric"} <= {*key} and (names := _called(key["side"], key["metric"]) & {*words}):
            sided = key["metric"] == "entanglement" and _says({*words} - names, "one_nn_accuracy")  # has sides, too
            told -= set() if sided else {"side", "metric"}
        return all(_says(_about(name, words), part) for name in told & {*key} for part in str(key[name]).split("/"))

    def fault(self, what, found, words, but=()):
        """Nothing if the words say the texts of one of the groups that were found, or else what is wrong."""
        if not any(self.said(tuple(about.items()), tuple(words), tuple(but)) for about in found):
            yield f"{what} by {words} is {found or 'nothing of the data'}"


@cache
def _called(side, metric):
    """What a measure is called by the studies."""
    known = {(one.side, one.metric): one.name for one in MEASURES}
    names = {known.get((side, metric)), *(name for *key, name, _ in FINAL_MEASURES if key == [side, metric])}
    return names | ({called((side, metric))} if side in {"joint", "generated", "real"} else set()) - {None}


def _words(axis, figure):
    """The title of a panel and what its axes are of, which one panel of a row, or of a column, may say for all."""
    spot, title, words = axis.get_subplotspec(), axis.get_title(loc="left"), []
    for other in figure.drawing.axes:
        place = other.get_subplotspec()
        if place and other.get_visible():
            across, along = place.colspan == spot.colspan, place.rowspan == spot.rowspan
            words += [other.get_xlabel()] * across + [other.get_title(loc="left")] * (not title and (across or along))
            words += [other.get_ylabel()] * (other is axis or (along and not axis.get_ylabel()))
    return [word for word in (title, *words) if word]


def _about(name, words):
    """The words that tell of a column: of two networks, one attacks and one is attacked."""
    sources = [word for word in words if "made on" in word]
    others = [word for word in words if word not in sources]
    return sources if sources and name == "setting" else others if sources and name == "group" else words


@cache
def _pattern(value):
    """What finds a text of the data in words on a figure, by any of its names there."""
    known = {
        value,
        value.removeprefix("alpha="),
        value.replace("_", " "),
        value.replace("_", "-"),
        *SAID.get(value, ()),
    }
    known |= {"classifier"} if re.match(r"[a-z]+-[0-9a-f]{8}$", value) else set()
    return re.compile("|".join(rf"(?<![\w.=-]){re.escape(one)}(?![\w.-])" for one in known if one), re.IGNORECASE)


def _says(words, value):
    """Whether one of the words has a text of the data, by any of its names."""
    return any(_pattern(value).search(word) for word in words)


def _curves(axis, data, words):
    """Of seeds, and means over them."""
    lines = [(line, _told[line]) for line in axis.lines if line in _told and _told[line].unit]
    factor = 100 if any("(%)" in word for word in words) else 1
    for line, told in lines:
        drawn, what = line.get_xydata().T, f"{told.what} of {told.series}"
        seed, mean = (re.match(words, told.what) for words in (r"seed (\d+)", r"mean of (\d+) seeds"))
        curves = data.grouped(told.unit, by="seed" if seed else "")
        found = [(about, n) for about, x, y, n in curves if _is_curve(drawn, x, factor * y)]
        if seed:
            found = [(about, n) for about, n in found if about["seed"] == int(seed[1])]
        yield from data.fault(what, [about for about, _ in found], [*words, told.series])
        if line.get_label() != told.series and not line.get_label().startswith("_"):
            yield f"{what} is called {line.get_label()}"
        if len({*drawn[0]}) < drawn.shape[1]:
            yield f"{what} has several values at a place"
        if ACROSS.get(told.unit, told.unit) not in " ".join(words):
            yield f"{what} is over {told.unit}"
        if (mean and int(mean[1]) not in {n for _, n in found}) or not _same(drawn, (told.places, told.values)):
            yield f"{what} is told otherwise"
    yield from _coloured([(told.series, line.get_color()) for line, told in lines if line.get_linestyle() == "-"])


def _untold(axis, data, words):
    """Curves that are known by their colours alone."""
    lines = [line for line in axis.lines if line not in _told and (line.get_linestyle() in {"-", "--"})]
    everywhere = [line for other in axis.figure.axes for line in other.lines]
    named = {line.get_color(): line.get_label() for line in everywhere if not line.get_label().startswith("_")}
    named |= {bar.lines[0].get_color(): bar.get_label() for bar in axis.containers}
    curves = [(x, y) for x, y in CURVES if {x, y} <= {*data.frame} and "value" not in data.frame]
    for line in lines if curves else ():
        drawn = np.asarray(line.get_data(), float)
        style = data.styles.get({"-": "solid", "--": "dashed"}[line.get_linestyle()], "")
        known = [one for pair in curves for one in data.grouped(*pair, by="line" if "line" in data.frame else "")]
        found = [about for about, x, y, _ in known if _is_curve(drawn, x, y, "power" in data.frame)]
        yield from data.fault("a curve", found, [*words, named.get(line.get_color(), ""), style])


def _powers(axis, data, words):
    """The intervals of shares of draws."""
    for bar in axis.containers if "draws" in data.frame else ():
        trials = int(data.frame["draws"].iloc[0])
        for value, segment in zip(bar.lines[0].get_ydata(), bar.lines[2][0].get_segments(), strict=True):
            known = share_interval(round(value * trials), trials)
            if not _same(segment[:, 1], (known.low, known.high)):
                yield f"the interval of {bar.get_label()} is {segment[:, 1]}, not {known}"


def _bars(axis, data, words):
    """Dots of seeds, their mean and its interval."""
    dots = [(part, _told[part].series) for part in axis.collections if part in _told and _told[part].what == "a seed"]
    bars, up = [bar for bar in axis.containers if bar.lines[0] in _told], int(not axis.yaxis_inverted())
    factor = 100 if any("(%)" in word or "(points)" in word for word in words) else 1
    known = _differences(data) if dots and any("minus baseline" in word for word in words) else data
    for (part, series), bar in zip(dots, bars, strict=True):
        values, (middle, _, ends) = np.asarray(part.get_offsets()[:, up], float), bar.lines
        place, right = middle.get_xydata()[0], mean_interval(values)
        beside = [*words, series, _tick((axis.yaxis, axis.xaxis)[up], round(place[1 - up]))]
        found = [about for about, _, y, _ in known.grouped() if _same(np.sort(factor * y), np.sort(values))]
        yield from known.fault("dots", found, beside)
        if (
            not _same([place[up], *_told[middle].values], [right.value] * 2)
            or f"of {right.n} seeds" not in _told[middle].what
        ):
            yield f"the mean of {beside} is {place[up]}, not {right}"
        drawn = [end for one in ends for segment in one.get_segments() for end in segment[:, up]]
        if len(drawn) != 2 * (right.n > 2) or not all(
            _same(end, it) or end in {0, 1, 100} for end, it in zip(drawn, (right.low, right.high), strict=False)
        ):
            yield f"the interval of {beside} is {drawn}, not {right}"
        if not _same(part.get_facecolor()[0][:3], to_rgb(middle.get_color())):
            yield f"dots and mean of {series} differ in colour"
    yield from _coloured([(series, tuple(part.get_facecolor()[0])) for part, series in dots if series])


def _differences(data):
    """Each seed's values minus those of its baseline."""
    rows, keys = data.frame, ["imageset", "metric", "seed"]
    base = rows[rows["setting"] == "alpha=0"].set_index(keys)["value"]
    return _Data(
        rows.assign(value=rows["value"].to_numpy() - base.reindex(pd.MultiIndex.from_frame(rows[keys])).to_numpy())
    )


def _floors(axis, data, words):
    """Lines and bands of what others are held against."""
    for line in axis.lines:
        if line.get_label() not in FLOORS or line in _told:
            continue
        (x, y), (column, name) = np.asarray(line.get_data(), float), FLOORS[line.get_label()]
        upright = y[0] == y[-1]
        (value, *_), along = (y, x) if upright else (x, y)
        beside = (
            words if {*x} == {0, 1} else [*words, _tick(axis.xaxis if upright else axis.yaxis, round(along.mean()))]
        )
        copies = "memorised" in words  # among held-out images, which the rows of every GAN have
        known = [(about, values) for about, _, values, _ in data.grouped() if _is_floor(about, column, name, copies)]
        found = [(about, values) for about, values in known if _same(values.mean(), value)]
        but = {"model", "space", "layer", "setting"} if name == "pixels" else {"model", "split", *(["side"] * copies)}
        yield from data.fault(f"{line.get_label()}, {value},", [about for about, _ in found], beside, but)
        spans = [
            part.get_patch_transform().transform_path(part.get_path()).get_extents()
            for part in axis.patches
            if name == "real"
        ]
        if spans and found and not any(_same((one.y0, one.y1), (v.min(), v.max())) for one in spans for _, v in found):
            yield f"the band is {spans}"


def _is_floor(about, column, name, copies):
    """Whether a group is of what others are held against: of memorised images, the real ones of any GAN."""
    return (about["metric"], about["side"]) == ("memorized", "real") if copies else about.get(column) == name


def _matrix(axis, data, words):
    """Entries of a matrix, and what is written on them."""
    columns = [(up, across) for up, across in MATRICES.items() if {up, across} <= {*data.frame}]
    for image in axis.images if columns else ():
        (up, across), entries, rows = columns[0], np.asarray(image.get_array()), data.frame
        for name in {"n", "epoch"} & {*rows} if "metric" not in rows else ():
            rows = rows[[re.search(rf"\b{name}( =)? {value}$", words[0]) is not None for value in rows[name]]]
        others = [name for name in data.texts if name not in {up, across}]
        keys = [tuple(zip(others, key, strict=True)) for key in rows[others].itertuples(index=False)]
        said = [data.said(key, tuple(words), (up, across)) for key in keys]
        rows = rows[said] if others else rows
        names = [rows[name].map(_short) for name in (up, across)]
        values = rows["value" if "value" in rows else data.frame.columns[-1]].groupby(names).mean().to_dict()
        written = {tuple(map(round, text.get_position())): text.get_text() for text in axis.texts}
        for name, axes, count in zip((up, across), (axis.yaxis, axis.xaxis), entries.shape, strict=False):
            order = [_short(one) for one in (sorted if name == "kimg" else list)(rows[name].unique())]
            shown = [one for i in range(count) if (one := _tick(axes, i)) in order]
            if up != "of" and shown != [one for one in order if one in shown]:
                yield f"the order is {shown}, not {order}"
        shades = {}
        for y, x in np.ndindex(entries.shape[:2]):
            place = (str(y), str(x)) if up == "of" else (_tick(axis.yaxis, y), _tick(axis.xaxis, x))
            right, text = values.get(place, np.nan), written.get((x, y), "")
            if entries.ndim == 2 and not _same(entries[y, x], right):
                yield f"{place} is {entries[y, x]}, not {right}"
            shades.setdefault(place[1], {}).setdefault(right, entries[y, x])
            if text and not (_rounded(text, right) if text != "-" else not np.isfinite(right)):
                yield f"{place} says {text}, not {right}"

        for name, by in shades.items() if entries.ndim == 3 else ():
            light = [by[value][:3].sum() for value in sorted(filter(np.isfinite, by))]
            if light != sorted({*light}):
                yield f"of {name} the smaller ones are not darker"


def _short(value):
    """A row's or a column's name as an axis has it."""
    return value.replace(";", "") if isinstance(value, str) else f"{value:.3g}"


def _rounded(text, value):
    """Whether a number that is written is this value, rounded to as many digits as it has."""
    return abs(float(text) - value) <= 0.5 * 10.0 ** -len(text.partition(".")[2]) * (1 + 1e-6)


def _tick(axis, place):
    """What an axis says at a place."""
    return str(axis.get_major_formatter()(place)).replace("=\n", "=").replace("\n", " ")


def _dots(axis, data, words):
    """The points of a map."""
    for part in axis.collections if {"x", "y"} <= {*data.frame} and "step" not in data.frame else ():
        points = np.asarray(part.get_offsets(), float)
        found = [about for about, x, y, _ in data.grouped("x", "y") if _same((x, y), points.T)]
        time = ["late" if axis.get_subplotspec().colspan.start else "early"] * (part.get_label() == "generated")
        yield from data.fault("points", found, [*words, part.get_label(), *time]) if len(points) else ()


def _ends(axis, data, words):
    """Both sides of entanglement at the end of training, seeds as dots, and those of real against real."""
    for part in axis.collections if "value" in data.frame and {"generated side", "real side"} <= {*words} else ():
        label = part.get_label()
        rows = data.frame[data.frame["model"] == {"real against real": "real"}.get(label, label)]
        rows = rows[[data.said((("space", space),), tuple(words)) for space in rows["space"]]]
        last = rows[rows["step"] == rows["step"].max()] if label != "real against real" else rows.assign(seed=0)
        sides = last.pivot_table(index="seed", columns="side", values="value")
        if not _same(part.get_offsets(), sides[["generated", "real"]]):
            yield f"the ends of {label} are {part.get_offsets()}"


def _stairs(axis, data, words):
    """Histograms."""
    for part in axis.patches if "from" in data.frame else ():
        values, edges, _ = part.get_data()
        found = [about for about, x, y, _ in data.grouped("from", "share") if _same((x, y), (edges[:-1], values))]
        yield from data.fault("a histogram", found, [*words, part.get_label()])


def _coloured(pairs):
    """A colour for each of what is shown, as long as there are enough."""
    series, colours = ({pair[i] for pair in pairs} for i in range(2))
    if len({*pairs}) > len(series) or len(colours) < min(len(series), 7):
        yield f"the colours are {sorted({*pairs})}"


def _is_curve(drawn, x, y, roughly=False):
    """Whether a curve (2, n) is that of some values; across it may be only about that."""
    if len(x) != drawn.shape[1] or not _same(drawn[1, -1:], y[-1:]):  # soon told apart
        return False
    return _same(drawn[1], y) and _same(drawn[0], x, roughly)


def _same(one, other, roughly=False):
    """Whether two arrays are the same to rounding, or to a tenth; NaN is NaN."""
    one, other = np.asarray(one, float), np.asarray(other, float)
    if one.shape != other.shape:
        return False
    near = np.abs(one - other) <= (0.1 if roughly else 1e-6) * np.abs(other) + 1e-9
    return bool((near | ((one != one) & (other != other))).all())
