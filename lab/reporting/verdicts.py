"""Claims that are stated before a run, and the verdicts that the intervals carry."""

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lab.files import without_nan
from lab.reporting.statistics import FEWEST, Estimate

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Claim:
    """A claim as a test on the table.

    Attributes:
        text: the claim in one sentence.
        comparison: what is compared with what, and how.
        margin: the smallest effect that counts, in the measure's unit.
        kind: `exceeds`: the effect lies above the margin ("does not fall" has a negative margin);
            `differs`: the effect lies beyond the margin on either side.
        effect: computes the effect from the table; None where nothing was measured.
        finding: which finding of the paper it tests; 0 for none.
    """

    text: str
    comparison: str
    margin: float
    kind: Literal["exceeds", "differs"]
    effect: "Callable[[pd.DataFrame], Estimate | None]" = field(compare=False, repr=False)
    finding: int = 0

    def plain(self) -> dict[str, Any]:
        """What is claimed, as JSON-ready values."""
        return {"text": self.text, "comparison": self.comparison, "margin": self.margin, "kind": self.kind}


@dataclass(frozen=True)
class Verdict:
    """What the interval says of a claim: `supported`, `contradicted`, `inconclusive` or `no verdict`."""

    claim: Claim
    verdict: str
    estimate: Estimate | None
    reason: str

    @property
    def effect(self) -> str:
        """The effect as people read it: `+0.412 [+0.380, +0.444], n = 5`; empty where nothing was measured."""
        if self.estimate is None:
            return ""
        value, low, high, n = astuple(self.estimate)
        interval = "" if math.isnan(low) else f" [{low:+.3f}, {high:+.3f}]"
        return f"{value:+.3f}{interval}, n = {n}"

    def plain(self) -> dict[str, Any]:
        """The verdict as JSON-ready values; null where there is no number."""
        found = self.estimate
        values: dict[str, Any] = without_nan(
            {
                "claim": self.claim.text,
                "verdict": self.verdict,
                "effect": found.value if found else None,
                "interval": [found.low, found.high] if found else [None, None],
                "n": found.n if found else 0,
                "comparison": self.claim.comparison,
                "margin": self.claim.margin,
                "reason": self.reason,
            }
        )
        return values


def judge(claim: Claim, estimate: Estimate | None) -> Verdict:
    """Hold the interval of the effect against the claim's margin.

    Fewer than three seeds, or trainings where an effect is one over all of them, give no verdict.

    Raises:
        TypeError: the effect is no estimate.
    """
    if estimate is None:
        return Verdict(claim, "no verdict", None, "nothing was measured")
    if not isinstance(estimate, Estimate):
        raise TypeError(f"the effect of {claim.text!r} must be an Estimate or None, not {type(estimate).__name__}")
    if estimate.n < FEWEST:
        reason = f"{estimate.n} seed{'s' if estimate.n != 1 else ''}; a verdict needs {FEWEST}"
        return Verdict(claim, "no verdict", estimate, reason)
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return Verdict(claim, "no verdict", estimate, "the effect has no interval")
    return _exceeds(claim, estimate) if claim.kind == "exceeds" else _differs(claim, estimate)


def _exceeds(claim: Claim, estimate: Estimate) -> Verdict:
    margin = f"{claim.margin:+g}"
    if estimate.low > claim.margin:
        return Verdict(claim, "supported", estimate, f"the whole interval lies above {margin}")
    if estimate.high < claim.margin:
        return Verdict(claim, "contradicted", estimate, f"the whole interval lies below {margin}")
    return Verdict(claim, "inconclusive", estimate, f"the interval holds {margin}")


def _differs(claim: Claim, estimate: Estimate) -> Verdict:
    margin = f"{claim.margin:g}"
    if estimate.low > claim.margin or estimate.high < -claim.margin:
        return Verdict(claim, "supported", estimate, f"the whole interval lies beyond {margin} on one side")
    if -claim.margin < estimate.low and estimate.high < claim.margin:
        return Verdict(claim, "contradicted", estimate, f"the whole interval lies within {margin} of no difference")
    return Verdict(claim, "inconclusive", estimate, f"the interval reaches across a margin of {margin}")
