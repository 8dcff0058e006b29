"""Run functions for the tests of executors, imported by workers."""

import os
import signal
import time


def double(cell):
    """Writes twice the number of its config plus the values of what it needs."""
    print("working on", cell.config["number"])
    total = 2 * cell.config["number"] + sum(row["value"] for need in cell.needs for row in need.rows())
    cell.row(metric="double", value=total)
    cell.row(metric="threads", value=int(os.environ["OMP_NUM_THREADS"]))
    cell.row(metric="worker", value=os.getpid())


def fail(cell):
    raise ValueError("this cell always fails")


def die(cell):
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(cell):
    cell.event("progress", done=1, total=4, text="asleep")
    time.sleep(cell.config["number"])
