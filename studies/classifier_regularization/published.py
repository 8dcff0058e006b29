"""Published test accuracies with and without the loss, to stand beside measured ones, each with a note on the two."""

import math
from dataclasses import dataclass

from lab.reporting.statistics import FEWEST, Estimate

COMPARABLE = 2.0
"""Percentage points that two baselines may differ by; beyond that the protocols were not alike."""
WIDEST = 0.5
"""Percentage points to either side; an interval wider than this would hold nearly everything that was published."""
PAPER = "Frosst et al. 2019, best of about 4 seeds (recalled, unsure)"
REPLICATION = "public replication, mean of seeds"


@dataclass(frozen=True)
class Published:
    """Accuracies in percent.

    Attributes:
        source: who, and what the figures are.
        imageset: the image set's name.
        without: the baseline's.
        lowest, highest: those with the loss.
    """

    source: str
    imageset: str
    without: float
    lowest: float
    highest: float

    @property
    def gain(self) -> tuple[float, float]:
        """What the loss changed, in percentage points: lowest and highest."""
        return self.lowest - self.without, self.highest - self.without


PUBLISHED = (
    Published(PAPER, "mnist", 98.83, 99.23, 99.23),
    Published(PAPER, "fashion-mnist", 90.42, 91.48, 91.48),
    Published(PAPER, "svhn", 87.63, 88.81, 88.81),
    Published(PAPER, "cifar10", 90.78, 91.22, 91.22),
    Published(REPLICATION, "mnist", 99.68, 99.49, 99.50),
    Published(REPLICATION, "fashion-mnist", 97.76, 97.09, 97.63),
    Published(REPLICATION, "svhn", 99.29, 99.06, 99.42),
)


def note(published: Published, baseline: float, gain: Estimate) -> str:
    """Whether what was published is `reproduced`, `differs`, or is `not comparable`, and why.

    It is reproduced if our interval is narrow and holds all of the published differences.

    Args:
        published: what was published.
        baseline: our mean accuracy without the loss, in percent.
        gain: our paired difference with its interval, in percentage points.
    """
    apart = baseline - published.without
    if abs(apart) > COMPARABLE:
        return f"not comparable: the baselines lie {abs(apart):.1f} points apart, so the protocols were not alike"
    if gain.n < FEWEST or math.isnan(gain.low):
        return f"not comparable: {gain.n} seed{'s' * (gain.n != 1)} here, and {FEWEST} are needed"
    lowest, highest = published.gain
    if gain.low > highest or gain.high < lowest:
        return f"differs: our interval lies {'above' if gain.low > highest else 'below'} the published difference"
    if (gain.high - gain.low) / 2 > WIDEST:
        return f"not comparable: our interval is too wide, more than {WIDEST} points to either side"
    if gain.low > lowest or gain.high < highest:
        return "differs: our interval holds a part of the published differences only"
    if gain.low <= 0 <= gain.high and not lowest <= 0 <= highest:
        return "not comparable: our interval holds the published difference and none at all"
    return "reproduced: our interval holds the published difference"
