"""End the process at work."""

import os
import signal

from tasks._number import Config as Config


def run(folder):
    """Do it."""
    os.kill(os.getpid(), signal.SIGKILL)
