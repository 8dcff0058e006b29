"""What the claims are judged by, and what each measure sees, from the table alone.

Trials are draws of images: they take the place of seeds.
"""

from collections import defaultdict
from typing import TYPE_CHECKING

from lab.cells.rows import pick
from lab.reporting.statistics import Estimate, share_interval
from tasks import _power

if TYPE_CHECKING:
    import pandas as pd

NOTHING = "none"
"""The fault that nothing is planted."""
PIXELS = "pixels"
SEEN = 0.8
"""A fault is seen from the amount on from which the power is this at least."""


def spaces(table: "pd.DataFrame") -> list[str]:
    """The names of the feature spaces, pixels last."""
    return sorted(pick(table, kind="power")["space"].unique(), key=lambda name: (name == PIXELS, name))


def sizes(table: "pd.DataFrame", space: str) -> list[int]:
    """The numbers of images a side in a space."""
    return sorted(int(n) for n in pick(table, kind="power", space=space)["n"].unique())


def powers(table: "pd.DataFrame", key: _power.Key, **which: object) -> "pd.DataFrame":
    """The rows of the power of a measure."""
    side, metric = key
    return pick(table, kind="power", side=side, metric=metric, **which)


def draws(table: "pd.DataFrame", fault: str, space: str, n: int) -> int:
    """On how many draws the powers of a fault rest; 0 where it was not planted."""
    found = pick(table, kind="draws", group=fault, space=space, n=n)["value"]
    return int(found.iloc[0]) if len(found) else 0


class Measured:
    """What one measure sees, ready to be looked up many times."""

    def __init__(self, table: "pd.DataFrame", key: _power.Key) -> None:
        """Take the rows of a measure, and those that tell on how many draws they rest."""
        own, trials = powers(table, key), pick(table, kind="draws")
        places = [[*zip(rows["group"], rows["space"], rows["n"], strict=True)] for rows in (own, trials)]
        self._draws = dict(zip(places[1], map(int, trials["value"]), strict=True))
        self._powers: dict[tuple[str, str, int], dict[str, float]] = defaultdict(dict)
        for place, amount, value in zip(places[0], own["setting"], own["value"], strict=True):
            self._powers[place][amount] = value

    def power(self, fault: str, amount: float, space: str, n: int) -> Estimate | None:
        """The share of draws in which a fault is noticed, with its exact interval; None where it was not planted."""
        place = fault, space, n
        trials, value = self._draws.get(place, 0), self._powers.get(place, {}).get(f"{amount:g}")
        return share_interval(round(value * trials), trials) if trials and value is not None else None

    def seen_from(self, fault: str, space: str, n: int) -> float | None:
        """The smallest amount from which on the power is 0.8 at least; infinite if none, None if not measured."""
        by_amount = self._powers.get((fault, space, n), {})
        if not by_amount:
            return None
        smallest = float("inf")
        for amount, value in sorted(((float(amount), value) for amount, value in by_amount.items()), reverse=True):
            if value < SEEN:
                break
            smallest = amount
        return smallest


def sight(
    table: "pd.DataFrame", key: _power.Key, fault: str, amount: float, n: int, *, in_pixels: bool
) -> Estimate | None:
    """The power of a measure in the features, or in pixels."""
    space = _space(table, in_pixels)
    return None if space is None else Measured(table, key).power(fault, amount, space, n)


def blindness(
    table: "pd.DataFrame", key: _power.Key, fault: str, amount: float, n: int, *, in_pixels: bool
) -> Estimate | None:
    """1 minus the power: the share of draws in which a measure does not notice."""
    return _missed(sight(table, key, fault, amount, n, in_pixels=in_pixels))


def blindness_of_all(table: "pd.DataFrame", fault: str, amount: float, n: int, *, in_pixels: bool) -> Estimate | None:
    """1 minus the highest power of a measure that looks at no training image; its interval is that of one measure."""
    found = [sight(table, key, fault, amount, n, in_pixels=in_pixels) for key in _power.WORSE]
    known = [one for one in found if one is not None]
    return _missed(max(known, key=lambda one: one.value)) if known else None


def _missed(found: Estimate | None) -> Estimate | None:
    return None if found is None else Estimate(1 - found.value, 1 - found.high, 1 - found.low, found.n)


def _space(table: "pd.DataFrame", in_pixels: bool) -> str | None:
    return next((name for name in spaces(table) if (name == PIXELS) == in_pixels), None)
