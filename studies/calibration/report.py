"""The report on what is foreign: scores of foreign images, credibility, validity of p-values, and accuracy."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

from lab.cells.folder import CellFolder
from lab.cells.rows import pick
from lab.files import read_arrays
from lab.reporting.fonts import numbered
from lab.reporting.report import Report, Section
from lab.reporting.statistics import OF_SHARES, POSITIVE, SHARE, Range, by_seed, paired_by_seed
from lab.reporting.tables import Better, Column, Rows, Table, columns, mean_entry, seed_table
from studies._config import classes_of
from studies.calibration import attacked, figures
from studies.calibration.effects import SCORE, credibility, detected, predicted
from tasks import _foreign
from tasks._credibility import DKNN, NETWORK, SCALED
from tasks._pictures import CURVES, EXEMPLARS, MAP

if TYPE_CHECKING:
    import pandas as pd

    from studies.calibration import Config

READING = (
    "A score is larger for more foreign images, and its AUROC the probability that a foreign image scores higher than "
    "a test image, ties counted half: 0.5 is chance. Credibility is the largest p-value of an image's labels. It is a "
    "p-value, not the probability of being right: on test images the p-value of the true label is at most e in a share "
    "e of them at most, and nothing is promised of foreign ones. Network and neighbours have the same seeds with and "
    "without the loss, so that differences are paired. Foreign images chose nothing: alpha, k, layers and the score of "
    "the claim were fixed before, and temperatures come from validation images. As many foreign as test images are "
    "shown. Those made of test images are of the same ones."
)
TABLES: tuple[tuple[str, str, Better], ...] = (
    ("auroc", "AUROC", "higher"),
    ("aupr_ood_pos", "AUPR, foreign ones positive, as many as test images", "higher"),
    ("fpr95_ood_pos", "share of test images flagged where 95% of the foreign ones are", "lower"),
)
"""Metric, what it is called, and which direction is better."""
PREDICTIONS: tuple[tuple[str, Better, Range], ...] = (
    ("accuracy", "higher", SHARE),
    ("nll", "lower", POSITIVE),
    ("brier", "lower", (0.0, 2.0)),
    ("ece", "lower", SHARE),
    ("ece_equal_mass", "lower", SHARE),
    ("aurc", "lower", SHARE),
)
"""Metric, which direction is better, and what it can be."""
SEEDS = (SCORE, "credibility", NETWORK)
"""The scores of which every seed is shown."""
ROC = {SCORE: "-", NETWORK: "--"}
"""The scores whose ROC curves are drawn, and the style of their lines."""

Settings = Sequence[str]


def report(config: "Config", table: "pd.DataFrame", artifacts: list[CellFolder]) -> Report:
    """The whole report, from the rows and the cells' files alone; whatever has not been measured is left out."""
    rows = pick(table, kind="foreign")
    foreign = list(rows["group"].unique())
    settings = [one for one in config.settings_by_alpha(config.alphas).values() if len(pick(rows, setting=one))]
    asked = config.foreign or _foreign.usual(config.imageset)
    absent = [name for name in asked if settings and name not in foreign]
    left_out = f"\n\nNot measured, as they were not at hand: {', '.join(absent)}." if absent else ""
    sections = [Section("How to read it", f"{READING}{left_out}")]
    if settings:
        sections += [*_sections(table, settings, foreign, artifacts), *attacked.sections(config, table, settings)]
    return Report(
        "What a classifier knows, and what is foreign to it",
        "Do entangled hidden layers help deep k-nearest neighbours to tell foreign images apart, and is their "
        "credibility calibrated?",
        sections,
    )


def _sections(
    table: "pd.DataFrame", settings: Settings, foreign: Sequence[str], artifacts: list[CellFolder]
) -> list[Section]:
    curves, maps, exemplars = (_files(table, settings, artifacts, name) for name in (CURVES, MAP, EXEMPLARS))
    classes = classes_of(artifacts)
    sections = [
        Section(
            "Foreign images",
            f"{SCORE} is the mean cosine distance to the k neighbours (or the distance that was asked for), without a "
            "layer the mean over the hidden layers. Differences are with the loss minus baseline, paired by seed.",
            [
                *([figures.roc(curves, foreign, ROC)] if curves else []),
                *(_foreign_table(table, settings, foreign, *how) for how in TABLES),
                _seeds(table, settings, foreign),
            ],
        ),
        Section(
            "Credibility",
            "Mean credibility beside the mean maximum softmax probability, on test images and on foreign ones.",
            [*([figures.histograms(curves, foreign)] if curves else []), _credibility_table(table, settings, foreign)],
        ),
        Section(
            "Calibration and accuracy",
            "The neighbours' probabilities are the shares of labels among the neighbours of all layers, with one added "
            "of each. Temperatures are fitted on validation images that neither network nor neighbours were fitted or "
            "calibrated on. nll: mean negative log-likelihood, in nats. brier: squared distance of the probabilities "
            "to the class as a corner, summed over classes, 0 to 2. ece: expected calibration error of the largest "
            "one, 15 bins of equal width, or of equal mass. aurc: area under the risk-coverage curve, the mean over i "
            "of the share of errors among the i most confident.",
            [
                *([figures.reliability(curves), figures.risk_coverage(curves)] if curves else []),
                _prediction_table(table, settings),
                _validity_table(table, settings),
            ],
        ),
    ]
    if maps:
        drawn = figures.maps({setting: found[0] for setting, found in maps.items()}, foreign)
        sections.append(Section("Maps", "Test images and foreign ones, as hidden layers see them.", [drawn]))
    if exemplars and classes:
        text = "What supports a prediction: the training images that are nearest in each layer."
        shown = [figures.exemplars(name, i, found[0], classes) for i, (name, found) in enumerate(exemplars.items())]
        sections.append(Section("Exemplars", text, [*shown, *numbered(classes)]))
    return sections


