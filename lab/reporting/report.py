"""A study's report: what it is made of, and the folder that it becomes.

report.html     one page that opens offline: nothing is fetched, pictures are inside
figures/        each figure as SVG, PDF and PNG, and the data that it shows as CSV
tables/         each table as CSV, Markdown and LaTeX
"""

import base64
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.files import atomic_write, replacing
from lab.reporting.tables import Column, Table, sort_key, text
from lab.reporting.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Drawing

__all__ = [
    "PALETTE",
    "Column",
    "Figure",
    "Gallery",
    "GalleryRow",
    "Report",
    "Section",
    "Table",
    "new_figure",
    "write_report",
]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours, which the colour-blind can tell apart."""

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "0.4",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "font.size": 9,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "pdf.fonttype": 42,
    "savefig.dpi": 150,
    "svg.fonttype": "path",
    "svg.hashsalt": "snnl",
    "text.parse_math": False,  # a class may be called $x$; a logarithmic axis needs a plain formatter
}
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
    """Pictures side by side, each with a caption."""

    label: str
    images: Sequence[tuple[str, Path]]


@dataclass(frozen=True)
class Gallery:
    """Rows of PNG pictures."""

    name: str
    caption: str
    rows: Sequence[GalleryRow]


@dataclass(frozen=True)
class Section:
    """A heading, plain text whose paragraphs are parted by empty lines, and what belongs below it."""

    title: str
    text: str
    items: Sequence[Figure | Table | Gallery] = ()


@dataclass(frozen=True)
class Report:
    """A question, its verdicts, and what they rest on. `missing` says what failed or was not done."""

    title: str
    question: str
    verdicts: Sequence[Verdict]
    sections: list[Section]
    missing: list[str] = field(default_factory=list)


def new_figure(width: float, height: float) -> "Drawing":
    """An empty drawing of that many inches in the reports' style, without global state."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Drawing

    # Set for good, not within a context: drawing and saving read it again later.
    mpl.rcParams.update(STYLE)  # type: ignore[arg-type]
    return Drawing(figsize=(width, height), layout="constrained")


def write_report(report: Report, folder: Path) -> Path:
    """Write the report below `folder`, each file whole or not at all.

    Returns:
        The page's path.

    Raises:
        ValueError: a figure's or a table's name is no plain file name, or two share one; nothing is written.
    """
    for kind in (Figure, Table):
        _check_names([item.name for item in _items(report, kind)])
    for name in ("figures", "tables"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    pictures = {figure.name: _write_figure(figure, folder / "figures") for figure in _items(report, Figure)}
    for table in _items(report, Table):
        formats = {"csv": table.to_csv(), "md": table.to_markdown(), "tex": table.to_latex()}
        for suffix, content in formats.items():
            atomic_write(folder / "tables" / f"{table.name}.{suffix}", content)
    page = folder / "report.html"
    atomic_write(page, _page(report, pictures))
    return page


def _items(report: Report, kind: type[Any]) -> Iterator[Any]:
    return (item for section in report.sections for item in section.items if isinstance(item, kind))


def _check_names(names: list[str]) -> None:
    bad = [name for name in names if not PLAIN_NAME.fullmatch(name)]
    if bad:
        raise ValueError(f"{bad[0]!r} cannot name a file: use letters, digits, '.', '_' and '-'.")
    if len(set(names)) < len(names):
        raise ValueError(f"two items would overwrite each other's files: {sorted(names)}.")


def _write_figure(figure: Figure, folder: Path) -> str:
    """Save a figure in three formats and its data; returns the SVG as a data URI."""
    import matplotlib as mpl

    for kind, metadata in NO_DATES.items():
        buffer = io.BytesIO()
        # The salt and the fonts are read at saving; a drawing need not come from `new_figure`.
        with mpl.rc_context(STYLE):  # type: ignore[arg-type]
            figure.drawing.savefig(buffer, format=kind, metadata=metadata)
        atomic_write(folder / f"{figure.name}.{kind}", buffer.getvalue())
    with replacing(folder / f"{figure.name}.csv") as aside:
        figure.data.to_csv(aside, index=False)
    return _data_uri((folder / f"{figure.name}.svg").read_bytes(), "image/svg+xml")


def _page(report: Report, pictures: dict[str, str]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=templates, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["kind"] = lambda item: type(item).__name__
    environment.filters |= {"text": text, "sort_key": sort_key}
    environment.filters["png"] = lambda path: _data_uri(Path(path).read_bytes(), "image/png")
    return environment.get_template("report.html.j2").render(report=report, pictures=pictures)


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
