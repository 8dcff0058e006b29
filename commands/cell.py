"""Do the cell of a FOLDER, or find it done."""

from pathlib import Path

import click

from commands import _options as options
from commands._printing import print_json, say
from lab.cells.folder import CellFolder
from lab.processes import rank
from lab.running.one import do_folder


@click.command("cell", help=__doc__)
@options.folder
@options.json
def command(folder: Path, as_json: bool) -> None:
    """Do it; of several processes the first one prints."""
    done = do_folder(folder)
    if rank() == 0:
        print_cell(done, as_json)


def print_cell(folder: CellFolder, as_json: bool, following: str = "") -> None:
    """Print what a cell took and left, and the command to go on with."""
    say(f"Done: {folder.path} ({folder.seconds:.1f} s of work)")
    if following:
        say(f"Next: {following.format(folder.path)}")
    print_json({"folder": str(folder.path), "seconds": folder.seconds, "rows": len(folder.rows())}, as_json)
