"""What commands print of a study."""

from pathlib import Path

import pytest

from commands._printing import print_result
from lab.reporting.statistics import Estimate
from lab.reporting.verdicts import Claim, judge
from lab.studying.drawing import Result

CLAIM = Claim("It rises.", "end minus start", 0.1, "exceeds", lambda table: None)


@pytest.mark.parametrize(
    "estimate, line",
    [
        (Estimate(0.5, 0.4, 0.6, 3), "supported: It rises. +0.500 [+0.400, +0.600], n = 3 (the whole interval lies"),
        (None, "no verdict: It rises. (nothing was measured)"),
    ],
)
def test_a_verdict_is_a_line_with_its_effect_if_there_is_one(capsys, estimate, line):
    print_result(Result("toy", Path("f"), Path("f/report.html"), [judge(CLAIM, estimate)], {}, {}), False)
    assert capsys.readouterr().err.startswith(line)
