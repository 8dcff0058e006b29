"""List the entries of a kind: GANs, studies, tasks, ..."""

import click

from commands._entries import print_entries
from lab import registry


@click.command("list", help=f"{__doc__}\n\nKIND is one of {', '.join(registry.KINDS)}.")
@click.argument("kind")
def command(kind: str) -> None:
    """Print them."""
    print_entries(kind)
