"""Write twice the number plus the values of what is needed, and who did it."""

import os

from tasks._number import Config as Config


def run(folder):
    """Do it."""
    print("working on", folder.config["number"])
    total = 2 * folder.config["number"] + sum(row["value"] for need in folder.needs for row in need.rows())
    folder.row(metric="double", value=total)
    folder.row(metric="threads", value=int(os.environ["OMP_NUM_THREADS"]))
    folder.row(metric="worker", value=os.getpid())
