"""GANs that learned the same images, compared with held-out ones by every measure, side by side."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.measured import ImagesComparison, as_read
from evaluation.page import READING, explained, made
from gans._trained import Trained
from lab.errors import UsageError
from lab.reporting.pictures import sheet
from lab.reporting.report import Gallery, GalleryRow, Picture, Report, Section
from lab.reporting.tables import UNKNOWN, Column, Entry, Table

GRID = 64
"""Images of each that the page shows."""
WIDE = 20.0
"""How wide a grid is on the page, in letters' heights."""


@dataclass(frozen=True)
class SideBySide:
    """What was measured of each GAN, by the name under which it stands in tables."""

    trained: dict[str, Trained]
    found: dict[str, ImagesComparison]

    @property
    def first(self) -> ImagesComparison:
        """One of them: the real images, their floor and the space are those of all."""
        return next(iter(self.found.values()))

    @property
    def entries(self) -> list[dict[str, Entry]]:
        """A row for each measure: its side, the value of each GAN, and the floor; a dash for what is not there."""
        tables = {
            name: {(row["measure"], row["side"]): row for row in found.entries} for name, found in self.found.items()
        }
        measures = dict.fromkeys(key for table in tables.values() for key in table)
        rows: list[dict[str, Entry]] = []
        for key in measures:
            values = {name: table[key]["value"] if key in table else UNKNOWN for name, table in tables.items()}
            floor = next(table[key]["floor"] for table in tables.values() if key in table)
            rows.append({"measure": key[0], "side": key[1], **values, "floor": floor})
        return rows

    @property
    def rows(self) -> list[dict[str, str]]:
        """The entries as people read them."""
        return as_read(self.entries)

    @property
    def notes(self) -> list[str]:
        """What a reader must know, of which GAN, and what was left out."""
        told = [(name, text) for name, found in self.found.items() for text in found.remarks]
        warned = [f"Warning: {name}: {text}" for name, text in told]
        return [*warned, *dict.fromkeys(f"Left out: {text}" for one in self.found.values() for text in one.left_out)]

    def plain(self) -> dict[str, Any]:
        """As JSON-ready values: of each GAN what `ImagesComparison` says, but for the floor, which is that of all."""
        gans = []
        for name, found in self.found.items():
            one, known = found.plain(), self.trained[name]
            about = {"name": name, "from": known.name, "gan": known.run.gan, "kimg": known.kimg, "seed": known.seed}
            gans.append({**about, **{key: one[key] for key in one if key not in ("real", "generated", "floor")}})
        whole = self.first.plain()
        return {**{key: whole[key] for key in ("real", "n", "space", "layer", "floor")}, "gans": gans}

    def report(self) -> Report:
        """The page: the table of all measures, and images of each next to real ones."""
        first = self.first
        shown = {"real": first.real.images, **{name: found.generated.images for name, found in self.found.items()}}
        grids = [Picture(name, sheet(images[:GRID].numpy())) for name, images in shown.items()]
        names = [f"{name}: {one.name}{one.when}" for name, one in self.trained.items()]
        remarks = [f"{name}: {text}" for name, found in self.found.items() for text in found.remarks]
        return Report(
            f"{', '.join(self.found)} on {first.real.name}",
            f"Which of these GANs makes images like {first.real.name}? {first.n} images a side, in the space "
            f"{first.space.title}.",
            [
                Section("How to read it", "\n\n".join([READING, *(f"{name}." for name in names), *remarks])),
                Section("Images", "", [Gallery("At random.", [GalleryRow("", grids)], WIDE)]),
                Section("Measures", "", [self._table(), explained(*self.found.values())]),
                made(first, "; ".join(names)),
            ],
        )

    def _table(self) -> Table:
        rows = self.entries
        caption = f"Every measure, n = {self.first.n} a side; floor: the same real images against others of theirs."
        headers = [Column(header) for header in rows[0]]
        return Table("measures", caption, headers, [[*row.values()] for row in rows], four_digits=True)


def named(gans: Sequence[Trained]) -> dict[str, Trained]:
    """GANs by the shortest names that tell them apart: of the GAN, with its seed, or with their place in the order.

    Raises:
        UsageError: there are not two, or they learned other images than one another.
    """
    if len(gans) < 2:
        raise UsageError("name two GANs or more; measure images compares one with real images.")
    learned = dict.fromkeys(gan.run.imageset for gan in gans)
    if len(learned) > 1:
        raise UsageError(
            f"they learned other images than one another: {', '.join(learned)}; take GANs of one image set."
        )
    for name in (lambda i: gans[i].run.gan, lambda i: f"{gans[i].run.gan}-s{gans[i].seed}"):
        names = [name(i) for i in range(len(gans))]
        if max(Counter(names).values()) == 1:
            return dict(zip(names, gans, strict=True))
    return {f"{gan.run.gan}-{i}": gan for i, gan in enumerate(gans, 1)}
