"""A table of a report: one object that becomes HTML, Markdown, LaTeX and CSV."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lab.reporting.statistics import Estimate, mean_interval

Better = Literal["higher", "lower", ""]
Cell = str | int | float | Estimate
LATEX = str.maketrans(
    {
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
    }
)
ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}


@dataclass(frozen=True)
class Column:
    """A heading, and whether higher or lower values are better."""

    header: str
    better: Better = ""

    @property
    def title(self) -> str:
        """The heading with an arrow in the better direction."""
        return self.header + ARROWS[self.better]


@dataclass(frozen=True)
class Table:
    """Rows of cells; an `Estimate` shows its value, interval and n."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]

    def to_markdown(self) -> str:
        """The table in Markdown."""
        lines = [[_markdown(column.title) for column in self.columns], ["---"] * len(self.columns)]
        lines += [[_markdown(text(cell)) for cell in row] for row in self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"

    def to_latex(self) -> str:
        """The table in LaTeX, for the package booktabs."""
        head = " & ".join(column.header.translate(LATEX) for column in self.columns)
        body = [" & ".join(_latex(cell) for cell in row) for row in self.rows]
        lines = [
            rf"\begin{{tabular}}{{{'l' * len(self.columns)}}}",
            r"\toprule",
            rf"{head} \\",
            r"\midrule",
            *(rf"{line} \\" for line in body),
            r"\bottomrule",
            r"\end{tabular}",
        ]
        return "\n".join(lines) + "\n"

    def to_csv(self) -> str:
        """The table as CSV; a column with estimates becomes four: value, low, high, n."""
        wide = [any(isinstance(row[i], Estimate) for row in self.rows) for i in range(len(self.columns))]
        header: list[str] = []
        for column, is_wide in zip(self.columns, wide, strict=True):
            header += [column.header, *(f"{column.header} {part}" for part in ("low", "high", "n") if is_wide)]
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(header)
        for row in self.rows:
            writer.writerow([part for cell, is_wide in zip(row, wide, strict=True) for part in _parts(cell, is_wide)])
        return buffer.getvalue()


def text(cell: Cell) -> str:
    """A cell as people read it: `0.412 [0.380, 0.444] (n = 5)`."""
    if isinstance(cell, Estimate):
        interval = "" if math.isnan(cell.low) else f" [{number(cell.low)}, {number(cell.high)}]"
        return f"{number(cell.value)}{interval} (n = {cell.n})"
    return number(cell) if isinstance(cell, float) else str(cell)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of words as lines with their columns in line: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            [row[0].ljust(widths[0]), *(word.rjust(width) for word, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def number(value: float) -> str:
    """Three decimals, or a dash for what is no number."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def sort_key(cell: Cell) -> str:
    """What a column is sorted by: the number in full, as JavaScript reads it, or the text."""
    value = cell.value if isinstance(cell, Estimate) else cell
    return repr(float(value)).replace("inf", "Infinity") if isinstance(value, float) else str(value)


def _parts(cell: Cell, wide: bool) -> list[object]:
    if isinstance(cell, Estimate):
        return [cell.value, cell.low, cell.high, cell.n]
    return [cell, "", "", ""] if wide else [cell]


def _markdown(words: str) -> str:
    return " ".join(words.replace("|", r"\|").splitlines())


def _latex(cell: Cell) -> str:
    if isinstance(cell, Estimate) and not math.isnan(cell.low):
        return rf"{number(cell.value)} {{\small [{number(cell.low)}, {number(cell.high)}] ($n={cell.n}$)}}"
    return text(cell).translate(LATEX)


def estimate_cell(values: Any) -> Estimate | str:
    """The mean of a pandas Series with its interval, NaN left out; a dash where nothing is known."""
    known = values.dropna()
    return mean_interval(known) if len(known) else "-"
