"""Sleep for so many seconds."""

import time

from tasks._number import Config as Config


def run(folder):
    """Do it."""
    folder.event("progress", done=1, total=4, text="asleep")
    time.sleep(folder.config["number"])
