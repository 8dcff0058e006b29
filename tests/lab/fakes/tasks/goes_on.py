"""The first time, work until asked to end, and save if the number is above 0; go on to the end from what was saved."""

import os

from lab.cells.layout import CHECKPOINTS
from lab.interrupts import deferred
from tasks._number import Config as Config
from tasks._number import wait_for


def run(folder):
    """Do it."""
    saved = folder.path / CHECKPOINTS / "step-1"
    with deferred() as ending:
        (folder.path / f"begun-{os.environ.get('RANK', '0')}").touch()
        wait_for(lambda: ending.number or saved.exists())
        if ending.number and folder.config["number"]:
            saved.mkdir(parents=True, exist_ok=True)
    folder.row(metric="saved", value=int(saved.exists()))
