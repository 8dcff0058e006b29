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


def parabola(cell):
    """Highest, at 1, where x is minus its config's peak and the kind is good; fails where the config says why."""
    import math

    from lab.errors import WorkbenchError

    config = cell.config
    if config.get("why"):
        raise WorkbenchError(config["why"])
    value = 1 - math.log10(-config["x"] / config["peak"]) ** 2 - 0.3 * (config["kind"] == "bad")
    cell.row(metric="accuracy", value=value)


def fail(cell):
    raise ValueError("this cell always fails")


def die(cell):
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(cell):
    cell.event("progress", done=1, total=4, text="asleep")
    time.sleep(cell.config["number"])


def together(cell):
    """Every process adds its number to a sum, the first writes it."""
    import torch
    from torch import distributed as dist

    dist.init_process_group("gloo")
    total = torch.tensor([dist.get_rank() + 1])
    dist.all_reduce(total)
    cell.row(metric="sum", value=total.item())
    cell.row(metric="threads", value=int(os.environ["OMP_NUM_THREADS"]))
    time.sleep(cell.config["number"])
    dist.destroy_process_group()


def one_fails(cell):
    """The second process fails while the first waits for it: it raises, is killed, or hangs up and raises later."""
    from torch import distributed as dist

    dist.init_process_group("gloo")
    if os.environ["RANK"] == "1":
        if cell.config["number"] == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if cell.config["number"] == 2:
            dist.destroy_process_group()
            while not cell.failure:
                time.sleep(0.01)
        raise ValueError("the second process always fails")
    dist.barrier()
