"""A study's report: what it is made of, and the folder that it becomes.

report.html     one page that opens offline: nothing is fetched, pictures are inside
figures/        each figure as SVG, PDF and PNG, and the data that it shows as CSV
tables/         each table as CSV, Markdown and LaTeX
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.files import atomic_write, replacing
from lab.reporting.fonts import unweighed
from lab.reporting.inline import Styles, inlined
from lab.reporting.page import REPORT, render
from lab.reporting.pictures import size
from lab.reporting.plots import STYLE
from lab.reporting.tables import Table, write_csv
from lab.reporting.told import marked
from lab.reporting.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Drawing

PAGE = "report.html.j2"
LETTER = 16
"""Pixels of a letter's height."""
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
SIDES = ("left", "right", "bottom", "top")
"""Where labels of ticks are told to be; before its version 3.10 matplotlib calls those of an x-axis left and right."""
FORMATS = ("svg", "pdf", "png")
NO_DATES: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}


@dataclass(frozen=True)
class Figure:
    """A drawing, what it shows in words, and the data in it. The name becomes that of its files."""

    name: str
    caption: str
    drawing: "Drawing"
    data: "pd.DataFrame"


@dataclass(frozen=True)
class Picture:
    """A PNG, and what is told of its images where the pointer is on one.

    Attributes:
        caption: of the picture.
        png: one image, or a sheet of several, with gaps.
        names: of its images, row by row; or one for all.
        columns: images in a row.
        what: what the names are of, where that is not the images themselves.
        beside: a PNG of the same shape with the images that the names are of; empty where there are none.
    """

    caption: str
    png: bytes
    names: Sequence[str] = ()
    columns: int = 1
    what: str = ""
    beside: bytes = b""

    def enlarged(self, width: float) -> tuple[int, int]:
        """Width and height on the page in pixels: a whole number of times its own, at most so many letters wide."""
        own = size(self.png)
        times = max(1, int(width * LETTER // own[0]))
        return own[0] * times, own[1] * times


@dataclass(frozen=True)
class GalleryRow:
    """Pictures side by side."""

    label: str
    images: Sequence[Picture]


@dataclass(frozen=True)
class Gallery:
    """Rows of pictures, each enlarged a whole number of times to about so many letters' heights."""

    caption: str
    rows: Sequence[GalleryRow]
    width: float = 9.6

    @property
    def widest(self) -> int:
        """Pixels on the page of its widest picture, in which each has its place."""
        return max((picture.enlarged(self.width)[0] for row in self.rows for picture in row.images), default=0)


@dataclass(frozen=True)
class Lines:
    """Lines to be typed or copied as they are."""

    caption: str
    text: str

    @property
    def words(self) -> list[str]:
        """The text in words and what lies between them: a page breaks no word, not even after a hyphen."""
        return re.findall(r"\s+|\S+", self.text)


@dataclass(frozen=True)
class Section:
    """A heading, plain text whose paragraphs are parted by empty lines, and what belongs below it."""

    title: str
    text: str
    items: Sequence[Figure | Table | Gallery | Lines] = ()


@dataclass(frozen=True)
class Report:
    """A question, and what is shown of it; the verdicts on the study's claims are no part of it."""

    title: str
    question: str
    sections: list[Section]


def write_report(
    report: Report,
    verdicts: Sequence[Verdict],
    missing: Sequence[str],
    folder: Path,
    formats: Sequence[str] = FORMATS,
    home: str = "",
) -> Path:
    """Write the report below `folder`, each file whole or not at all.

    Args:
        report: what is shown.
        verdicts: what the study's claims came to; they head the page.
        missing: what failed or was not done, a line each.
        folder: where; it is made if it is not there.
        formats: of the figures' files, `svg` among them, which the page needs.
        home: the way from `folder` to the page that leads to it; empty where there is none.

    Returns:
        The page's path.

    Raises:
        ValueError: a figure's or a table's name is no plain file name, or two share one; nothing is written.
    """
    figures, tables = (_named(report, kind) for kind in (Figure, Table))
    for name in ("figures", "tables"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    styles = Styles()
    drawn = {figure.name: _write_figure(figure, folder / "figures", formats, styles) for figure in figures}
    for table in tables:
        contents = {"csv": table.to_csv(), "md": table.to_markdown(), "tex": table.to_latex()}
        for suffix, content in contents.items():
            atomic_write(folder / "tables" / f"{table.name}.{suffix}", content)
    page = folder / REPORT
    parts = {"report": report, "verdicts": verdicts, "missing": missing, "drawn": drawn, "styles": styles}
    atomic_write(page, render(PAGE, **parts, files=[*formats, "csv"], home=home))
    return page


def write_page(report: Report, page: Path) -> None:
    """Write a report without figures as one page without files beside it, whole or not at all."""
    atomic_write(
        page, render(PAGE, report=report, verdicts=[], missing=[], drawn={}, styles=Styles(), files=[], home="")
    )


def _named(report: Report, kind: type[Any]) -> list[Any]:
    """The report's items of a kind, whose names can be those of files."""
    items = [item for section in report.sections for item in section.items if isinstance(item, kind)]
    names = [item.name for item in items]
    for name in names:
        if not PLAIN_NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a file: use letters, digits, '.', '_' and '-'.")
    if len(set(names)) < len(names):
        raise ValueError(f"two items would overwrite each other's files: {sorted(names)}.")
    return items


def _write_figure(figure: Figure, folder: Path, formats: Sequence[str], styles: Styles) -> str:
    """Save a figure in some formats and its data; returns the SVG as a part of the page."""
    import matplotlib as mpl

    # The salt and the fonts are read at saving; a drawing need not come from `new_figure`.
    with mpl.rc_context(STYLE), unweighed():  # type: ignore[arg-type]
        _settle(figure.drawing)
        if engine := figure.drawing.get_layout_engine():  # laid out once, and not for each format
            engine.execute(figure.drawing)
            figure.drawing.set_layout_engine(None)
        told = marked(figure.drawing)
        drawn = {}
        for kind in formats:
            buffer = io.BytesIO()
            figure.drawing.savefig(buffer, format=kind, metadata=NO_DATES[kind])
            drawn[kind] = buffer.getvalue()
            atomic_write(folder / f"{figure.name}.{kind}", drawn[kind])
    with replacing(folder / f"{figure.name}.csv") as aside:
        write_csv(figure.data, aside)
    return inlined(drawn["svg"], figure.caption, told, styles)


def _settle(drawing: "Drawing") -> None:
    """Give labels without a word a place: matplotlib looks for one among all the ticks, several times a panel
    (findings/matplotlib-places-labels-without-words.sh). An axis without any label takes no room, which it would look
    for as well."""
    for axes in drawing.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if not axis.get_label_text():
                axis.set_label_coords(0, 0)
                told = axis.get_tick_params()
                axis.set_in_layout(any(told.get(f"label{side}") for side in SIDES))
