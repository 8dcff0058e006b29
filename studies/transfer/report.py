"""The report on transfer: who falls to attacks on whom, by how much, and whether gradients are masked."""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

from lab.cells.folder import CellFolder
from lab.cells.rows import pick
from lab.files import read_arrays
from lab.reporting.fonts import numbered
from lab.reporting.report import Figure, Report, Section
from lab.reporting.statistics import OF_SHARES, SHARE, paired_by_seed
from lab.reporting.tables import Rows, Table, columns, mean_entry, seed_table
from studies._config import classes_of
from studies.transfer import figures
from studies.transfer.effects import ATTACK, SELF, attacked, gradients
from tasks._attacks import CLEAN
from tasks.transfer_attacks import MAP

if TYPE_CHECKING:
    import pandas as pd

    from studies.transfer import Config

READING = (
    "An image counts as fooled where the network had it right and has it wrong after the attack. A network attacked "
    "itself is the white box; otherwise source and targets are of different seeds, so that they share neither weights "
    "at the start nor batches. A source's success is a mean over its targets of a kind, and intervals are over the "
    "seeds of the sources. These share the targets, so that how much targets differ is in no interval: that of the "
    "transfer among networks of a kind is too narrow; in the comparison with the baselines they cancel. Noise of the "
    "same size knows nothing of any network: what it does is no attack's merit. The accuracy that an attack leaves is "
    "an upper bound: a stronger one may leave less."
)
MASKING = (
    "Where gradients vanish, an attack that follows them fails, robust or not. Signs of that are: square, which asks "
    "for no gradient, or an attack that was made on another network, fools more images than PGD does on the network "
    "itself; and many gradients that are 0 or vanish (so small that to first order no change of an image moves the "
    "loss by as much as float32 tells from 1)."
)
CHANCE = "At the largest eps a working attack leaves accuracy at or below chance; one that leaves more is broken."
SHARES = {"zero": "images without a gradient", "vanishing": "images whose gradient vanishes", "values": "values of 0"}
"""What is told of gradients, in words; all are shares."""

Settings = Sequence[str]


def report(config: "Config", table: "pd.DataFrame", artifacts: list[CellFolder]) -> Report:
    """The whole report, from the rows and the cells' files alone; whatever has not been measured is left out."""
    rows = pick(table, kind="attack")
    settings = [one for one in config.settings_by_alpha(config.alphas).values() if len(pick(rows, setting=one))]
    attacks = [name for name in rows["space"].unique() if name != CLEAN]
    sections = [Section("How to read it", READING)]
    if settings and attacks:
        sections += _sections(config, table, settings, attacks, artifacts)
    return Report(
        "Attacks from one classifier to another",
        "Do attacks on entangled classifiers transfer less, and is what withstands them robust or masked?",
        sections,
    )


def _sections(
    config: "Config", table: "pd.DataFrame", settings: Settings, attacks: Sequence[str], artifacts: list[CellFolder]
) -> list[Section]:
    at, classes = config.at, classes_of(artifacts)
    maps = _maps(table, settings, artifacts)
    drawn: list[Figure | Table] = [figures.gradient_maps(maps, classes), *numbered(classes)] if maps and classes else []
    return [
        Section(
            f"Who falls to attacks on whom, eps {at:g}",
            "A row is the kind of the source, a column what is shown its images: the source itself, or networks of a "
            "kind and of other seeds.",
            [
                figures.matrix(table, settings, attacks, at),
                _matrix_table(table, settings, attacks, at),
                _seeds(table, settings, at),
            ],
        ),
        Section("By the size of the attack", CHANCE, [figures.curves(table, settings), _left(table, settings)]),
        Section(
            "Robust or masked",
            MASKING,
            [
                figures.masking(table, settings, attacks),
                _masking_table(table, settings, at),
                _gradient_table(table, settings),
            ],
        ),
        *([Section("Signs of gradients", "Images that lie near share signs.", drawn)] if drawn else []),
    ]


def _maps(table: "pd.DataFrame", settings: Settings, cells: Sequence[CellFolder]) -> dict[str, figures.Arrays]:
    """The map of each setting that kept one."""
    paths = {cell.path.name: cell.path / MAP for cell in cells}
    found: dict[str, figures.Arrays] = {}
    for setting in settings:
        for name in pick(table, kind="gradient", setting=setting)["cell"].unique():
            if name in paths and (arrays := read_arrays(paths[name])):
                found.setdefault(setting, arrays)
    return found


def _matrix_table(table: "pd.DataFrame", settings: Settings, attacks: Sequence[str], at: float) -> Table:
    rows: Rows = []
    for attack, source in product(attacks, settings):
        own = [attacked(table, source, target, attack, at) for target in (SELF, *settings)]
        fooling = [attacked(table, source, target, attack, at, "transferred") for target in settings]
        rows.append([attack, source, *(mean_entry(share, SHARE) for share in (*own, *fooling))])
    headers = columns("attack", "source", "itself", *(f"to {one}" for one in settings))
    headers += columns(*(f"to {one}, of what fools the source" for one in settings))
    caption = "Share of images fooled: mean over the sources' seeds with its 95% interval."
    return Table("transfer", caption, headers, rows)


def _seeds(table: "pd.DataFrame", settings: Settings, at: float) -> Table:
    found = {
        (source, target or "itself"): attacked(table, source, target, ATTACK, at)
        for source, target in product(settings, (SELF, *settings))
    }
    return seed_table("seeds", f"Every source: share of images fooled by {ATTACK}.", ["source", "target"], found)


def _left(table: "pd.DataFrame", settings: Settings) -> Table:
    """The accuracy of each kind of network under each attack on itself."""
    own = pick(table, kind="attack", group=SELF, metric="accuracy")
    rows: Rows = []
    for attack, eps in own[["space", "side"]].drop_duplicates().itertuples(index=False, name=None):
        rows.append(
            [
                attack,
                float(eps),
                *(mean_entry(attacked(own, one, SELF, attack, float(eps), "accuracy"), SHARE) for one in settings),
            ]
        )
    caption = "Accuracy that attacks on the network itself leave: mean over seeds with its 95% interval."
    return Table("accuracy", caption, [*columns("attack", "eps"), *columns(*settings, better="higher")], rows)


def _masking_table(table: "pd.DataFrame", settings: Settings, at: float) -> Table:
    """By how much others fool a kind of network more than PGD on the network itself does."""
    rows: Rows = []
    for target in settings:
        white = attacked(table, target, SELF, ATTACK, at)
        square = paired_by_seed(attacked(table, target, SELF, "square", at), white, within=OF_SHARES)
        others = [attacked(table, source, target, ATTACK, at) for source in settings]
        masked = [paired_by_seed(one, white, within=OF_SHARES) or "-" for one in others]
        rows.append([target, mean_entry(white, SHARE), square or "-", *masked])
    headers = columns(
        "network", f"{ATTACK} on itself", "square minus that", *(f"{ATTACK} from {one} minus that" for one in settings)
    )
    caption = "Share of images fooled; a difference above 0 shows a mask. Paired by seed, of the source in transfer."
    return Table("masking", caption, headers, rows)


def _gradient_table(table: "pd.DataFrame", settings: Settings) -> Table:
    rows: Rows = [
        [one, *(mean_entry(gradients(table, one, metric), SHARE) for metric in (*SHARES, "entanglement"))]
        for one in settings
    ]
    headers = columns("network", *SHARES.values(), "entanglement of the classes in the signs")
    caption = "Gradients of the cross-entropy at test images, as shares; mean over seeds with its 95% interval."
    return Table("gradients", caption, headers, rows)
