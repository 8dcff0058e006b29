"""What is printed of two runs of a study, and where their page goes."""

import json
from pathlib import Path

import pytest

from commands import report
from lab.reporting.statistics import Estimate
from lab.reporting.verdicts import Claim, judge
from lab.studying.compare import Comparison
from lab.studying.drawing import Result


def test_two_runs_are_compared_in_the_order_of_the_line_and_their_page_lies_in_the_first(monkeypatch, tmp_path, capsys):
    one, other = (tmp_path / name for name in ("one", "other"))
    for folder in (one, other):
        folder.mkdir()

    def compared(first, second):
        assert (first, second) == (one, other)
        verdict = judge(Claim("It works.", "", 0.1, "exceeds", len), Estimate(1.0, 0.5, 1.5, 3))
        return Comparison("toy", {"It works.": (verdict, None)}, [["fid", 1.0, 2.0, 1.0]])

    monkeypatch.setattr(report, "compare", compared)
    report.command.main([str(one), "--compare", str(other), "--json"], standalone_mode=False)
    *table, last = capsys.readouterr().out.splitlines()
    assert [line.split() for line in table] == [["claim", "one", "other"], "It works. supported not stated".split()]
    found = json.loads(last)
    assert found == {
        "study": "toy",
        "page": str(one / "compare.html"),
        "verdicts": [["It works.", "supported", "not stated"]],
    }
    page = Path(found["page"]).read_text(encoding="utf-8")
    assert f"What do {one} and {other} agree on?" in page and not [*other.iterdir()]


@pytest.fixture
def drawn(monkeypatch, tmp_path, capsys):
    """A function: what is told when a report was drawn, of whose cells some failed."""

    def told(failed, left=0):
        result = Result("toy", tmp_path, tmp_path / "report.html", [], {"total": 9}, failed, left)
        monkeypatch.setattr(report, "draw_study", lambda folder, formats: result)
        with pytest.raises(SystemExit) as end:
            report.command.main([str(tmp_path)])
        return end.value.code, capsys.readouterr().err.splitlines()

    return told


def test_who_has_just_drawn_a_report_is_not_told_to_draw_it_again(drawn, tmp_path):
    page = f"Report: {tmp_path / 'report.html'}"
    assert drawn({}) == (0, [page])
    following = "Next: the command of the study does the cells that are left"
    assert drawn({"x": "no luck"}) == (3, ["failed: x: no luck", page, following])
    assert drawn({}, 2) == (0, ["not done yet: 2 of 9 cells", page, following])
