"""The second process fails while the first waits for it: it raises, is killed, or hangs up and raises later."""

import os
import signal

from tasks._number import Config as Config
from tasks._number import wait_for


def run(folder):
    """Do it."""
    from torch import distributed as dist

    dist.init_process_group("gloo")
    if os.environ["RANK"] == "1":
        if folder.config["number"] == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if folder.config["number"] == 2:
            dist.destroy_process_group()
            wait_for(lambda: folder.failure)
        raise ValueError("the second process always fails")
    dist.barrier()
