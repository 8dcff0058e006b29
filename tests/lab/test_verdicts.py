"""The truth table of verdicts."""

import json
import math

import pytest

from lab.reporting.statistics import Estimate
from lab.reporting.verdicts import Claim, judge


def claim(kind, margin):
    return Claim("text", "a minus b", margin, kind, lambda table: None)


@pytest.mark.parametrize(
    "kind, margin, low, high, verdict",
    [
        ("exceeds", 0.1, 0.11, 0.3, "supported"),
        ("exceeds", 0.1, 0.09, 0.3, "inconclusive"),
        ("exceeds", 0.1, 0.10, 0.3, "inconclusive"),
        ("exceeds", 0.1, -0.2, 0.10, "inconclusive"),
        ("exceeds", 0.1, -0.2, 0.09, "contradicted"),
        ("exceeds", -0.1, -0.05, 0.02, "supported"),
        ("exceeds", -0.1, -0.15, 0.02, "inconclusive"),
        ("exceeds", -0.1, -0.3, -0.15, "contradicted"),
        ("differs", 0.1, 0.11, 0.3, "supported"),
        ("differs", 0.1, -0.3, -0.11, "supported"),
        ("differs", 0.1, -0.05, 0.05, "contradicted"),
        ("differs", 0.1, 0.05, 0.3, "inconclusive"),
        ("differs", 0.1, -0.3, 0.3, "inconclusive"),
        ("differs", 0.1, -0.05, 0.1, "inconclusive"),
        ("differs", 0.1, -0.1, 0.05, "inconclusive"),
        ("differs", 0.1, 0.10, 0.3, "inconclusive"),
        ("differs", 0.1, -0.3, -0.10, "inconclusive"),
    ],
)
def test_the_interval_decides(kind, margin, low, high, verdict):
    assert judge(claim(kind, margin), Estimate((low + high) / 2, low, high, 3)).verdict == verdict


@pytest.mark.parametrize("n", [1, 2])
def test_few_seeds_give_no_verdict(n):
    found = judge(claim("exceeds", 0.1), Estimate(0.9, 0.8, 1.0, n))
    assert found.verdict == "no verdict"
    assert f"{n} seed" in found.reason


@pytest.mark.parametrize("low, high", [(math.nan, math.nan), (0.5, math.nan), (math.nan, 1.0)])
@pytest.mark.parametrize("kind", ["exceeds", "differs"])
def test_no_interval_gives_no_verdict(kind, low, high):
    assert judge(claim(kind, 0.1), Estimate(0.9, low, high, 5)).verdict == "no verdict"


def test_claims_are_json_without_the_function_of_their_effect():
    plain = claim("differs", 0.1).plain()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain == {"text": "text", "comparison": "a minus b", "margin": 0.1, "kind": "differs"}
    assert claim("differs", 0.1) == claim("differs", 0.1), "what computes the effect is no part of the claim"


def test_nothing_measured_gives_no_verdict():
    plain = judge(claim("exceeds", 0.1), None).plain()
    assert (plain["verdict"], plain["effect"], plain["interval"], plain["n"]) == ("no verdict", None, [None, None], 0)


def test_effects_are_words():
    assert judge(claim("exceeds", 0.1), Estimate(0.5, 0.4, 0.6, 5)).effect == "+0.500 [+0.400, +0.600], n = 5"
    assert judge(claim("exceeds", 0.1), Estimate(-0.5, math.nan, math.nan, 1)).effect == "-0.500, n = 1"
    assert judge(claim("exceeds", 0.1), None).effect == ""


def test_verdicts_are_json():
    plain = judge(claim("exceeds", 0.1), Estimate(0.5, math.nan, math.nan, 1)).plain()
    assert json.loads(json.dumps(plain, allow_nan=False))["interval"] == [None, None]


def test_a_verdict_in_json_has_its_claim_its_interval_and_its_margin_with_its_sign():
    assert judge(claim("exceeds", -0.1), Estimate(0.5, 0.4, 0.6, 5)).plain() == {
        "claim": "text",
        "verdict": "supported",
        "effect": 0.5,
        "interval": [0.4, 0.6],
        "n": 5,
        "comparison": "a minus b",
        "margin": -0.1,
        "reason": "the whole interval lies above -0.1",
    }


def test_an_effect_that_is_no_estimate_is_refused():
    with pytest.raises(TypeError, match="the effect of 'text' must be an Estimate or None, not float"):
        judge(claim("exceeds", 0.1), 0.4)
