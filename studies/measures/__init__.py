"""Which measure of real against generated images sees which fault, and from which amount on?

Claim of Frosst, Papernot and Hinton (2019): the soft nearest neighbor loss between real and generated images tells how
good a generator is. What this workbench claimed beyond, before it was measured: its generated side sees samples that
lie off the data, its real side data that the samples do not reach, and the joint score alone is blind to a wrong
spread. What came out is in docs/results.md.

What is done: held-out images are drawn twice, disjoint; one draw is spoilt in a known way and amount (blurred, noisy,
shrunk, widened, classes dropped or reweighted, copies of training images put in), and every measure compares the two.
What a measure gives for draws that are not spoilt sets its critical value, at 5% false alarms; the share of spoilt
draws beyond it is its power. Draws of images take the place of seeds.
What to expect: at larger n smaller amounts are seen; no measure sees all faults.
What it costs: about three minutes on two processor cores (preset laptop).

    python cli.py study measures
    python cli.py study measures --imageset mnist --n 200,1000,3000
"""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field

import imagesets
from lab import registry
from lab.cells.cell import Cell
from lab.errors import UsageError
from lab.reporting.verdicts import Claim
from studies._config import Fitting, ImageStudy
from studies.measures.effects import blindness, blindness_of_all, sight
from studies.measures.report import report
from tasks import _faults, _power, _resampling, _spaces, measure_fault, measure_null

__all__ = ["PRESETS", "Config", "claims", "plan", "report"]

FULL_N = 1000
"""Up to so many images a side there are all draws, beyond it fewer: comparing takes time by the square."""
FEWEST_DRAWS, FEWEST_N = 3, 6
"""Of verdicts, and of the measures that look at the fifth neighbour."""

Sizes = Annotated[tuple[Annotated[int, Field(ge=FEWEST_N, le=1_000_000)], ...], registry.DISTINCT]
Space = Literal["classifier", "pixels"]


class Config(ImageStudy):
    """The grid of the study."""

    imageset: imagesets.Name = Field(description="image set to spoil; folder:PATH or zip:PATH for your own")
    n: Sizes = Field(min_length=1, description="images a side, several separated by commas")
    faults: Annotated[tuple[_faults.Name, ...], registry.DISTINCT] = Field(
        tuple(_faults.FAULTS), min_length=1, description="faults to plant, separated by commas"
    )
    spaces: Annotated[tuple[Space, ...], registry.DISTINCT] = Field(
        ("classifier", "pixels"), min_length=1, description="where to compare: in a classifier's features, in pixels"
    )
    pixels_n: int = Field(
        FULL_N, ge=FEWEST_N, description="largest n that is compared in pixels, too, where that is slow"
    )
    draws: int = Field(ge=FEWEST_DRAWS, le=10_000, description="draws of each amount; fewer beyond n = 1000")
    null_draws: int = Field(
        ge=_power.FEWEST, le=10_000, description="draws of real against real that set critical values"
    )
    training: int = Field(10_000, ge=2, description="random training images that may be copied, or all there are")

    @property
    def grid(self) -> list[tuple[Space, int]]:
        """Where and at which n images are compared."""
        return [(space, n) for n in self.n for space in self.spaces if space != "pixels" or n <= self.pixels_n]

    @property
    def claimed(self) -> tuple[bool, int]:
        """Where claims are judged: whether in pixels, and at which n, the largest one with all draws."""
        in_pixels = "classifier" not in self.spaces
        known = sorted(n for space, n in self.grid if (space == "pixels") == in_pixels)
        return in_pixels, max((n for n in known if n <= FULL_N), default=min(known, default=min(self.n)))

    def draws_at(self, n: int) -> int:
        """How many draws there are of n images a side."""
        return self.draws if n <= FULL_N else max(FEWEST_DRAWS, round(self.draws * FULL_N / n))

    def fitting(self, data: Path) -> Fitting:
        """As many images a side as there are held-out ones for."""
        most = imagesets.spec(self.imageset, data).n.get(_resampling.HELD_OUT, 0) // _resampling.DRAWS_OF_N
        why = f"{self.imageset} holds out no more than three times that"
        return {"n": (most, why)} if FEWEST_N <= most < max(self.n) else {}

    def with_fit(self, values: dict[str, Any]) -> Self:
        """The settings with no larger n than fits."""
        most = values.get("n", max(self.n))
        return super().with_fit({**values, "n": tuple(dict.fromkeys(min(n, most) for n in self.n))})


