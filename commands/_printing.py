"""What commands print: results on stdout, what they are about on stderr."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.errors import say, visible

if TYPE_CHECKING:
    from lab.cells.cell import Cell
    from lab.cells.folder import CellFolder
    from lab.studying.drawing import Result


def tell(text: str) -> None:
    """A line on stdout."""
    click.echo(visible(text))


def takes(cells: "Sequence[Cell[Any]]", slots: int, runs: Path) -> str:
    """How long cells take in so many slots, in words: more than a guess only where such were timed on this machine."""
    from lab.pace import duration
    from lab.running import timing

    known = timing.read(runs)
    time = duration(known.estimate(cells, slots))
    return f"about {time}" if known.knows(cells) else f"{time} by a first guess"


def print_json(value: dict[str, Any], as_json: bool) -> None:
    """The result as the last line, if it is asked for."""
    if as_json:
        click.echo(json.dumps(value))


def print_table(rows: Sequence[Sequence[Any]]) -> None:
    """Rows of words in columns, their heading first."""
    from lab.reporting.tables import aligned

    click.echo(aligned([[visible(str(word)) for word in row] for row in rows]))


def print_rows(columns: list[str], rows: Sequence[dict[str, Any]]) -> None:
    """Columns of rows; temperatures, which are in units of the distance and so of any size, with four digits."""
    from lab.reporting.tables import number

    def word(column: str, value: Any) -> str:
        if column == "temperature":
            return f"{value:.4g}"
        return number(value) if isinstance(value, float) else str(value)

    print_table([columns, *([word(column, row[column]) for column in columns] for row in rows)])


def print_cell(folder: "CellFolder", as_json: bool, following: str = "") -> None:
    """Print what a cell took and left, and the command to go on with."""
    found = {"folder": str(folder.path), "seconds": folder.seconds, "rows": len(folder.rows())}
    say(f"Done: {folder.path} ({folder.seconds:.1f} s of work)")
    if following:
        say(f"Next: {following.format(shlex.quote(str(folder.path)))}")
    print_json(found, as_json)


def print_result(result: "Result", as_json: bool, *, again: bool = False) -> None:
    """Print what a study came to, `again` where its report was drawn alone; exits with 3 where cells failed."""
    for verdict in result.verdicts:
        effect = verdict.effect and f" {verdict.effect}"
        say(f"{verdict.verdict}: {verdict.claim.text}{effect} ({verdict.reason})")
    for name, reason in result.failed.items():
        say(f"failed: {name}: {reason}")
    if result.left:
        say(f"not done yet: {result.left} of {result.cells['total']} cells")
    say(f"Report: {result.report}")
    if result.failed or result.left:
        say("Next: the command of the study does the cells that are left")
    elif not again:
        say(f"Next: {shlex.join(['snnl', 'report', str(result.folder)])} draws it anew")
    print_json(result.plain(), as_json)
    if result.failed:
        raise SystemExit(3)
