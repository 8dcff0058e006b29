"""The report on the layers of classifiers over training: verdicts, curves, heat maps, class pairs and tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lab.cells.folder import CellFolder
from lab.cells.rows import pick
from lab.reporting.report import Column, Figure, Report, Section, Table
from lab.reporting.statistics import paired_difference
from lab.reporting.tables import estimate_cell
from lab.reporting.verdicts import Claim, Verdict, judge
from studies.layers import figures

if TYPE_CHECKING:
    import pandas as pd

WITHOUT = "alpha=0"
OUTPUTS = ("pixels", "logits")
"""What is measured and is no hidden layer."""
READING = (
    "A score is the soft nearest neighbor loss between the classes in a layer at its best temperature, divided by the "
    "value it cannot exceed: 0 for classes that lie apart, 1 for classes that mix. A fall is the score of the "
    "untrained network minus that at the end. The untrained network and the pixels are the controls: what a layer "
    "owes to the images and to random weights, not to learning. The loss alone, its temperature and its bound are in "
    "the table: temperatures are in units of each layer's own distances and cannot be compared across layers."
)
"""What a reader needs to know before the figures."""


def draw(
    claims: list[Claim],
    table: "pd.DataFrame",
    cells: list[CellFolder],
    classifiers: Sequence[str],
    settings: Sequence[str],
    classes: Sequence[str],
    n: int,
) -> Report:
    """The whole report; whatever has not been measured is left out."""
    reading = f"{READING} Every measurement is of the same n = {n} held-out images; maps are averaged to at most 4096 "
    measured = [name for name in classifiers if not pick(table, kind="layers", model=name).empty]
    return Report(
        title="Entanglement of classes in the layers of classifiers over training",
        question="Which layers of a classifier part the classes as it learns, and does maximising entanglement keep "
        "them mixed?",
        verdicts=[_verdict(claim, table, settings) for claim in claims],
        sections=[
            Section("How to read it", f"{reading}numbers an image."),
            *(_section(name, table, cells, settings, classes) for name in measured),
            *([_accuracy(table, measured, settings)] if measured else []),
        ],
    )


def layers_of(table: "pd.DataFrame", classifier: str) -> list[str]:
    """What was measured of a classifier, from the first hidden layer to the logits."""
    return list(pick(table, kind="layers", model=classifier)["space"].unique())


def hidden_of(table: "pd.DataFrame", classifier: str) -> list[str]:
    """The hidden layers of a classifier, in order."""
    return [layer for layer in layers_of(table, classifier) if layer not in OUTPUTS]


def scores(table: "pd.DataFrame", classifier: str, setting: str, layer: str, metric: str = "entanglement") -> Any:
    """A measure of one layer, (seeds, steps); the last column is the end of training."""
    kind = "reference" if layer == "pixels" else "layers"
    rows = pick(table, kind=kind, model=classifier, setting=setting, space=layer, metric=metric)
    return rows.pivot_table(index="seed", columns="step", values="value", sort=True)


def falls(table: "pd.DataFrame", classifier: str, setting: str, layer: str) -> "pd.Series[float]":
    """The score of the untrained network minus that at the end, by seed."""
    import pandas as pd

    found = scores(table, classifier, setting, layer)
    if found.empty:
        return pd.Series(dtype=float)
    return (found.iloc[:, 0] - found.iloc[:, -1]).dropna()


def _verdict(claim: Claim, table: "pd.DataFrame", settings: Sequence[str]) -> Verdict:
    import pandas as pd

    kind, classifier = claim.key.split("/")
    hidden = hidden_of(table, classifier)
    if kind == "stay":
        if len(hidden) < 2:
            return judge(claim, None)
        fallen = {layer: falls(table, classifier, WITHOUT, layer) for layer in (*hidden, "logits")}
        after = pd.concat([fallen[hidden[-1]], fallen["logits"]], axis=1).min(axis=1, skipna=False)
        before = pd.concat([fallen[layer] for layer in hidden[:-1]], axis=1).mean(axis=1, skipna=False)
    else:
        after, before = (_mean_at_end(table, classifier, setting, hidden) for setting in (settings[-1], WITHOUT))
    both = sorted(set(after.dropna().index) & set(before.dropna().index))
    return judge(claim, paired_difference(after[both], before[both]) if both else None)


def _mean_at_end(table: "pd.DataFrame", classifier: str, setting: str, hidden: Sequence[str]) -> "pd.Series[float]":
    """The mean score of the hidden layers at the end, by seed."""
    import pandas as pd

    ends = [scores(table, classifier, setting, layer) for layer in hidden]
    ends = [found.iloc[:, -1] for found in ends if not found.empty]
    return pd.concat(ends, axis=1).mean(axis=1) if ends else pd.Series(dtype=float)


def _section(
    classifier: str, table: "pd.DataFrame", cells: list[CellFolder], settings: Sequence[str], classes: Sequence[str]
) -> Section:
    layers, hidden = layers_of(table, classifier), hidden_of(table, classifier)
    known = set(pick(table, kind="layers", model=classifier)["setting"])
    settings = [setting for setting in settings if setting in known]
    pairs = _class_pairs(cells, classifier)
    items: list[Figure | Table] = [
        figures.curves(table, classifier, layers, settings),
        figures.heat_maps(table, classifier, layers, settings),
        _layer_table(table, classifier, ["pixels", *layers], settings),
        _fall_table(table, classifier, layers, settings),
    ]
    if pairs and classes:
        shown = list(dict.fromkeys([hidden[0], hidden[-1], "logits"]))
        items.insert(2, figures.class_pairs(pairs, classifier, shown, classes))
    text = (
        "Thin lines are single seeds, thick ones their mean; the dotted line is the pixels. In a class-pair matrix a "
        "row is the mean softmax mass, at the layer's best temperature, of a class's images on each class."
    )
    return Section(f"The layers of {classifier}", text, items)


def _accuracy(table: "pd.DataFrame", classifiers: Sequence[str], settings: Sequence[str]) -> Section:
    rows = [
        [
            name,
            setting,
            *(estimate_cell(_tested(table, name, setting, metric)) for metric in ("accuracy", "nll", "ece")),
        ]
        for name in classifiers
        for setting in settings
    ]
    columns = [
        Column("classifier"),
        Column("setting"),
        Column("accuracy", "higher"),
        Column("NLL", "lower"),
        Column("ECE", "lower"),
    ]
    caption = "The test split, once, at the end: mean over seeds with its 95% interval. Accuracy is a share in [0, 1]."
    return Section(
        "What the classifiers reached",
        "Accuracy on the images that were kept apart from training to validate on, after every epoch.",
        [figures.accuracy(table, classifiers, settings), Table("accuracy", caption, columns, rows)],
    )


def _tested(table: "pd.DataFrame", classifier: str, setting: str, metric: str) -> "pd.Series[float]":
    rows = pick(table, kind="classifier", split="test", model=classifier, setting=setting, metric=metric)
    return rows.set_index("seed")["value"]


def _layer_table(table: "pd.DataFrame", classifier: str, layers: Sequence[str], settings: Sequence[str]) -> Table:
    measures = (
        ("entanglement", "score"),
        ("entanglement_loss", "loss"),
        ("inverse_temperature", "1 / temperature"),
        ("entanglement_bound", "bound"),
    )
    rows: list[list[Any]] = []
    for setting in settings:
        for layer in layers:
            found = {metric: scores(table, classifier, setting, layer, metric) for metric, _ in measures}
            if not found["entanglement"].empty:
                first = estimate_cell(found["entanglement"].iloc[:, 0])
                rows.append([setting, layer, first, *(estimate_cell(values.iloc[:, -1]) for values in found.values())])
    columns = [
        Column("setting"),
        Column("layer"),
        Column("score, untrained"),
        *(Column(f"{name}, end") for _, name in measures),
    ]
    caption = (
        f"Every layer of {classifier}: mean over seeds with its 95% interval. Pixels do not change. 1 / temperature is "
        "in units of the layer's own distances: 0 where the classes mix at every scale."
    )
    return Table(f"layers-{classifier}-ends", caption, columns, rows)


def _fall_table(table: "pd.DataFrame", classifier: str, layers: Sequence[str], settings: Sequence[str]) -> Table:
    fallen = {(setting, layer): falls(table, classifier, setting, layer) for setting in settings for layer in layers}
    seeds = sorted({int(seed) for values in fallen.values() for seed in values.index})
    rows: list[list[Any]] = [
        [setting, layer, *(float(values.get(seed, float("nan"))) for seed in seeds)]
        for (setting, layer), values in fallen.items()
    ]
    columns = [Column("setting"), Column("layer"), *(Column(f"seed {seed}") for seed in seeds)]
    caption = f"Every seed of {classifier}: the fall in score from the untrained network to the end."
    return Table(f"falls-{classifier}", caption, columns, rows)


def _class_pairs(cells: list[CellFolder], classifier: str) -> list[dict[str, Any]]:
    """The class-pair matrices of a classifier's trainings without SNNL, one a seed."""
    import numpy as np

    paths = [cell.path / "class_pairs.npz" for cell in cells if _is_of(cell, classifier)]
    return [dict(np.load(path, allow_pickle=False)) for path in paths if path.exists()]


def _is_of(cell: CellFolder, classifier: str) -> bool:
    """Whether a cell measured the classifier without SNNL."""
    return any(
        row["kind"] == "layers" and row["model"] == classifier and row["setting"] == WITHOUT for row in cell.rows()
    )
