"""Do the cell of a FOLDER, or find it done."""

from pathlib import Path

import click

from commands import _options as options
from commands._printing import print_cell
from lab.processes import rank
from lab.running import slurm
from lab.running.one import do_folder


@click.command("cell", help=__doc__)
@options.folder
@click.option("--quiet", is_flag=True, help="Do not show how far it is.")
@options.json
def command(folder: Path, quiet: bool, as_json: bool) -> None:
    """Do it; of several processes the first one prints."""
    with slurm.requeued(folder):
        done = do_folder(folder, shown=not quiet)
    if rank() == 0:
        print_cell(done, as_json)
