"""The report on the layers of classifiers over training: curves, heat maps, class pairs and tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lab.cells.folder import CellFolder
from lab.cells.rows import pick
from lab.files import read_arrays
from lab.reporting.fonts import numbered
from lab.reporting.report import Figure, Report, Section
from lab.reporting.statistics import (
    OF_SHARES,
    POSITIVE,
    SHARE,
    Estimate,
    by_seed,
    first_by_seed,
    last_by_seed,
    paired_by_seed,
)
from lab.reporting.tables import Column, Table, columns, mean_entry, seed_table
from studies._config import classes_of
from studies.layers import figures
from tasks.measure_layers import CLASS_PAIRS, PIXELS, place_of

if TYPE_CHECKING:
    import pandas as pd

    from studies.layers import Config

LOGITS = "logits"
"""What is measured and is no hidden layer."""
MEASURES = {
    "entanglement": ("score", SHARE),
    "entanglement_loss": ("loss", POSITIVE),
    "inverse_temperature": ("1 / temperature", POSITIVE),
    "entanglement_bound": ("bound", POSITIVE),
}
"""What is measured of a layer: what people call it, and what it can be."""
READING = (
    "A score is the soft nearest neighbor loss between the classes in a layer at its best temperature, divided by the "
    "value it cannot exceed: 0 for classes that lie apart, 1 for classes that mix. A fall is the score of the "
    "untrained network minus that at the end. The untrained network and the pixels are the controls: what a layer "
    "owes to the images and to random weights, not to learning. The loss alone, its temperature and its bound are in "
    "the table: temperatures are in units of each layer's own distances and cannot be compared across layers."
)
"""What a reader needs to know before the figures."""


def report(config: "Config", table: "pd.DataFrame", artifacts: list[CellFolder]) -> Report:
    """The whole report, from the rows and the cells' artifacts alone; whatever has not been measured is left out."""
    reading = (
        f"{READING} Every measurement is of the same n = {config.n} held-out images; maps are averaged to at most "
        "4096 numbers an image."
    )
    classes = classes_of(artifacts)
    measured = [name for name in config.classifiers if layers_of(table, name)]
    return Report(
        "Entanglement of classes in the layers of classifiers over training",
        "Which layers of a classifier part the classes as it learns, and does maximising entanglement keep them mixed?",
        [
            Section("How to read it", reading, numbered(classes) if len(classes) <= figures.FEW_CLASSES else []),
            *(_section(name, table, artifacts, config.settings) for name in measured),
            *([_accuracy(table, measured, config.settings)] if measured else []),
        ],
    )


def fall_of_the_last(table: "pd.DataFrame", classifier: str, setting: str) -> Estimate | None:
    """The smaller fall of the last hidden layer and the logits, minus the mean fall of the hidden layers before them.

    None with a single hidden layer. Paired by seed.
    """
    import pandas as pd

    *before, last = hidden_of(table, classifier) or [LOGITS]
    if not before:
        return None
    fallen = {layer: falls(table, classifier, setting, layer) for layer in (*before, last, LOGITS)}
    least = pd.concat([fallen[last], fallen[LOGITS]], axis=1).min(axis=1, skipna=False)
    return paired_by_seed(
        least, pd.concat([fallen[layer] for layer in before], axis=1).mean(axis=1, skipna=False), within=OF_SHARES
    )


def rise_of_the_hidden(table: "pd.DataFrame", classifier: str, setting: str, without: str) -> Estimate | None:
    """The mean score of the hidden layers at the end with a setting, minus that without, paired by seed."""
    import pandas as pd

    hidden = hidden_of(table, classifier)
    if not hidden:
        return None
    ends = ([last_by_seed(scores(table, classifier, one, layer)) for layer in hidden] for one in (setting, without))
    after, before = (pd.concat(found, axis=1).mean(axis=1, skipna=False) for found in ends)
    return paired_by_seed(after, before, within=OF_SHARES)


def layers_of(table: "pd.DataFrame", classifier: str) -> list[str]:
    """What was measured of a classifier, from the first hidden layer to the logits."""
    return list(pick(table, kind="layers", model=classifier)["layer"].unique())


def hidden_of(table: "pd.DataFrame", classifier: str) -> list[str]:
    """The hidden layers of a classifier, in order."""
    return [layer for layer in layers_of(table, classifier) if layer != LOGITS]


