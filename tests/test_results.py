"""The tables of docs/results.md are those of reports drawn from the published rows, and figures show what they hold."""

import csv
import json
import re
from pathlib import Path

import pytest
from drawn import faults

from lab.cells.rows import build_table, pick
from lab.reporting.plots import named_band, new_figure, plotted, seed_curves
from lab.reporting.report import Figure

ROOT = Path(__file__).resolve().parent.parent
NUMBER = r"[+-]?\d+(?:\.\d+)?(?:e-\d+)?"
ESTIMATE = re.compile(rf"{NUMBER} \[{NUMBER}, {NUMBER}\]")
VERDICTS = {"supported", "contradicted", "inconclusive"}
"""Rows that hold one are compared in `test_docs.py`."""


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def tables(text):
    """Each table of a page in Markdown, as its rows without the rule below the head."""
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _, *rows = map(cells, block.splitlines())
        yield head, rows


def told():
    """The tables of each section on a published study, by the study's hash."""
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for section in re.split(r"^##+ ", text, flags=re.MULTILINE):
        for name in re.findall(r"\]\(\.\./results/studies/[a-z-]+/([0-9a-f]{8})\)", section):
            yield name, [*tables(section)]


TOLD = dict(told())


def drawn(redrawn, name):
    """The tables of a study's report, by their names."""
    folder = Path(redrawn(name).args[1]) / "tables"
    return {path.stem: next(tables(path.read_text(encoding="utf-8"))) for path in folder.glob("*.md")}


def in_order(some, others):
    left = iter(others)
    return all(one in left for one in some)


def test_every_published_study_has_a_section():
    assert {*TOLD} == {path.name for path in (ROOT / "results" / "studies").glob("*/*") if (path / "DONE").is_file()}


def environments(study):
    plan = json.loads((study / "plan.json").read_text(encoding="utf-8"))
    files = {cell: ROOT / "results" / "cells" / cell / "environment.json" for cell in plan["cells"]}
    return {cell: json.loads(file.read_text(encoding="utf-8")) for cell, file in files.items()}


def test_cells_are_of_the_machines_and_the_code_that_the_document_names():
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").partition("\n## ")[0].replace("\n", " ")
    cells, changed = set(), {}
    for study in (path.parent for path in (ROOT / "results" / "studies").glob("*/*/plan.json")):
        found, amd = environments(study), study.parent.name == "gan-entanglement"
        processor, torch = ("AMD EPYC", "2.15.0") if amd else ("Intel(R) Xeon(R) Processor", "2.14.1")
        assert {(one["processor"], one["packages"]["torch"]) for one in found.values()} == {(processor, torch)}
        cells |= {*found}
        if dirty := {cell for cell, one in found.items() if one["dirty"]}:
            changed[f"{study.parent.name}/{study.name}"] = dirty
    assert f"Of the {len(cells)} cells" in text
    assert f"{len(set().union(*changed.values()))} began while the code differed" in text
    assert all(f"`{folder}`" in text for folder in changed)


@pytest.mark.parametrize("name", TOLD)
def test_intervals_stand_in_one_row_of_the_report(redrawn, name):
    known = [ESTIMATE.findall(" | ".join(row)) for _, rows in drawn(redrawn, name).values() for row in rows]
    for _, rows in TOLD[name]:
        for row in rows:
            estimates = ESTIMATE.findall(" | ".join(row))
            assert VERDICTS & {*row} or any(in_order(estimates, other) for other in known), row


@pytest.mark.parametrize("name", TOLD)
def test_tables_with_a_head_of_the_report_have_its_rows(redrawn, name):
    known = [*drawn(redrawn, name).values()]
    for head, rows in TOLD[name]:
        same = [others for other, others in known if other == head]
        assert not same or any(in_order(rows, others) for others in same), (head, rows)


@pytest.mark.parametrize("name, n", [("6d091dfb", 150), ("413cbeca", 1000)])
def test_amounts_that_are_seen_are_those_of_both_spaces(redrawn, name, n):
    report = drawn(redrawn, name)
    found = [{row[0]: row[1:] for row in report[f"seen-{space}-{n}"][1]} for space in ("0-features", "1-pixels")]
    ((head, rows),) = [table for table in TOLD[name] if table[0][0] == "measure"]
    for measure, *entries in rows:
        sides = [one.get(measure, ["-"] * (len(head) - 2)) for one in found]
        *amounts, _ = ("-" if one == other == "-" else f"{one} / {other}" for one, other in zip(*sides, strict=True))
        assert entries == [*amounts, *(side[-1] for side in sides)], measure


def test_a_figure_that_draws_something_else_is_noticed():
    about = {"kind": "gan", "model": "dcgan", "metric": "entanglement"}
    found = [{**about, "seed": seed, "step": step, "value": seed + step / 9} for seed in range(3) for step in (0, 9)]
    table = build_table([*found, *({**row, "model": "sngan", "value": row["value"] / 2} for row in found)])
    drawing = new_figure(4, 3)
    axis = drawing.subplots()
    for name, colour in (("dcgan", "C0"), ("sngan", "C1")):
        seed_curves(axis, pick(table, model=name), "step", colour, name)
    axis.set(xlabel="step", ylabel="score")
    named_band(axis, pick(table, model="sngan", step=0)["value"])
    figure = Figure("scores", "", drawing, plotted(table))
    said = faults(figure)
    assert len(said) == 1 and "real against real, 0.5," in said[0]
    axis.lines[3].set_ydata([1.5, 2])
    axis.lines[-2].set_color("C0")
    axis.set_xlabel("kimg")
    told = "\n".join(faults(figure))
    assert all(words in told for words in ("mean of 3 seeds of dcgan", "is over step", "the colours are"))


@pytest.mark.parametrize("name", TOLD)
def test_figures_draw_what_their_data_hold(redrawn, name):
    assert redrawn(name).wrong == []


@pytest.mark.parametrize("name", ["6d091dfb", "413cbeca"])
def test_amounts_that_are_seen_are_drawn_as_the_tables_have_them(redrawn, name):
    report, shown = drawn(redrawn, name), []
    for path in (Path(redrawn(name).args[1]) / "figures").glob("seen-*.csv"):
        for line in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
            head, rows = report[f"{path.stem}-{line['n']}"]
            (row,) = (row for row in rows if row[0] == line["measure"])
            shown.append((row[head.index(line["fault"])].replace("blind", "inf"), f"{float(line['seen from']):g}"))
    assert all(one == other for one, other in shown) and len(shown) > 300


def test_an_order_that_differs_is_noticed():
    assert in_order("ac", "abc") and not in_order("ca", "abc") and not in_order("aa", "abc")