def _files(
    table: "pd.DataFrame", settings: Settings, cells: Sequence[CellFolder], name: str
) -> Mapping[str, list[figures.Arrays]]:
    """The arrays in the files of a name, of each setting that has any, in the order of the seeds."""
    paths = {cell.path.name: cell.path / name for cell in cells}
    found: dict[str, list[figures.Arrays]] = {}
    for setting in settings:
        rows = pick(table, kind="foreign", setting=setting).sort_values("seed")
        for cell in rows["cell"].unique():
            if cell in paths and (arrays := read_arrays(paths[cell])):
                found.setdefault(setting, []).append(arrays)
    return found


def _foreign_table(
    table: "pd.DataFrame", settings: Settings, foreign: Sequence[str], metric: str, words: str, better: Better
) -> Table:
    """Every score on every set: mean over seeds, and the paired differences."""
    without, *others = settings
    measured = pick(table, kind="foreign", metric=metric)
    values = {key: by_seed(one) for key, one in measured.groupby(["group", "space", "layer", "setting"])}
    scores = measured[["space", "layer"]].drop_duplicates().itertuples(index=False, name=None)
    rows: Rows = []
    for group, (score, layer) in product(foreign, scores):
        found = [values.get((group, score, layer, one), by_seed(measured[:0])) for one in settings]
        differences = [paired_by_seed(one, found[0], within=OF_SHARES) or "-" for one in found[1:]]
        rows.append([group, score, layer, *(mean_entry(one, SHARE) for one in found), *differences])
    headers = columns("foreign set", "score", "layer") + columns(*settings, better=better)
    headers += columns(*(f"{one} minus {without}" for one in others), better=better)
    caption = f"{words[0].upper()}{words[1:]}: mean over seeds with its 95% interval, and paired differences."
    return Table(metric.replace("_", "-"), caption, headers, rows)


def _seeds(table: "pd.DataFrame", settings: Settings, foreign: Sequence[str]) -> Table:
    found = {
        (f"{score} on {group}", setting): by_seed(pick(detected(table, setting, score), group=group))
        for score, group, setting in product(SEEDS, foreign, settings)
    }
    return seed_table("seeds", "Every seed: AUROC of some scores.", ["score", "setting"], found)


def _credibility_table(table: "pd.DataFrame", settings: Settings, foreign: Sequence[str]) -> Table:
    rows: Rows = []
    for setting, space in product(settings, ("credibility", NETWORK)):
        found = credibility(table, setting, space)
        rows.append(
            [setting, space, *(mean_entry(by_seed(pick(found, group=group)), SHARE) for group in ("", *foreign))]
        )
    headers = columns("setting", "mean of", *map(figures.named, ("", *foreign)))
    return Table("means", "Means over seeds, with their 95% intervals.", headers, rows)


def _prediction_table(table: "pd.DataFrame", settings: Settings) -> Table:
    rows: Rows = []
    for setting, space in product(settings, (NETWORK, SCALED[NETWORK], DKNN, SCALED[DKNN], "credibility", SCORE)):
        rows.append(
            [
                setting,
                space,
                *(mean_entry(predicted(table, setting, space, metric), within) for metric, _, within in PREDICTIONS),
            ]
        )
    headers = [*columns("setting", "confidence"), *(Column(metric, better) for metric, better, _ in PREDICTIONS)]
    caption = (
        "Test images: mean over seeds with its 95% interval. Accuracy is a share in [0, 1]. Of credibility, a p-value, "
        "and of a distance there is only how well they order predictions: AURC."
    )
    return Table("predictions", caption, headers, rows)


def _validity_table(table: "pd.DataFrame", settings: Settings) -> Table:
    kinds = {"validity": "calibration images", "resampled": "random splits"}
    rows: Rows = []
    found = table[table["kind"].isin(kinds)]
    levels, formulas = found["group"].unique(), found["space"].unique()
    for setting, formula, (kind, words) in product(settings, formulas, kinds.items()):
        shares = pick(found, kind=kind, setting=setting, space=formula, side="share")
        if len(shares):
            rows.append(
                [setting, formula, words, *(mean_entry(by_seed(pick(shares, group=level)), SHARE) for level in levels)]
            )
    headers = columns("setting", "formula", "against", *(f"P(p <= {level})" for level in levels))
    caption = (
        "The share of p-values of true labels at most each level, mean over seeds with its 95% interval: against the "
        "calibration images, and over 200 random splits of these and the test images. Bands are in the table of rows."
    )
    return Table("validity", caption, headers, rows)
