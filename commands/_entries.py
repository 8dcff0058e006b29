"""Commands for the entries of the registry's folders."""

from collections.abc import Callable
from typing import Any

import click

from commands import Listed
from lab import registry


def entry_group(
    name: str, kind: str, make: Callable[[str], click.Command], having: str | None = None, **settings: Any
) -> Listed:
    """A group with a command for each entry of a kind, which is made when it is called."""
    return Listed(
        name=name,
        listed=lambda: {entry.name: entry.summary for entry in registry.entries(kind, having)},
        make=lambda entry: make(registry.check(kind, entry, having)),
        **settings,
    )


def help_of(kind: str, name: str) -> str:
    """The docstring of an entry as a command's help, with its indented lines left as they are."""
    doc = next(entry.doc for entry in registry.entries(kind) if entry.name == name)
    return doc.replace("\n\n    ", "\n\n\b\n    ")


def print_entries(kind: str) -> None:
    """Name and summary of every entry of a kind."""
    entries = registry.entries(kind)
    width = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        click.echo(f"{entry.name:<{width}}  {entry.summary}")
