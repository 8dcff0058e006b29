"""The report on regularisation: tables and figures of the test accuracy with and without the loss.

A training is told by its alpha, and in rows by its setting: `settings` has the setting of each alpha, the baseline's 0
first.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

from lab.cells.folder import CellFolder
from lab.cells.rows import pick
from lab.reporting.report import Report, Section
from lab.reporting.statistics import PERCENT, POSITIVE, SHARE, Range
from lab.reporting.tables import Better, Column, Rows, Table, columns, mean_entry, seed_rows
from studies.classifier_regularization import figures
from studies.classifier_regularization.effects import gain, name_of, sign, tested
from studies.classifier_regularization.published import PUBLISHED, WIDEST, note

if TYPE_CHECKING:
    import pandas as pd

    from studies.classifier_regularization import Config

READING = (
    "The objective is cross-entropy plus alpha times the sum over the hidden layers of the soft nearest neighbor loss. "
    "Baseline and alphas have the same seeds, and a seed decides the initial weights, the validation part and every "
    "batch: differences are paired by seed. All have the same learning rate. The study looks at the test split once, "
    "at the end of each training. Accuracies and their differences are in percent and percentage points; 95% intervals."
)
PUBLISHED_TEXT = (
    "The paper's figures are recalled, not read, and unsure; they are the best of its seeds. The replication's are "
    "means. A note holds our paired difference against theirs: reproduced if our interval holds all of theirs and is "
    f"at most {WIDEST} points wide to either side. A baseline of another level means another protocol."
)
GRADIENTS_TEXT = (
    "The loss of a layer has no gradient in a step whose search for the best temperature ended at a limit: the classes "
    "were told apart by every nearest neighbour, or fully mixed. In a batch without a repeated class the loss is 0. "
    "Counts are sums over the steps of all seeds."
)
DIRECTIONS = {
    -1: "negative, so the entanglement of classes in the hidden layers is maximised, as in the paper",
    0: "the baseline, cross-entropy alone",
    1: "positive, so the entanglement of classes in the hidden layers is minimised, against the paper",
}
"""What an alpha of a sign does."""
MEASURES: tuple[tuple[str, str, float, Better, Range], ...] = (
    ("accuracy", "accuracy (%)", 100.0, "higher", PERCENT),
    ("nll", "NLL", 1.0, "lower", POSITIVE),
    ("ece", "ECE", 1.0, "lower", SHARE),
)
"""Metric, what people call it, the factor of its unit, which direction is better, and what it can be in that unit."""

Settings = Mapping[float, str]


def report(config: "Config", table: "pd.DataFrame", artifacts: list[CellFolder]) -> Report:
    """The whole report, from the rows alone; whatever has not been measured is left out."""
    settings = config.settings_by_alpha(config.alphas)
    measured = [images for images in config.imagesets if len(tested(table, images, settings[0.0], "accuracy"))]
    directions = "\n\n".join(f"alpha = {alpha:g}: {DIRECTIONS[sign(alpha)]}." for alpha in settings)
    return Report(
        "Entangled hidden layers as a regulariser",
        "Does maximising the entanglement of classes in a classifier's hidden layers keep or raise its test accuracy?",
        [
            Section("How to read it", f"{READING}\n\n{directions}"),
            *(_measured(table, measured, settings) if measured else []),
        ],
    )


def _measured(table: "pd.DataFrame", imagesets: Sequence[str], settings: Settings) -> list[Section]:
    found = (table, imagesets, settings)
    counted, published = _gradient_table(*found), _published_table(*found)
    return [
        Section(
            "Test accuracy",
            "Each dot is a seed, grey lines join a seed's trainings; mean and 95% interval in colour. The band is the "
            "margin of the claims.",
            [figures.accuracy(*found), *_tables(*found)],
        ),
        Section(
            "Calibration",
            "NLL: mean negative log-likelihood. ECE: expected calibration error, 15 bins of equal width.",
            [figures.calibration(*found)],
        ),
        Section("Training", "Thin lines are single seeds, thick ones their mean.", [figures.training(*found)]),
        *([Section("Gradients of the loss", GRADIENTS_TEXT, [counted])] if counted.rows else []),
        *([Section("Beside published figures", PUBLISHED_TEXT, [published])] if published.rows else []),
    ]


def _tables(table: "pd.DataFrame", imagesets: Sequence[str], settings: Settings) -> list[Table]:
    """What was reached, over the seeds and by each."""
    means: Rows = []
    seeds: Rows = []
    for images, (alpha, setting) in product(imagesets, settings.items()):
        values = [factor * tested(table, images, setting, metric) for metric, _, factor, *_ in MEASURES]
        seeds += [[images, name_of(alpha), *row] for row in seed_rows(values)]
        if len(values[0]):
            gained = gain(table, images, setting, settings[0.0]) if alpha else None
            found = (mean_entry(one, measure[-1]) for one, measure in zip(values, MEASURES, strict=True))
            means.append([images, name_of(alpha), float(values[0].max()), *found, gained or "-"])
    which, measured = columns("image set", "alpha"), [Column(name, better) for _, name, _, better, _ in MEASURES]
    best, difference = columns("best accuracy (%)", "accuracy minus baseline (points)", better="higher")
    caption = "On the test split at the end of training: best and mean over seeds; the difference is paired by seed."
    everyone = "Every seed on the test split at the end of training."
    return [
        Table("regularization", caption, [*which, best, *measured, difference], means),
        Table("seeds", everyone, [*which, Column("seed"), *measured], seeds),
    ]


def _gradient_table(table: "pd.DataFrame", imagesets: Sequence[str], settings: Settings) -> Table:
    rows: Rows = [
        [images, name_of(alpha), *counts]
        for images, (alpha, setting) in product(imagesets, settings.items())
        for counts in _gradients(pick(table, kind="training", imageset=images, setting=setting))
    ]
    headers = [
        *columns("image set", "alpha", "layer", "steps"),
        *columns("vanished gradients", "share", "batches without a repeated class", better="lower"),
        Column("loss at the end"),
    ]
    caption = "Steps of all seeds, those without a gradient of the layer's loss, and the loss over the last steps."
    return Table("gradients", caption, headers, rows)


def _gradients(rows: "pd.DataFrame") -> Iterator[tuple[str, int, int, float, int, float]]:
    """Layer, steps, vanished gradients, their share, batches without a repeated class, loss over the last steps."""
    lonely = int(pick(rows, metric="no_repeat")["value"].sum())
    for layer, own in pick(rows, metric="vanished_gradient").groupby("layer", sort=False):
        steps, vanished = int(own["n"].sum()), int(own["value"].sum())
        losses = pick(rows, metric="snnl", layer=layer)
        last = losses[losses["step"] == losses["step"].max()]["value"].mean()
        yield str(layer), steps, vanished, vanished / max(1, steps), lonely, float(last)


def _published_table(table: "pd.DataFrame", imagesets: Sequence[str], settings: Settings) -> Table:
    rows: Rows = []
    known = [published for published in PUBLISHED if published.imageset in imagesets]
    for published, (alpha, setting) in product(known, settings.items()):
        gained = gain(table, published.imageset, setting, settings[0.0]) if alpha < 0 else None
        if gained:
            baseline = float(100 * tested(table, published.imageset, settings[0.0], "accuracy").mean())
            theirs = [_range(published.lowest, published.highest), _range(*published.gain, "+.2f")]
            judged = note(published, baseline, gained)
            whose = (published.imageset, published.source)
            rows.append([*whose, published.without, *theirs, name_of(alpha), baseline, gained, judged])
    headers = columns("image set", "published by", "without (%)", "with (%)", "difference (points)")
    headers += columns("our alpha", "our baseline (%)", "our difference (points)", "note")
    return Table("published", "Published test accuracies beside ours.", headers, rows)


def _range(low: float, high: float, form: str = ".2f") -> str:
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"
