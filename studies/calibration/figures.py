"""The figures on credibility: histograms, reliability, risk and coverage, ROC curves, maps and exemplars.

They are drawn from the cells' small files; `found` has those of each setting, one a seed, in the order of the seeds.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from lab.reporting.fonts import labels
from lab.reporting.plots import GREY, PALETTE, WIDTH, colours, legend, new_figure, panels, side_by_side
from lab.reporting.report import Figure

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

Arrays = Mapping[str, "np.ndarray[Any, Any]"]
Found = Mapping[str, Sequence[Arrays]]
RELIABLE = {
    "softmax": "softmax",
    "softmax-scaled": "softmax, temperature scaled",
    "dknn-scaled": "neighbours' votes, scaled",
    "credibility": "credibility (a p-value)",
}
"""What reliability is drawn of, and what it is called."""
RISKS = {"softmax": "softmax", "dknn": "neighbours' votes", "credibility": "credibility"}
FIRST = 3
"""How many images wide the first column of exemplars is: there are words above it."""
FEWEST = 10
"""Images in a bin, over all seeds, below which its accuracy is not drawn."""


def named(group: str) -> str:
    """What people call a foreign set, or the test images."""
    return group or "test"


def by_set(foreign: Sequence[str]) -> dict[str, str]:
    """A colour for the test images (empty) and for every foreign set."""
    return {"": GREY, **dict(zip(foreign, cycle((*PALETTE, "black")), strict=False))}


def histograms(found: Found, foreign: Sequence[str]) -> Figure:
    """The share of images by credibility, on test images and on every foreign set, a panel a setting."""
    import numpy as np

    figure = new_figure(9.0, 3.0)
    axes = side_by_side(figure, len(found))
    data = []
    for axis, (setting, seeds) in zip(axes, found.items(), strict=False):
        for group, colour in by_set(foreign).items():
            counts = np.mean([one[f"credibility/{group}"] / one[f"credibility/{group}"].sum() for one in seeds], axis=0)
            edges = np.linspace(0, 1, len(counts) + 1)
            axis.stairs(counts, edges, color=colour, linewidth=1.0 + (group == ""), label=named(group))
            data += [
                {"setting": setting, "images": named(group), "from": low, "share": share}
                for low, share in zip(edges, counts, strict=False)
            ]
        axis.set_title(setting, loc="left")
        axis.set_xlabel("credibility")
    axes[0].set_ylabel("share of images")
    legend(axes[-1], fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    caption = (
        "Credibility of test images and of foreign ones: mean share over seeds. Valid p-values of true labels are "
        "uniform; credibility, the largest p-value, lies above."
    )
    return Figure("credibility", caption, figure, _frame(data))


def reliability(found: Found) -> Figure:
    """Accuracy by confidence of softmax, scaled and of credibility, and the p-values beside the uniform line."""
    figure = new_figure(9.6, 3.0)
    axes = side_by_side(figure, len(RELIABLE) + 1)
    data: list[dict[str, Any]] = []
    for axis, (view, title) in zip(axes, RELIABLE.items(), strict=False):
        for setting, seeds, colour in _coloured(found):
            confidence, accuracy, count = _pooled([one[f"reliability/{view}"] for one in seeds])
            axis.plot(confidence, accuracy, color=colour, marker="o", markersize=2.5, linewidth=1.2, label=setting)
            data += [
                {"of": view, "setting": setting, "confidence": x, "accuracy": y, "n": int(n)}
                for x, y, n in zip(confidence, accuracy, count, strict=True)
            ]
        axis.set_title(title, loc="left", fontsize=8)
        axis.set_xlim(-0.05, 1.05)
        axis.set_xlabel("confidence" if view != "credibility" else "credibility")
        if view != "credibility":
            _diagonal(axis)
    for setting, seeds, colour in _coloured(found):
        for place, one in enumerate(seeds):
            level, share = one["p_values"].T
            axes[-1].plot(level, share, color=colour, linewidth=0.8, alpha=0.6)
            about = {"of": "p_values", "setting": setting, "line": place}
            data += [{**about, "level": x, "share": y} for x, y in zip(level, share, strict=True)]
    _diagonal(axes[-1])
    axes[-1].set_title("p-values of true labels", loc="left", fontsize=8)
    axes[-1].set_xlabel("level")
    axes[0].set_ylabel("accuracy, or share at most")
    legend(axes[0], fontsize=7)
    caption = (
        f"Accuracy by confidence, bins of all seeds together, but those of fewer than {FEWEST} images. Credibility "
        "claims no share of right predictions, so it has no diagonal: its promise is the last panel, where p-values of "
        "true labels lie on or below the uniform line, up to the luck of a seed's calibration images; a line a seed."
    )
    return Figure("reliability", caption, figure, _frame(data))


def risk_coverage(found: Found) -> Figure:
    """The error rate among the most confident predictions, a panel a confidence, a line a seed."""
    figure = new_figure(9.0, 2.8)
    axes = side_by_side(figure, len(RISKS))
    data = []
    for axis, (view, title) in zip(axes, RISKS.items(), strict=True):
        data += _lines(axis, found, f"risk/{view}", ("coverage", "risk"), view)
        axis.set_title(title, loc="left")
        axis.set_xlim(-0.05, 1.05)
        axis.set_xlabel("coverage")
    axes[0].set_ylabel("share of errors")
    legend(axes[0])
    caption = "Errors among the predictions that are made at all, from the most confident on: a line a seed."
    return Figure("risk-coverage", caption, figure, _frame(data))


def roc(found: Found, foreign: Sequence[str], scores: Mapping[str, str]) -> Figure:
    """ROC curves of some scores, by name with a line style, a panel a foreign set."""
    figure, axes = panels(len(foreign), min(4, len(foreign)), 2.4, "test images flagged", "foreign flagged")
    data = []
    for axis, group in zip(axes, foreign, strict=True):
        for score, style in scores.items():
            data += _lines(axis, found, f"roc/{score}/{group}", ("fpr", "tpr"), f"{score}/{group}", style)
        _diagonal(axis)
        axis.set_title(group, loc="left")
    legend(axes[0], fontsize=7)
    lines = ", ".join(f"{score} {'solid' if style == '-' else 'dashed'}" for score, style in scores.items())
    return Figure(
        "roc", f"Foreign images flagged by test images flagged: {lines}; a line a seed.", figure, _frame(data)
    )


def maps(found: Mapping[str, Arrays], foreign: Sequence[str]) -> Figure:
    """The t-SNE maps of hidden layers, in and out: a row a setting and a column a layer; of one layer a row in all."""
    shown = [[(setting, *layer) for layer in _mapped(one)] for setting, one in found.items()]
    rows = shown if max(map(len, shown)) > 1 else [[panel for row in shown for panel in row]]
    figure = new_figure(WIDTH, 0.6 + 2.2 * len(rows))
    grid = figure.subplots(len(rows), max(2, *map(len, rows)), squeeze=False)
    data = []
    for axis in grid.flat:
        axis.set_visible(False)
    for axes, row in zip(grid, rows, strict=True):
        for axis, (setting, layer, coordinates, groups) in zip(axes, row, strict=False):
            axis.set_visible(True)
            for group, colour in by_set(foreign).items():
                x, y = coordinates[groups == group].T
                axis.scatter(x, y, s=5 if group else 9, color=colour, linewidths=0, label=named(group))
                about = {"setting": setting, "layer": layer, "images": named(group)}
                data += [{**about, "x": a, "y": b} for a, b in zip(x, y, strict=True)]
            axis.set_title(f"{setting}, {layer}" if layer else setting, loc="left")
            axis.set_xticks([])
            axis.set_yticks([])
    legend(grid[0][len(rows[0]) - 1], fontsize=7, markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5))
    what = "Hidden layers" if len(rows) > 1 or rows[0][0][1] else "Last hidden layer"
    caption = f"{what} of the first seed by t-SNE: test images grey, foreign ones coloured."
    return Figure("map", caption, figure, _frame(data))


def _mapped(one: Arrays) -> "list[tuple[str, np.ndarray[Any, Any], np.ndarray[Any, Any]]]":
    """Name, coordinates and groups of each layer in a map; of an earlier version the last layer alone, unnamed."""
    *others, last = map(str, one["layers"]) if "layers" in one else ("",)
    mapped = [(layer, one[f"coordinates/{layer}"], one[f"group/{layer}"]) for layer in others]
    return [*mapped, (last, one["coordinates"], one["group"])]


def exemplars(setting: str, number: int, one: Arrays, classes: Sequence[str]) -> Figure:
    """Images of most and least credibility, their nearest training images in each layer, and the labels of these."""
    layers, kept = [str(name) for name in one["layers"]], _kept(one["group"])
    near, size = one["neighbor_images"].shape[2], one["images"].shape[2]
    sheet, step, width = _sheet(one, kept)
    figure = new_figure(9.0, 0.4 + 9.0 * sheet.shape[0] / sheet.shape[1])
    axis = figure.subplots()
    axis.imshow(sheet, interpolation="nearest")
    axis.set_axis_off()
    for place, layer in enumerate(layers):
        axis.text((FIRST + place * near) * size + place * width, 0, layer, fontsize=7, weight="bold", va="top")
    written = labels(classes)
    how: dict[str, Any] = {"fontsize": 6, "fontfamily": written.families, "va": "bottom"}
    data = []
    for row, i in enumerate(kept):
        label, predicted, foreign = int(one["label"][i]), int(one["predicted"][i]), named(str(one["group"][i]))
        credible = float(one["credibility"][i])
        top = row * step + step - size - 1
        truth = written.texts[label] if label >= 0 else foreign
        axis.text(0, top, f"{truth}: {written.texts[predicted]}? {credible:.2f}", **how)
        for place, layer in enumerate(layers):
            others = one["neighbor_labels"][i, place].tolist()
            said = " ".join(written.texts[other] for other in others)
            axis.text((FIRST + place * near) * size + place * width, top, said, **how)
            facts = {"images": foreign, "index": int(one["index"][i])}
            names = {"truth": classes[label] if label >= 0 else foreign, "predicted": classes[predicted]}
            near_by = " ".join(classes[other] for other in others)
            data.append({**facts, **names, "credibility": credible, "layer": layer, "neighbours": near_by})
    caption = (
        f"{setting}, first seed. Left: the image, what it is, what the neighbours say and how credible; right: its "
        f"{near} nearest training images in {', '.join(layers)}, below their labels. First the most credible test "
        "images, then the least credible, then the most credible of each foreign set."
    )
    return Figure(f"exemplars-{number}", caption, figure, _frame(data))


def _sheet(one: Arrays, kept: Sequence[int]) -> "tuple[np.ndarray[Any, Any], int, int]":
    """Exemplars as one picture, a row each, nothing between layers; the height of a row, and the width of a gap."""
    import numpy as np

    images, near = one["images"], one["neighbor_images"]
    size, gap = images.shape[2], max(2, images.shape[2] // 4)
    step = size + 2 * gap
    width = (FIRST + near.shape[1] * near.shape[2]) * size + near.shape[1] * gap
    sheet = np.zeros((len(kept) * step, width, 4), np.uint8)
    for row, i in enumerate(kept):
        rows, left = slice(row * step + step - size, (row + 1) * step), FIRST * size
        sheet[rows, :size] = _opaque(images[i])
        for layer in near[i]:
            for image in layer:
                sheet[rows, left : left + size] = _opaque(image)
                left += size
            left += gap
    return sheet, step, gap


def _opaque(image: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """An image uint8 (c, h, w), grey or in colour, as (h, w, 4)."""
    import numpy as np

    colour = np.broadcast_to(image, (3, *image.shape[1:]))
    return np.concatenate([colour, np.full_like(colour[:1], 255)]).transpose(1, 2, 0)


def _kept(groups: "np.ndarray[Any, Any]") -> list[int]:
    """All exemplars of the test images, and the first of each foreign set."""
    seen: set[str] = set()
    kept = []
    for place, group in enumerate(map(str, groups)):
        if not group or group not in seen:
            kept.append(place)
        seen.add(group)
    return kept


def _lines(
    axis: "Axes", found: Found, key: str, names: tuple[str, str], of: str, style: str = "-"
) -> list[dict[str, Any]]:
    """Draw a curve of each setting and seed; gives the data."""
    data = []
    for setting, seeds, colour in _coloured(found):
        for place, one in enumerate(seeds):
            x, y = one[key].T
            label = setting if style == "-" else ""
            axis.plot(x, y, color=colour, linewidth=0.9, alpha=0.7, linestyle=style, label=label)
            data += [
                {"of": of, "setting": setting, "line": place, names[0]: a, names[1]: b}
                for a, b in zip(x, y, strict=True)
            ]
    return data


def _pooled(tables: "Sequence[np.ndarray[Any, Any]]") -> "tuple[np.ndarray[Any, Any], ...]":
    """Confidence, accuracy and count of the bins of all seeds together, those with enough images."""
    import numpy as np

    stacked = np.stack(tables)
    count = stacked[..., 2].sum(0)
    sums = np.nansum(stacked[..., :2] * stacked[..., 2:], axis=0)
    enough = count >= FEWEST
    return sums[enough, 0] / count[enough], sums[enough, 1] / count[enough], count[enough]


def _coloured(found: Found) -> Iterator[tuple[str, Sequence[Arrays], str]]:
    """Each setting, what there is of its seeds, and its colour."""
    for setting, colour in colours(found).items():
        yield setting, found[setting], colour


def _diagonal(axis: "Axes") -> None:
    axis.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.0)


def _frame(data: list[dict[str, Any]]) -> Any:
    import pandas as pd

    return pd.DataFrame(data)
