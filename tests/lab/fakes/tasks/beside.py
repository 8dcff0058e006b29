"""Every process tells that it is there, of which the first one's word is kept, and sleeps for so many seconds."""

import time

from tasks._number import Config as Config


def run(folder):
    """Do it."""
    folder.event("begun work")
    folder.row(metric="there", value=1)
    time.sleep(folder.config["number"])
