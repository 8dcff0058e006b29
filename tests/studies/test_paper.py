"""The page on the paper's findings: its words, and that the document says what it says."""

from pathlib import Path

import pytest

from lab import registry
from lab.cells import layout
from lab.cells.rows import build_table
from lab.config import with_preset
from lab.errors import WorkbenchError
from lab.reporting.statistics import Estimate
from lab.reporting.verdicts import judge
from lab.studying.drawing import Judged
from studies import calibration, paper
from studies.paper import findings
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


def test_a_copy_without_published_studies_draws_no_page_that_tests_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(layout, "PUBLISHED", tmp_path / "results")
    with pytest.raises(WorkbenchError, match="nothing published in "):
        page()


def test_a_verdict_that_two_studies_share_is_told_once(monkeypatch, tmp_path):
    config = calibration.Config.parse(calibration.PRESETS["laptop"])
    claim = next(claim for claim in calibration.claims(config) if claim.finding == 6)
    found = {name: judge(claim, Estimate(value, value, value, 3)) for name, value in (("a", 1.0), ("b", 1), ("c", 2.0))}
    for name in found:
        (tmp_path / "studies" / "calibration" / name).mkdir(parents=True)
        (tmp_path / "studies" / "calibration" / name / "plan.json").write_text('{"study": "calibration", "cells": []}')
    (tmp_path / "studies" / "calibration" / "drawn").mkdir()  # what git leaves of a study that is no longer there
    monkeypatch.setattr(
        findings, "judged", lambda folder, wanted: Judged("calibration", config, None, [found[folder.name]], {})
    )
    told = verdicts_in(tmp_path)[6]
    assert [(one.study, one.images) for one in told] == [("calibration/a", "digits"), ("calibration/c", "digits")]
