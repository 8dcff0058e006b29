"""A study's report: what it is made of, and the folder that it becomes.

report.html     one page that opens offline: nothing is fetched, pictures are inside
figures/        each figure as SVG, PDF and PNG, and the data that it shows as CSV
tables/         each table as CSV, Markdown and LaTeX
"""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.files import atomic_write, replacing
from lab.reporting.fonts import unweighed
from lab.reporting.plots import STYLE
from lab.reporting.tables import Table, sort_key, text
from lab.reporting.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Drawing

PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
NO_DATES: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}


@dataclass(frozen=True)
class Figure:
    """A drawing, what it shows in words, and the data in it. The name becomes that of its files."""

    name: str
    caption: str
    drawing: "Drawing"
    data: "pd.DataFrame"


@dataclass(frozen=True)
class GalleryRow:
    """Pictures side by side, each with a caption: PNG files, or their bytes."""

    label: str
    images: Sequence[tuple[str, Path | bytes]]


@dataclass(frozen=True)
class Gallery:
    """Rows of PNG pictures, each so many letters' heights wide."""

    caption: str
    rows: Sequence[GalleryRow]
    width: float = 9.6


@dataclass(frozen=True)
class Section:
    """A heading, plain text whose paragraphs are parted by empty lines, and what belongs below it."""

    title: str
    text: str
    items: Sequence[Figure | Table | Gallery] = ()


@dataclass(frozen=True)
class Report:
    """A question, and what is shown of it; the verdicts on the study's claims are no part of it."""

    title: str
    question: str
    sections: list[Section]


def write_report(report: Report, verdicts: Sequence[Verdict], missing: Sequence[str], folder: Path) -> Path:
    """Write the report below `folder`, each file whole or not at all.

    Args:
        report: what is shown.
        verdicts: what the study's claims came to; they head the page.
        missing: what failed or was not done, a line each.
        folder: where; it is made if it is not there.

    Returns:
        The page's path.

    Raises:
        ValueError: a figure's or a table's name is no plain file name, or two share one; nothing is written.
    """
    figures, tables = (_named(report, kind) for kind in (Figure, Table))
    for name in ("figures", "tables"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    pictures = {figure.name: _write_figure(figure, folder / "figures") for figure in figures}
    for table in tables:
        formats = {"csv": table.to_csv(), "md": table.to_markdown(), "tex": table.to_latex()}
        for suffix, content in formats.items():
            atomic_write(folder / "tables" / f"{table.name}.{suffix}", content)
    page = folder / "report.html"
    atomic_write(page, _page(report=report, verdicts=verdicts, missing=missing, pictures=pictures, beside=True))
    return page


def write_page(report: Report, page: Path) -> None:
    """Write a report without figures as one page without files beside it, whole or not at all."""
    atomic_write(page, _page(report=report, verdicts=[], missing=[], pictures={}, beside=False))


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


def _write_figure(figure: Figure, folder: Path) -> str:
    """Save a figure in three formats and its data; returns the SVG as a data URI."""
    import matplotlib as mpl

    # The salt and the fonts are read at saving; a drawing need not come from `new_figure`.
    with mpl.rc_context(STYLE), unweighed():  # type: ignore[arg-type]
        if figure.drawing.get_layout_engine():  # laid out once, and not for each format
            figure.drawing.draw_without_rendering()
            figure.drawing.set_layout_engine(None)
        for kind, metadata in NO_DATES.items():
            buffer = io.BytesIO()
            figure.drawing.savefig(buffer, format=kind, metadata=metadata)
            atomic_write(folder / f"{figure.name}.{kind}", buffer.getvalue())
    with replacing(folder / f"{figure.name}.csv") as aside:
        figure.data.to_csv(aside, index=False)
    return _data_uri((folder / f"{figure.name}.svg").read_bytes(), "image/svg+xml")


def _page(**parts: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=templates, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"text": text, "sort_key": sort_key}
    environment.filters["kind"] = lambda item: type(item).__name__
    environment.filters["png"] = lambda png: _data_uri(png if isinstance(png, bytes) else png.read_bytes(), "image/png")
    return environment.get_template("report.html.j2").render(parts)


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
