"""Two runs of one study side by side."""

import pytest

from lab.cells.rows import build_table
from lab.config import Config
from lab.errors import UsageError
from lab.files import write_json
from lab.reporting.statistics import Estimate, mean_interval
from lab.reporting.verdicts import Claim, judge
from lab.studying import compare
from lab.studying.drawing import Judged


def table(*rows):
    return build_table([{"kind": "gan", "model": "dcgan", **row} for row in rows])


def verdict(text, low):
    return judge(Claim(text, "", 0.1, "exceeds", len), Estimate(1, low, 1.5, 3))


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs: one measure moves by 0.5, one by 0.1, and one is known to the first alone."""
    fid = [{"metric": "fid", "seed": seed, "step": step, "value": step + seed} for seed in range(3) for step in (0, 9)]
    early = [{**row, "value": row["value"] + (0.5 if row["step"] == 9 else 7)} for row in fid]
    size, alone = {"metric": "parameters", "seed": 0, "value": 5.0}, {"metric": "kid", "seed": 0, "value": 1.0}
    found = {
        "one": Judged("x", Config(), table(*fid, size, alone), [verdict("a", 0.5), verdict("b", 0.5)], {}),
        "two": Judged("x", Config(), table(*early, {**size, "value": 5.1}), [verdict("a", 0.0)], {}),
    }
    for name in found:
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "config.json", {})
        write_json(tmp_path / name / "plan.json", {"study": "x", "cells": []})
    monkeypatch.setattr(compare, "judged", lambda folder: found[folder.name])
    return tmp_path


def test_the_last_steps_are_beside_one_another_the_largest_difference_first(runs):
    found = compare.compare(runs / "one", runs / "two")
    ends = [[9.0, 10.0, 11.0], [9.5, 10.5, 11.5]]
    assert found.measures[0] == ["gan dcgan fid", *map(mean_interval, ends), 0.5]
    assert [row[0] for row in found.measures] == ["gan dcgan fid", "gan dcgan parameters"]
    assert found.measures[1][3] == pytest.approx(0.1)


def test_of_two_that_have_no_measure_in_common_it_is_said():
    (_, ends) = compare.Comparison("x", {}, []).report("one", "two").sections
    assert ends.text == compare.APART and not ends.items


def test_one_measure_of_several_numbers_of_images_is_compared_at_each():
    """As the study of measures has it: a mean over them would be no measurement."""
    drawn = [{"metric": "power", "n": n, "value": value} for n, value in ((50, 0.25), (150, 0.75))]
    size = {"metric": "parameters", "value": 5.0}
    rows = compare._measures(table(*drawn, size), table({**drawn[0], "value": 0.5}, drawn[1], size))
    assert [(row[0], row[1].value, row[3]) for row in rows] == [
        ("gan dcgan power n = 50", 0.25, 0.25),
        ("gan dcgan parameters", 5.0, 0.0),
        ("gan dcgan power n = 150", 0.75, 0.0),
    ]


def test_the_largest_difference_is_first_whichever_way_it_goes():
    one, other = (
        [{"metric": name, "value": value} for name, value in zip("abc", values, strict=True)]
        for values in ((5, 5, 5), (6, 2, 5.5))
    )
    assert [row[3] for row in compare._measures(table(*one), table(*other))] == [-3, 1, 0.5]


def test_claims_are_paired_by_their_text(runs):
    found = compare.compare(runs / "one", runs / "two")
    verdicts, _ = (section.items[0] for section in found.report("one", "two").sections)
    assert [(row[0], row[1], row[3]) for row in verdicts.rows] == [
        ("a", "supported", "inconclusive"),
        ("b", "supported", "not stated"),
    ]


def test_runs_of_two_studies_are_refused(runs):
    write_json(runs / "two" / "plan.json", {"study": "y", "cells": []})
    with pytest.raises(UsageError, match=r"is a run of x and .* one of y"):
        compare.compare(runs / "one", runs / "two")