def scores(
    table: "pd.DataFrame", classifier: str, setting: str, layer: str, metric: str = "entanglement"
) -> "pd.DataFrame":
    """The rows of a measure of one layer, or of the pixels, over the training."""
    return pick(table, model=classifier, setting=setting, metric=metric, **place_of(layer))


def falls(table: "pd.DataFrame", classifier: str, setting: str, layer: str) -> "pd.Series[float]":
    """The score of the untrained network minus that at the end, by seed."""
    found = scores(table, classifier, setting, layer)
    return (first_by_seed(found) - last_by_seed(found)).dropna()


def _section(classifier: str, table: "pd.DataFrame", cells: list[CellFolder], settings: Sequence[str]) -> Section:
    layers, hidden = layers_of(table, classifier), hidden_of(table, classifier)
    rows = pick(table, kind="layers", model=classifier)
    known = [setting for setting in settings if setting in set(rows["setting"])]
    items: list[Figure | Table] = [
        figures.curves(table, classifier, layers, known),
        figures.heat_maps(table, classifier, layers, known),
        _layer_table(table, classifier, layers, known),
        _fall_table(table, classifier, layers, known),
    ]
    pairs, classes = _class_pairs(cells, pick(rows, setting=settings[0])), classes_of(cells)
    if pairs and classes:
        shown = list(dict.fromkeys([hidden[0], hidden[-1], LOGITS]))
        items.insert(2, figures.class_pairs(pairs, classifier, shown, classes))
    text = (
        "Thin lines are single seeds, thick ones their mean; the dotted line is the pixels. In a class-pair matrix a "
        "row is the mean softmax mass, at the layer's best temperature, of a class's images on each class."
    )
    return Section(f"The layers of {classifier}", text, items)


def _accuracy(table: "pd.DataFrame", classifiers: Sequence[str], settings: Sequence[str]) -> Section:
    tested = pick(table, kind="classifier", split="test")
    rows = []
    for name in classifiers:
        for setting in settings:
            own = pick(tested, model=name, setting=setting)
            found = {"accuracy": SHARE, "nll": POSITIVE, "ece": SHARE}
            means = (mean_entry(by_seed(pick(own, metric=metric)), within) for metric, within in found.items())
            rows.append([name, setting, *means])
    headers = [*columns("classifier", "setting"), Column("accuracy", "higher"), *columns("NLL", "ECE", better="lower")]
    caption = "The test split, once, at the end: mean over seeds with its 95% interval. Accuracy is a share in [0, 1]."
    return Section(
        "What the classifiers reached",
        "Accuracy on the images that were kept apart from training to validate on, after every epoch.",
        [figures.accuracy(table, classifiers, settings), Table("accuracy", caption, headers, rows)],
    )


def _layer_table(table: "pd.DataFrame", classifier: str, layers: Sequence[str], settings: Sequence[str]) -> Table:
    rows = []
    for setting in settings:
        for layer in (PIXELS, *layers):
            found = [scores(table, classifier, setting, layer, metric) for metric in MEASURES]
            if len(found[0]):
                ends = (mean_entry(last_by_seed(one), MEASURES[m][1]) for one, m in zip(found, MEASURES, strict=True))
                rows.append([setting, layer, mean_entry(first_by_seed(found[0]), SHARE), *ends])
    headers = columns("setting", "layer", "score, untrained", *(f"{name}, end" for name, _ in MEASURES.values()))
    caption = (
        f"Every layer of {classifier}: mean over seeds with its 95% interval. Pixels do not change. 1 / temperature is "
        "in units of the layer's own distances: 0 where the classes mix at every scale."
    )
    return Table(f"layers-{classifier}-ends", caption, headers, rows)


def _fall_table(table: "pd.DataFrame", classifier: str, layers: Sequence[str], settings: Sequence[str]) -> Table:
    fallen = {(setting, layer): falls(table, classifier, setting, layer) for setting in settings for layer in layers}
    caption = f"Every seed of {classifier}: the fall in score from the untrained network to the end."
    return seed_table(f"falls-{classifier}", caption, ["setting", "layer"], fallen)


def _class_pairs(cells: list[CellFolder], rows: "pd.DataFrame") -> list[dict[str, Any]]:
    """The class-pair matrices of the cells that the rows are from, one a seed."""
    sources = set(rows["cell"])
    found = [read_arrays(cell.path / CLASS_PAIRS) for cell in cells if cell.path.name in sources]
    return [arrays for arrays in found if arrays]
