"""A table of a report: one object that becomes HTML, Markdown, LaTeX and CSV."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lab.reporting.statistics import ANY, Estimate, Range, mean_interval

if TYPE_CHECKING:
    import pandas as pd

Better = Literal["higher", "lower", ""]
Entry = str | int | float | Estimate
Rows = list[list[Entry]]
LATEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    | {"[": "{[}", "*": "{*}"}  # at the beginning of a row they would be options of the line before
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$"}
)
FORMULA = re.compile(r"[=@\t\r]|[+-](?!(?:[-+\d.,\s]|(?<=\d)[eE](?=[-+\d])|inf\b|nan\b|\sto\s)*$)")
"""How a text begins that a spreadsheet takes for a formula, and runs; those of numbers, as in `-2 to -1`, do not."""
UNKNOWN = "-"
LONG = 30
"""Rows that a page shows unasked."""
LEAST = 1e-6
"""What is nearer to 0 is shown as 0: it is beyond what is measured here, and often comes of rounding in sums."""
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
    """Rows of entries; an `Estimate` shows its value, interval and n.

    A page shows one that is folded when it is asked, as one that is long. Numbers have three decimals, or four digits
    where small ones count as well.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Entry]]
    folded: bool = False
    four_digits: bool = False

    @property
    def shut(self) -> bool:
        """Whether a page shows it only when it is asked."""
        return self.folded or len(self.rows) > LONG

    def to_markdown(self) -> str:
        """The table in Markdown."""
        lines = [[_markdown(column.title) for column in self.columns], ["---"] * len(self.columns)]
        lines += [[_markdown(text(entry, self.four_digits)) for entry in row] for row in self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"

    def to_latex(self) -> str:
        """The table in LaTeX, for the package booktabs."""
        head = " & ".join(_latex(column.header, self.four_digits) for column in self.columns)
        body = [" & ".join(_latex(entry, self.four_digits) for entry in row) for row in self.rows]
        top = [rf"\begin{{tabular}}{{{'l' * len(self.columns)}}}", r"\toprule", rf"{head} \\", r"\midrule"]
        return "\n".join([*top, *(rf"{line} \\" for line in body), r"\bottomrule", r"\end{tabular}", ""])

    def to_csv(self) -> str:
        """The table as CSV; a column with estimates becomes four: value, low, high, n; a dash among numbers is nan."""
        of_numbers = [_of_numbers([row[i] for row in self.rows]) for i in range(len(self.columns))]
        wide = [any(isinstance(row[i], Estimate) for row in self.rows) for i in range(len(self.columns))]
        header: list[object] = []
        for column, is_wide in zip(self.columns, wide, strict=True):
            header += [column.header, *(f"{column.header} {part}" for part in ("low", "high", "n") if is_wide)]
        lines = [
            [part for entry, *kind in zip(row, wide, of_numbers, strict=True) for part in _parts(entry, *kind)]
            for row in self.rows
        ]
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([[*map(_inert, line)] for line in (header, *lines)])
        return buffer.getvalue()


def write_csv(frame: "pd.DataFrame", path: Path) -> None:
    """Write a data frame as CSV, in which no text is a formula; what is no text becomes `\\udcff`."""
    found = frame.rename(columns=_inert)
    for place, kind in enumerate(found.dtypes):
        column = found.iloc[:, place]
        if kind.kind == "O" and any(map(_is_formula, column.unique())):
            found.isetitem(place, column.map(_inert))
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:  # pandas takes `~` for home
        found.to_csv(file, index=False)


def columns(*headers: str, better: Better = "") -> list[Column]:
    """A column for each heading."""
    return [Column(header, better) for header in headers]


def mean_entry(values: "pd.Series[float]", within: Range = ANY) -> Estimate | str:
    """The mean of values in a range with its interval, NaN left out; a dash where nothing is known."""
    known = values.dropna()
    return mean_interval(known, within=within) if len(known) else UNKNOWN


def seed_rows(values: "Sequence[pd.Series[float]]") -> Rows:
    """Every seed of the first of some measures with the values of all; NaN where a seed has none."""
    return [[int(seed), *(float(one.get(seed, math.nan)) for one in values)] for seed in values[0].index]


def seed_table(
    name: str, caption: str, headers: Sequence[str], values: "Mapping[tuple[str, str], pd.Series[float]]"
) -> Table:
    """A row for each Series of values, which begins with its key, below those two headers; a column for each seed."""
    seeds = sorted({int(seed) for one in values.values() for seed in one.index})
    rows: Rows = [[*key, *(float(one.get(seed, math.nan)) for seed in seeds)] for key, one in values.items()]
    return Table(name, caption, columns(*headers, *(f"seed {seed}" for seed in seeds)), rows)


def text(entry: Entry, four_digits: bool = False) -> str:
    """An entry as people read it: `0.412 [0.380, 0.444] (n = 5)`; numbers by themselves with four digits if asked."""
    if isinstance(entry, Estimate):
        interval = "" if math.isnan(entry.low) else f" [{_digits(entry.low)}, {_digits(entry.high)}]"
        return f"{_digits(entry.value)}{interval} (n = {entry.n})"
    if not isinstance(entry, float):
        return str(entry)
    return f"{entry:.4g}" if four_digits else _digits(entry)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of words as lines with their columns in line: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def number(value: float) -> str:
    """Three decimals, or a dash for what is no number."""
    return UNKNOWN if math.isnan(value) else f"{value:z.3f}"


def sort_key(entry: Entry) -> str:
    """What a column is sorted by: the number in full, as JavaScript reads it, or the text."""
    value = entry.value if isinstance(entry, Estimate) else entry
    return repr(float(value)).replace("inf", "Infinity") if isinstance(value, float) else str(value)


def _digits(value: float) -> str:
    """A number, and two digits of what three decimals would show as 0 though it is not."""
    hidden = abs(value) >= LEAST and f"{abs(value):.3f}" == "0.000"
    return f"{value:.2g}" if hidden else number(value)


def _of_numbers(entries: Sequence[Entry]) -> bool:
    """Whether a column is of numbers, but for what is unknown."""
    texts = [entry for entry in entries if isinstance(entry, str)]
    return len(texts) < len(entries) and {*texts} <= {UNKNOWN}


def _parts(entry: Entry, wide: bool, of_numbers: bool) -> list[object]:
    if isinstance(entry, Estimate):
        return [entry.value, entry.low, entry.high, entry.n]
    if of_numbers and entry == UNKNOWN:
        return [math.nan] * (4 if wide else 1)
    return [entry, "", "", ""] if wide else [entry]


def _is_formula(entry: object) -> bool:
    return isinstance(entry, str) and FORMULA.match(entry) is not None


def _inert(entry: object) -> object:
    """An entry of a CSV file; a text that would be a formula comes after a quotation mark, as spreadsheets have it."""
    return f"'{entry}" if _is_formula(entry) else entry


def _markdown(words: str) -> str:
    return " ".join(words.replace("|", r"\|").replace("<", "&lt;").replace("](", r"]\(").splitlines())


def _latex(entry: Entry, four_digits: bool) -> str:
    if isinstance(entry, Estimate) and not math.isnan(entry.low):
        return rf"{_digits(entry.value)} {{\small [{_digits(entry.low)}, {_digits(entry.high)}] ($n={entry.n}$)}}"
    return " ".join(text(entry, four_digits).split()).translate(LATEX)
