"""What commands print: results on stdout, what they are about on stderr."""

import json
from collections.abc import Sequence
from typing import Any

import click


def say(text: str) -> None:
    """A line on stderr."""
    click.echo(text, err=True)


def print_json(value: dict[str, Any], as_json: bool) -> None:
    """The result as the last line, if it is asked for."""
    if as_json:
        click.echo(json.dumps(value))


def print_table(rows: Sequence[Sequence[Any]]) -> None:
    """Rows of words in columns, their heading first."""
    from lab.reporting.tables import aligned

    click.echo(aligned([[str(word) for word in row] for row in rows]))


def print_rows(columns: list[str], rows: Sequence[dict[str, Any]]) -> None:
    """Columns of rows; temperatures, which are in units of the distance and so of any size, with four digits."""
    from lab.reporting.tables import number

    def word(column: str, value: Any) -> str:
        if column == "temperature":
            return f"{value:.4g}"
        return number(value) if isinstance(value, float) else str(value)

    print_table([columns, *([word(column, row[column]) for column in columns] for row in rows)])
