"""The report on regularisation: verdicts, tables and figures of the test accuracy with and without the loss."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lab.reporting.report import Column, Report, Section, Table
from lab.reporting.statistics import Estimate, paired_difference
from lab.reporting.tables import Better, estimate_cell
from lab.reporting.verdicts import Claim, Verdict, judge
from studies.classifier_regularization import figures
from studies.classifier_regularization.published import PUBLISHED, WIDEST, note
from studies.classifier_regularization.table import by_seed, gradients, name_of

if TYPE_CHECKING:
    import pandas as pd

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
MEASURES: tuple[tuple[str, str, float, Better], ...] = (
    ("accuracy", "accuracy (%)", 100.0, "higher"),
    ("nll", "NLL", 1.0, "lower"),
    ("ece", "ECE", 1.0, "lower"),
)
"""Metric, what people call it, the factor of its unit, and which direction is better."""


def draw(claims: list[Claim], table: "pd.DataFrame", imagesets: Sequence[str], alphas: Sequence[float]) -> Report:
    """The whole report; whatever has not been measured is left out."""
    every = (0.0, *alphas)
    measured = [images for images in imagesets if len(by_seed(table, "accuracy", images, 0.0))]
    directions = "\n\n".join(f"alpha = {alpha:g}: {direction(alpha)}." for alpha in every)
    return Report(
        title="Entangled hidden layers as a regulariser",
        question="Does maximising the entanglement of classes in a classifier's hidden layers keep or raise its test "
        "accuracy?",
        verdicts=[_verdict(claim, table) for claim in claims],
        sections=[
            Section("How to read it", f"{READING}\n\n{directions}"),
            *(_measured(table, measured, every) if measured else []),
        ],
    )


def direction(alpha: float) -> str:
    """What an alpha does, in words."""
    if alpha == 0:
        return "the baseline, cross-entropy alone"
    if alpha < 0:
        return "negative, so the entanglement of classes in the hidden layers is maximised, as in the paper"
    return "positive, so the entanglement of classes in the hidden layers is minimised, against the paper"


def _measured(table: "pd.DataFrame", imagesets: Sequence[str], alphas: Sequence[float]) -> list[Section]:
    published = _published_table(table, imagesets, alphas)
    counted = _gradient_table(table, imagesets, alphas)
    return [
        Section(
            "Test accuracy",
            "Each dot is a seed, grey lines join a seed's trainings; mean and 95% interval in colour. The band is the "
            "margin of the claims.",
            [
                figures.accuracy(table, imagesets, alphas),
                _table(table, imagesets, alphas),
                _seed_table(table, imagesets, alphas),
            ],
        ),
        Section(
            "Calibration",
            "NLL: mean negative log-likelihood. ECE: expected calibration error, 15 bins of equal width.",
            [figures.calibration(table, imagesets, alphas)],
        ),
        Section(
            "Training",
            "Thin lines are single seeds, thick ones their mean.",
            [figures.training(table, imagesets, alphas)],
        ),
        *([Section("Gradients of the loss", GRADIENTS_TEXT, [counted])] if counted.rows else []),
        *([Section("Beside published figures", PUBLISHED_TEXT, [published])] if published.rows else []),
    ]


def _verdict(claim: Claim, table: "pd.DataFrame") -> Verdict:
    _, alpha, images = claim.key.split("/", 2)
    return judge(claim, _gain(table, images, float(alpha)))


def _gain(table: "pd.DataFrame", images: str, alpha: float) -> Estimate | None:
    """Accuracy with the loss minus baseline in percentage points, paired by seed."""
    with_loss, without = (by_seed(table, "accuracy", images, value) for value in (alpha, 0.0))
    both = sorted(set(with_loss.index) & set(without.index))
    return paired_difference(100 * with_loss[both], 100 * without[both]) if both else None


def _table(table: "pd.DataFrame", imagesets: Sequence[str], alphas: Sequence[float]) -> Table:
    rows: list[list[Any]] = []
    for images in imagesets:
        for alpha in alphas:
            values = {metric: by_seed(table, metric, images, alpha) for metric, *_ in MEASURES}
            if not len(values["accuracy"]):
                continue
            gain = _gain(table, images, alpha) if alpha else None
            rows.append(
                [
                    images,
                    name_of(alpha),
                    float(100 * values["accuracy"].max()),
                    *(estimate_cell(factor * values[metric]) for metric, _, factor, _ in MEASURES),
                    gain if gain else "-",
                ]
            )
    columns = [
        Column("image set"),
        Column("alpha"),
        Column("best accuracy (%)", "higher"),
        *(Column(name, better) for _, name, _, better in MEASURES),
        Column("accuracy minus baseline (points)", "higher"),
    ]
    caption = "On the test split at the end of training: best and mean over seeds; the difference is paired by seed."
    return Table("regularization", caption, columns, rows)


def _seed_table(table: "pd.DataFrame", imagesets: Sequence[str], alphas: Sequence[float]) -> Table:
    rows: list[list[Any]] = []
    for images in imagesets:
        for alpha in alphas:
            values = [factor * by_seed(table, metric, images, alpha) for metric, _, factor, _ in MEASURES]
            rows += [
                [images, name_of(alpha), int(seed), *(float(series[seed]) for series in values)]
                for seed in values[0].index
            ]
    columns = [
        Column("image set"),
        Column("alpha"),
        Column("seed"),
        *(Column(name, better) for _, name, _, better in MEASURES),
    ]
    return Table("seeds", "Every seed on the test split at the end of training.", columns, rows)


def _gradient_table(table: "pd.DataFrame", imagesets: Sequence[str], alphas: Sequence[float]) -> Table:
    rows: list[list[Any]] = []
    for images in imagesets:
        for alpha in alphas:
            for found in gradients(table, images, alpha):
                rows.append([images, name_of(alpha), *found])
    columns = [
        Column("image set"),
        Column("alpha"),
        Column("layer"),
        Column("steps"),
        Column("vanished gradients", "lower"),
        Column("share", "lower"),
        Column("batches without a repeated class", "lower"),
        Column("loss at the end"),
    ]
    caption = "Steps of all seeds, those without a gradient of the layer's loss, and the loss over the last steps."
    return Table("gradients", caption, columns, rows)


def _published_table(table: "pd.DataFrame", imagesets: Sequence[str], alphas: Sequence[float]) -> Table:
    rows: list[list[Any]] = []
    for published in PUBLISHED:
        if published.imageset not in imagesets:
            continue
        baseline = float(100 * by_seed(table, "accuracy", published.imageset, 0.0).mean())
        for alpha in alphas:
            gain = _gain(table, published.imageset, alpha) if alpha < 0 else None
            if gain:
                rows.append(
                    [
                        published.imageset,
                        published.source,
                        published.without,
                        _range(published.lowest, published.highest),
                        _range(*published.gain, "+.2f"),
                        name_of(alpha),
                        baseline,
                        gain,
                        note(published, baseline, gain),
                    ]
                )
    columns = [
        Column("image set"),
        Column("published by"),
        Column("without (%)"),
        Column("with (%)"),
        Column("difference (points)"),
        Column("our alpha"),
        Column("our baseline (%)"),
        Column("our difference (points)"),
        Column("note"),
    ]
    return Table("published", "Published test accuracies beside ours.", columns, rows)


def _range(low: float, high: float, form: str = ".2f") -> str:
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"