DIGITS: dict[str, Any] = {"imageset": "digits"}
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {**DIGITS, "n": (50,), "spaces": ("classifier",), "draws": 5, "null_draws": 39, "training": 500},
    "laptop": {**DIGITS, "n": (50, 150), "draws": 30, "null_draws": 79},
    "paper": {"imageset": "mnist", "n": (200, 1000, 3000), "draws": 30, "null_draws": 79},
}

MARGIN_SEEN = 0.5
"""A measure sees a fault if its power is above that."""
MARGIN_BLIND = 0.7
"""It is blind if it does not notice in more than that share of the draws."""
MARGIN_ALL_BLIND = 0.5
"""The same of the best of many measures, which has the most false alarms."""
JOINT, GENERATED, REAL = ((side, "entanglement") for side in ("joint", "generated", "real"))
MEMORIZED, GAP = ("generated", "memorized"), ("generated", f"entanglement{_power.GAP}")
SEES: tuple[tuple[str, _power.Key, str, float], ...] = (
    ("The generated side sees noise", GENERATED, "noise", 0.1),
    ("The generated side sees blur", GENERATED, "blur", 1.0),
    ("The generated side sees a shrunk spread", GENERATED, "shrunk", 0.2),
    ("The real side sees a widened spread", REAL, "widened", 0.2),
    ("The real side sees dropped classes", REAL, "dropped", 0.2),
    ("The share of memorised images sees copies of training images", MEMORIZED, "copies", 0.1),
    ("The generated side's gap between held-out and training images sees copies", GAP, "copies", 0.2),
)
IS_BLIND: tuple[tuple[str, _power.Key, str, float], ...] = (
    ("The real side is blind to noise", REAL, "noise", 0.05),
    ("The generated side is blind to dropped classes", GENERATED, "dropped", 0.2),
    ("Joint entanglement alone is blind to a shrunk spread", JOINT, "shrunk", 0.2),
    ("Joint entanglement alone is blind to a widened spread", JOINT, "widened", 0.2),
)
"""What is claimed, of which measure, for which fault and amount."""


def plan(config: Config, data: Path) -> list[Cell]:
    """Critical values in each space at each n, and every fault there.

    Raises:
        UsageError: an unknown image set or fault, more images asked for than there are, no classes, or nothing to do.
        WorkbenchError: a user's own images are not below `data`.
    """
    if not config.grid:
        raise UsageError(f"pixels_n: pixels alone are compared, up to n = {config.pixels_n}: give a smaller --n.")
    cells: list[Cell] = []
    for space, n in config.grid:
        where = _spaces.named(space, config.imageset, data)
        draws = config.draws_at(n)
        null = measure_null.cell(config.imageset, n, where, draws, config.null_draws, config.training, data)
        cells += [null, *(measure_fault.cell(null, fault, where, data) for fault in config.faults)]
    return cells


def claims(config: Config) -> list[Claim]:
    """What is claimed, and by which margin, before anything runs."""
    in_pixels, n = config.claimed
    at = f"n = {n}, {'pixels' if in_pixels else 'features of the classifier'}, 5% false alarms"
    place: dict[str, Any] = {"n": n, "in_pixels": in_pixels}
    kinds = (("alarm", SEES, MARGIN_SEEN, sight), ("do not alarm", IS_BLIND, MARGIN_BLIND, blindness))
    found = [
        Claim(
            f"{text} ({amount:g}).",
            f"share of draws that {what}, {at}",
            margin,
            "exceeds",
            partial(effect, key=key, fault=fault, amount=amount, **place),
        )
        for what, stated, margin, effect in kinds
        for text, key, fault, amount in stated
        if fault in config.faults
    ]
    if "copies" in config.faults:
        found.append(
            Claim(
                "No measure that looks at no training image sees copies of them (0.2).",
                f"share of draws that do not alarm, of the measure that alarms most, {at}",
                MARGIN_ALL_BLIND,
                "exceeds",
                partial(blindness_of_all, fault="copies", amount=0.2, **place),
            )
        )
    return found
