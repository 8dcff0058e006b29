"""List the entries of a KIND: classifiers, gans, imagesets, metrics, studies or tasks."""

import click

from commands._entries import print_entries


@click.command("list", help=__doc__)
@click.argument("kind")
def command(kind: str) -> None:
    """Print them."""
    print_entries(kind)
