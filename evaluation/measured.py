"""Real against generated images of any origin, by every measure, with the floor of real against real beside it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from evaluation.sources import Images, digests
from evaluation.spaces import Seen, Space
from lab.errors import Say, UsageError, WorkbenchError
from lab.files import without_nan
from lab.reporting.tables import UNKNOWN, Entry, text
from lab.training.draws import subset
from metrics.comparison import FEWEST, Comparison, Predictions, compare
from metrics.memorization import TrainingSet
from outside.same import check_same

MOST = 10_000
"""Images a side unless told otherwise: entanglement takes time by the square."""
KEYS = {
    "one_nn_accuracy": ("one_nn_accuracy", "joint"),
    "fid": ("fid", "joint"),
    "fid_infinity": ("fid_infinity", "joint"),
    "kid": ("kid", "joint"),
    "kid_stderr": ("kid_stderr", "joint"),
    "precision": ("precision", "generated"),
    "recall": ("recall", "real"),
    "density": ("density", "generated"),
    "coverage": ("ball_coverage", "real"),
    "real_side": ("entanglement", "real"),
    "generated_side": ("entanglement", "generated"),
    "sliced_wasserstein": ("sliced_wasserstein", "joint"),
    "mind": ("mind", "joint"),
    "vendi_real": ("vendi", "real"),
    "vendi_generated": ("vendi", "generated"),
    "class_kl": ("class_kl", "generated"),
    "modes": ("modes", "generated"),
    "memorized": ("memorized", "generated"),
}
"""Measures under the names by which users know them: metric and side of the row."""
SHOWN = {"coverage": "coverage_of_classes", "ball_coverage": "coverage"}
"""What measures are called in print, where that is not what rows say."""
GAP = "_gap"
MEMORIZED_FLOOR = ("memorized", "real")
"""Held-out images near to training ones: that row is the floor of the generated ones."""


@dataclass(frozen=True)
class ImagesComparison:
    """What was measured of n real and n generated images.

    Attributes:
        real: those that were drawn.
        generated: likewise, brought to the channels and the size of the real ones.
        space: where they were compared.
        found: by every measure.
        floor: the same real images against n others of theirs; None where there are not so many.
        predicted: what a classifier says of both, where the space has one.
        trained: the training images among which memorised ones were looked for, uint8 (t, c, h, w), where known.
        left_out: why measures are not there.
        remarks: what a reader must know.
        seed: drew the images.
    """

    real: Images
    generated: Images
    space: Space
    found: Comparison
    floor: Comparison | None
    predicted: Predictions | None
    trained: Tensor | None
    left_out: Sequence[str]
    remarks: Sequence[str]
    seed: int

    @property
    def n(self) -> int:
        """Images a side."""
        return len(self.real)

    @property
    def entries(self) -> list[dict[str, Entry]]:
        """A row for each measure that is of no class: its value, the floor's, and the gap; or dashes."""
        found: list[dict[str, Entry]] = []
        for row in self.found.rows:
            metric, side = str(row["metric"]), str(row["side"])
            if not (row["group"] or metric.endswith(GAP) or (metric, side) == MEMORIZED_FLOOR):
                known = {"value": float(row["value"]), "floor": self._floor(metric, side)}
                known["gap"] = self.found.value(metric + GAP, side)
                told = {name: UNKNOWN if number is None else number for name, number in known.items()}
                found.append({"measure": SHOWN.get(metric, metric), "side": side, **told})
        return found

    @property
    def rows(self) -> list[dict[str, str]]:
        """The entries as people read them."""
        return as_read(self.entries)

    def _floor(self, metric: str, side: str) -> float | None:
        """What real images give in place of the generated ones."""
        if (metric, side) == ("memorized", "generated"):
            return self.found.value(*MEMORIZED_FLOOR)
        return None if self.floor is None else self.floor.value(metric, side)

    def plain(self) -> dict[str, Any]:
        """As JSON-ready values, null for what was left out."""
        about = {"real": self.real.name, "generated": self.generated.name, "n": self.n}
        place = {"space": self.space.name, "layer": self.space.layer}
        floor = {key: self._floor(*which) for key, which in KEYS.items()}
        floor |= {} if self.floor is None else _whole(self.floor)
        measured = {key: self.found.value(*which) for key, which in KEYS.items()}
        notes = {"left_out": [*self.left_out], "remarks": [*self.remarks]}
        plain: dict[str, Any] = without_nan(
            {**about, **place, **_whole(self.found), **measured, "floor": floor, "rows": self.found.rows, **notes}
        )
        return plain


def measure_images(
    real: Images,
    generated: Images,
    space: Space,
    *,
    n: int | None = None,
    seed: int = 0,
    runs: Path | None = None,
    say: Say = lambda text: None,
) -> ImagesComparison:
    """Compare n random images of either side, and n others of the real ones for the floor: `measure_each` of one."""
    (found,) = measure_each(real, [generated], space, n=n, seed=seed, runs=runs, say=say)
    return found


