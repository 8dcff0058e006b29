"""A static site of finished studies."""

import shlex
from pathlib import Path

import click

from commands import _options as options
from commands import _paths as paths
from commands._printing import print_json
from lab.cells import layout
from lab.errors import WorkbenchError, say
from lab.studying.site import finished, write_site
from studies.paper.findings import FINDINGS


@click.command("site")
@click.argument("target", metavar="DIR", type=paths.A_SITE)
@options.runs
@click.option("--published/--no-published", default=True, help="Show the studies that ship in results/, too.")
@options.json
def command(target: Path, runs: Path, published: bool, as_json: bool) -> None:
    """Write a site of all finished studies to DIR: verdicts, filters, reports; it opens offline, without a server."""
    places = [runs]
    if published:
        try:
            places.append(layout.shipped())
        except WorkbenchError as error:  # the runs are shown all the same
            say(f"Warning: {error}")
    folders = finished(places)
    if not folders:
        asked = shlex.join(["snnl", "study", "gan-entanglement", "--runs", str(runs)])
        raise WorkbenchError(f"There is no finished study in {runs}: {asked} makes one.")
    say(f"{len(folders)} studies; their reports are drawn anew.")
    page = write_site(folders, FINDINGS, target)
    say(f"Open {page}")
    print_json({"page": str(page), "studies": len(folders)}, as_json)
