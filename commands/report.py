"""Draw the report of a study's FOLDER anew."""

from pathlib import Path

import click

from commands import _options as options
from commands._printing import print_json, say
from lab.studying.study import Result, draw_study


@click.command("report", help=__doc__)
@options.folder
@options.json
def command(folder: Path, as_json: bool) -> None:
    """Draw and print it."""
    print_result(draw_study(folder), as_json)


def print_result(result: Result, as_json: bool) -> None:
    """Print what a study came to; exits with 3 where cells failed."""
    for verdict in result.verdicts:
        say(f"{verdict.verdict}: {verdict.claim.text} {verdict.effect} ({verdict.reason})")
    for name, reason in result.failed.items():
        say(f"failed: {name}: {reason}")
    say(f"Report: {result.report}")
    again = f"snnl report {result.folder} draws it anew"
    say(f"Next: {'the same command does the cells that are left' if result.failed else again}")
    print_json(result.plain(), as_json)
    if result.failed:
        raise SystemExit(3)
