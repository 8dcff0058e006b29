"""The page on the paper's findings: its words, and that the document says what it says."""

from pathlib import Path

import pytest

from lab import registry
from lab.cells import layout
from lab.cells.rows import build_table
from lab.config import with_preset
from studies import paper
from studies.paper.findings import FINDINGS, outcome, verdicts_in

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results.md"


def page():
    return paper.report(paper.Config(), build_table([]), [])


@pytest.mark.parametrize(
    "verdicts, word",
    [
        ([], "not tested"),
        (["no verdict"], "not tested"),
        (["supported", "no verdict"], "replicates"),
        (["supported", "supported"], "replicates"),
        (["supported", "inconclusive"], "replicates in part"),
        (["supported", "contradicted"], "replicates in part"),
        (["inconclusive", "contradicted"], "does not replicate"),
        (["inconclusive", "no verdict"], "undecided"),
    ],
)
def test_verdicts_come_to_a_word(verdicts, word):
    assert outcome(verdicts) == word == outcome(verdicts[::-1])


def test_every_finding_is_tested_by_claims_of_some_study_and_none_is_unknown():
    tested = set()
    for entry in registry.entries("studies"):
        module = registry.load("studies", entry.name)
        given = {"attacks": ("pgd",)} if entry.name == "calibration" else {}
        tested |= {
            claim.finding for claim in module.claims(with_preset(module.Config, module.PRESETS, "laptop", given))
        }
    assert tested == {0, *FINDINGS}


def test_the_document_has_every_table_of_the_page():
    text = RESULTS.read_text(encoding="utf-8")
    for table in (item for section in page().sections for item in section.items):
        assert table.to_markdown() in text, (
            f"{table.name} has changed: run `snnl study paper`, and put tables/{table.name}.md of its folder into "
            "docs/results.md"
        )


def test_nothing_published_is_nothing_tested(monkeypatch, tmp_path):
    monkeypatch.setattr(layout, "PUBLISHED", tmp_path)
    assert verdicts_in(tmp_path) == {number: [] for number in FINDINGS}
    summary, *tables = [item for section in page().sections for item in section.items]
    assert {row[2] for row in summary.rows} == {"not tested"} and not any(table.rows for table in tables)
