"""The report on what each measure sees: the smallest amount of each fault, powers, false alarms and costs."""

from itertools import product
from typing import TYPE_CHECKING

from lab.cells.folder import CellFolder
from lab.cells.rows import pick
from lab.reporting.report import Figure, Report, Section
from lab.reporting.statistics import share_interval
from lab.reporting.tables import Entry, Rows, Table, columns
from studies.measures import figures
from studies.measures.effects import NOTHING, Measured, draws, powers, sizes, spaces
from studies.measures.names import FAMILIES, FAMILY_OF, called
from tasks import _faults, _power

if TYPE_CHECKING:
    import pandas as pd

    from studies.measures import Config

READING = (
    "Two disjoint draws of held-out images are compared; the second is spoilt. A measure alarms where its value lies "
    "beyond its critical value, the one that draws which are not spoilt exceed in 5% of the cases; those draws are "
    "others than the reported ones. Its power is the share of spoilt draws in which it alarms, with the exact interval "
    "of Clopper and Pearson: draws take the place of seeds, and all come from the same images. The interval is for the "
    "critical value that was found, and leaves out that another set of draws would have given another. A fault is seen "
    "from the smallest amount on from which the power stays at 0.8 or more. Measures that are best in the middle (1-NN "
    "accuracy, density, Vendi score, spread, class entropy) alarm on both sides, the others on the worse one."
)
TRAINING = (
    "memorised: the share of images that are nearer to a training image than that is to its own nearest. A gap is the "
    "measure against held-out images minus the same against as many training images."
)


def report(config: "Config", table: "pd.DataFrame", artifacts: list[CellFolder]) -> Report:
    """The whole report, from the rows alone; whatever has not been measured is left out."""
    planted = "\n\n".join(_planted(table, fault) for fault in config.faults)
    sections = [Section("How to read it", f"{READING}\n\n{planted}")]
    for index, space in enumerate(spaces(table)):
        sections.append(_seen(config, pick(table, space=space), space, index))
    if spaces(table):
        sections += [_errors(table), _costs(table)]
    return Report(
        "What measures of generated images see",
        "Which measure of real against generated images sees which fault, and from which amount on?",
        sections,
    )


def _planted(table: "pd.DataFrame", fault: str) -> str:
    """What a fault is, its amounts, and which of them no images were left for."""
    known = {*pick(table, kind="power", group=fault)["setting"]}
    amounts = [f"{amount:g}" for amount in _faults.FAULTS[fault].amounts]
    left_out = [amount for amount in amounts if known and amount not in known]
    words = f" Left out, as too few images were left to draw from: {', '.join(left_out)}." if left_out else ""
    told = ", ".join(amount for amount in amounts if amount not in left_out)
    return f"{fault}: {_faults.FAULTS[fault].amount}; {told}.{words}"


def _seen(config: "Config", table: "pd.DataFrame", space: str, index: int) -> Section:
    """What is seen in a space: heat maps, curves, and the tables behind them."""
    faults = [fault for fault in config.faults if len(pick(table, kind="power", space=space, group=fault))]
    known = sizes(table, space)
    whole = max((n for n in known if n <= config.claimed[1]), default=known[-1])
    name = f"{index}-{'pixels' if space == 'pixels' else 'features'}"
    measured = {key: Measured(table, key) for key in _power.ALL}
    items: list[Figure | Table] = [
        figures.heat_map(table, space, known, faults, name),
        figures.curves(table, space, whole, faults, name),
        *([figures.copies(table, space, whole, name)] if _faults.OF_TRAINING in faults else []),
        *([figures.over_n(table, space, known, faults, name)] if len(known) > 1 else []),
        *(_seen_table(table, measured, space, n, faults, name) for n in known),
        _power_table(measured, space, whole, faults, name),
    ]
    text = f"Compared in {space}. {TRAINING} Measures of training images are taken of copies alone."
    return Section("In pixels" if space == "pixels" else "In a classifier's features", text, items)


def _seen_table(
    table: "pd.DataFrame", measured: dict[_power.Key, Measured], space: str, n: int, faults: list[str], name: str
) -> Table:
    seconds = pick(table, kind="cost", space=space, n=n).set_index("group")["value"]
    rows: Rows = []
    for key, own in measured.items():
        found = [own.seen_from(fault, space, n) for fault in faults]
        if any(one is not None for one in found):
            cost = seconds.get(FAMILY_OF.get(key[1], ""), None)
            rows.append([called(key), *map(_amount, found), "-" if cost is None else float(cost)])
    trials = max((draws(table, fault, space, n) for fault in faults), default=0)
    caption = (
        f"n = {n} a side: the amount from which on each fault is seen, with a power of 0.8 or more in {trials} draws. "
        "The last column is the processor's seconds of one comparison by the measure's whole family."
    )
    return Table(f"seen-{name}-{n}", caption, columns("measure", *faults, "seconds"), rows)


def _amount(found: float | None) -> Entry:
    return "-" if found is None else "blind" if found == float("inf") else f"{found:g}"


def _power_table(measured: dict[_power.Key, Measured], space: str, n: int, faults: list[str], name: str) -> Table:
    """Every power at one n, with its interval."""
    rows: Rows = []
    most = max((len(_faults.FAULTS[fault].amounts) for fault in faults), default=0)
    for (key, own), fault in product(measured.items(), faults):
        found = [own.power(fault, amount, space, n) for amount in _faults.FAULTS[fault].amounts]
        if any(found):
            entries = ["-" if one is None else one for one in found]
            rows.append([called(key), fault, *entries, *["-"] * (most - len(entries))])
    caption = (
        f"Power at n = {n}: share of draws that alarm, with its exact 95% interval, by rising amount. Each fault's "
        "amounts are above."
    )
    return Table(f"power-{name}", caption, columns("measure", "fault", *(f"amount {i + 1}" for i in range(most))), rows)


def _errors(table: "pd.DataFrame") -> Section:
    """How often each measure alarms where nothing is planted."""
    places = [(space, n) for space in spaces(table) for n in sizes(table, space)]
    rows: Rows = []
    for key in _power.ALL:
        found = []
        for space, n in places:
            rate = powers(table, key, group=NOTHING, space=space, n=n)["value"]
            trials = draws(table, NOTHING, space, n)
            found.append(share_interval(round(float(rate.iloc[0]) * trials), trials) if len(rate) and trials else "-")
        if any(one != "-" for one in found):
            rows.append([called(key), *found])
    caption = "Share of draws that alarm where nothing is planted, with its exact 95% interval; 0.05 is promised."
    headers = columns("measure", *(f"{space}, n = {n}" for space, n in places))
    text = "Critical values were set on other draws, so that this rate is not flattered."
    return Section("False alarms", text, [Table("false-alarms", caption, headers, rows)])


def _costs(table: "pd.DataFrame") -> Section:
    places = [(space, n) for space in spaces(table) for n in sizes(table, space)]
    rows: Rows = []
    for family in FAMILIES:
        found = [pick(table, kind="cost", space=space, n=n, group=family)["value"] for space, n in places]
        if any(map(len, found)):
            rows.append([family, *(float(one.iloc[0]) if len(one) else "-" for one in found)])
    caption = (
        "The processor's seconds that each family takes by itself, its searches included: the shortest of three. The "
        "family of training images searches them for copies; a gap takes its measure twice."
    )
    headers = columns("family", *(f"{space}, n = {n}" for space, n in places))
    return Section("What they cost", "", [Table("costs", caption, headers, rows)])
