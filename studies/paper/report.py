"""The page on the paper's findings: what replicates, and every verdict that says so."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab.cells import layout
from lab.cells.folder import CellFolder
from lab.reporting.report import Report, Section
from lab.reporting.tables import Rows, Table, columns
from lab.reporting.verdicts import Claim
from studies.paper.findings import FINDINGS, Tested, outcome, verdicts_in

if TYPE_CHECKING:
    import pandas as pd

    from studies.paper import Config

READING = (
    "Each claim was stated with its margin before it ran. Supported: the whole 95% interval over seeds lies beyond the "
    "margin; contradicted: the whole interval lies on the other side, so that an effect of that size is excluded; "
    "inconclusive: it holds the margin. A finding replicates if every claim on it is supported on every image set, in "
    "part if some are; it does not if none is and at least one is contradicted, and is undecided where all are "
    "inconclusive. Several claims are judged, each at its own 5%: a lone verdict among many weighs less than one that "
    "image sets agree on. The paper has other networks and lengths, and few numbers: what is held against it is a "
    "direction and a smallest effect, not its figures."
)


def report(config: "Config", table: "pd.DataFrame", artifacts: list[CellFolder]) -> Report:
    """The whole page, from what is published."""
    found = verdicts_in(layout.shipped())
    return Report(
        "The six findings of the paper",
        "What of Frosst, Papernot and Hinton (2019) replicates, on which images, and how sure is that?",
        [
            Section("How to read it", READING, [_summary(found)]),
            *(Section(f"{number}. {text}", "", [_table(number, found[number])]) for number, text in FINDINGS.items()),
        ],
    )


def _summary(found: dict[int, list[Tested]]) -> Table:
    rows: Rows = []
    for number, tested in found.items():
        counts = Counter(one.verdict.verdict for one in tested)
        words = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common()) or "-"
        images = ", ".join(dict.fromkeys(one.images for one in tested)) or "-"
        rows.append([number, FINDINGS[number], outcome([*counts.elements()]), words, images])
    headers = columns("", "finding", "replicates?", "verdicts on claims", "image sets")
    return Table("findings", "What the published studies say of each finding.", headers, rows)


def _table(number: int, tested: Sequence[Tested]) -> Table:
    rows: Rows = [
        [one.images, claim.text, _margin(claim), one.verdict.effect or "-", one.verdict.verdict, one.study]
        for one in tested
        for claim in (one.verdict.claim,)
    ]
    headers = columns("image set", "claim", "margin", "effect, interval, seeds", "verdict", "in results/studies")
    return Table(f"finding-{number}", "Every claim on it that was tested.", headers, rows)


def _margin(claim: Claim) -> str:
    return f"above {claim.margin:+g}" if claim.kind == "exceeds" else f"beyond ±{claim.margin:g}"
