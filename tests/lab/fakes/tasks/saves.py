"""Work until asked to end, then save, which takes so many seconds."""

import os
import time

from lab.interrupts import deferred
from tasks._number import Config as Config
from tasks._number import wait_for


def run(folder):
    """Do it."""
    rank = os.environ.get("RANK", "0")
    with deferred() as ending:
        (folder.path / f"begun-{rank}").write_text(str(os.getpid()))
        wait_for(lambda: ending.number)
        time.sleep(folder.config["number"])
        (folder.path / f"saved-{rank}").touch()
        folder.event("stopped", text="half of it")
