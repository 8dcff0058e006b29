"""Draw the report of a study's FOLDER anew."""

from pathlib import Path

import click

from commands import _options as options
from commands._printing import print_result
from lab.studying.study import draw_study


@click.command("report", help=__doc__)
@options.folder
@options.json
def command(folder: Path, as_json: bool) -> None:
    """Draw and print it."""
    print_result(draw_study(folder), as_json)