def measure_each(
    real: Images,
    sides: Sequence[Images],
    space: Space,
    *,
    n: int | None = None,
    seed: int = 0,
    runs: Path | None = None,
    say: Say = lambda text: None,
) -> list[ImagesComparison]:
    """Compare n random images of each generated side with the same n real ones, and these with n others of theirs.

    Args:
        real: of any origin.
        sides: of any origin; brought to the channels and the size of the real ones.
        space: where they are compared; where it is sharded, by processes that call this at the same time.
        n: images a side; None for half of the real ones, or as many as there are generated ones, up to 10,000.
        seed: draws them.
        runs: the folder below which features of real images are kept; None to keep none.
        say: is told, in lines, what is done.

    Raises:
        UsageError: more are asked for than there are.
        WorkbenchError: there are fewer than two a side, or points are not finite.
    """
    if space.sharded:
        check_same(f"the network of {space.name}", space.name)
        for side in (real, *sides):
            check_same(side.name, side.images, side.labels, side.trained)
    if space.takes is not None:
        real = real.brought_to(space.takes, space.name, say)
    sides = [side.brought_to(real.shape, real.name, say) for side in sides]
    n = min(_size(real, side, n) for side in sides)
    drawn_of = [f"{n} of {len(real)} real and {n} of {len(side)} generated images" for side in sides]
    for line in dict.fromkeys(f"{numbers}, in the space {space.title}." for numbers in drawn_of):
        say(line)
    drawn = _Real.drawn(real, n, space, seed, runs)
    found = []
    for number, side in enumerate(sides, 1):
        if len(sides) > 1:
            say(f"Measuring {side.name} ({number} of {len(sides)})")
        found.append(drawn.against(side, seed))
    return found


@dataclass(frozen=True)
class _Real:
    """The real images of a comparison: all of them, the n that were drawn and what is seen in them, and the floor."""

    every: Images
    images: Tensor
    labels: Tensor | None
    space: Space
    runs: Path | None
    seen: Seen
    floor: Comparison | None
    searched: dict[int, TrainingSet] = field(default_factory=dict)

    @classmethod
    def drawn(cls, real: Images, n: int, space: Space, seed: int, runs: Path | None) -> Self:
        picked = subset(len(real), min(2 * n, len(real)), seed, "real")
        every = _see(space, real.images[picked], runs)
        seen, labels = every.part(slice(n)), None if real.labels is None else real.labels[picked[:n]]
        floor = None
        if len(picked) == 2 * n:
            floor = _compared(space, seen, every.part(slice(n, None)), labels, real.name)
        return cls(real, real.images[picked[:n]], labels, space, runs, seen, floor)

    def _known(self, trained: Tensor) -> TrainingSet:
        """What is known of training images, found once for all sides that share them."""
        if id(trained) not in self.searched:
            self.searched[id(trained)] = TrainingSet.of(_see(self.space, trained, self.runs).features)
        return self.searched[id(trained)]

    def against(self, generated: Images, seed: int) -> ImagesComparison:
        real, space, n = self.every, self.space, len(self.images)
        drawn = subset(len(generated), n, seed, "generated")
        others = space.see(generated.images[drawn])
        trained = real.trained if generated.trained is None else generated.trained
        known = None if trained is None else self._known(trained)
        found = _compared(space, self.seen, others, self.labels, f"{real.name} and {generated.name}", known)
        short = f"floor of real against real: needs {2 * n} real images; there are {len(real)}."
        return ImagesComparison(
            replace(real, images=self.images, labels=None, held_out=None),
            replace(generated, images=generated.images[drawn], labels=None, held_out=None),
            space,
            found,
            self.floor,
            space.predictions(self.seen, others),
            trained,
            [*([short] if self.floor is None else []), *found.left_out],
            [*_shared(real, generated, n), *found.remarks],
            seed,
        )


def _compared(
    space: Space, real: Seen, others: Seen, labels: Tensor | None, whose: str, training: TrainingSet | None = None
) -> Comparison:
    """What all measures say of what is seen in images; what they refuse is told in the name of whose images it is."""
    try:
        return compare(
            real.features,
            others.features,
            real_labels=labels,
            predicted=space.predictions(real, others),
            training=training,
            sharded=space.sharded,
        )
    except ValueError as error:
        raise WorkbenchError(f"{whose} in {space.name}: {error}") from error


def as_read(entries: Sequence[dict[str, Entry]]) -> list[dict[str, str]]:
    """Rows of entries as people read them: numbers with four digits."""
    return [{name: text(entry, four_digits=True) for name, entry in row.items()} for row in entries]


def _size(real: Images, generated: Images, asked: int | None) -> int:
    """Images a side: what is asked for, or what leaves as many real ones for the floor."""
    most = min(len(real), len(generated))
    if most < FEWEST:
        raise WorkbenchError(
            f"{FEWEST} images a side are needed; {real.name} has {len(real)} and {generated.name} {len(generated)}."
        )
    if asked is not None and asked > most:
        raise UsageError(f"--n {asked} is more than the {most} images that the smaller side has.")
    return asked or min(most, usual_size(len(real)))


def usual_size(real: int) -> int:
    """Images a side that leave as many real ones for the floor, up to 10,000."""
    return max(FEWEST, min(real // 2, MOST))


def _see(space: Space, images: Tensor, runs: Path | None) -> Seen:
    return space.see(images) if runs is None else space.see_once(images, runs)


def _shared(real: Images, generated: Images, n: int) -> list[str]:
    """What is to be said if images of the two sides, of which n each are compared, are the same, bit for bit."""
    ones, others = (digests(side.images) for side in (real, generated))
    if {*ones} == {*others}:
        all_of_them = n == len(ones) and Counter(ones) == Counter(others)
        meaning = "scores tell how alike random draws of them are, and nothing of a generator"
        meaning = "every score is at its ceiling" if all_of_them else meaning
        return [f"{real.name} and {generated.name} are the same images: {meaning}."]
    known = {*ones}
    shared = sum(digest in known for digest in others)
    return [f"{shared} of {len(others)} images of {generated.name} are in {real.name}, too."] if shared else []


def _whole(found: Comparison) -> dict[str, Any]:
    """Of the entanglement of both sides, what the engine calls it."""
    return {name: getattr(found.entanglement, name) for name in ("score", "loss", "temperature", "bound")}
