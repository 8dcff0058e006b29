"""Every process adds its number to a sum, the first writes it, and all sleep for so many seconds."""

import os
import time

from tasks._number import Config as Config


def run(folder):
    """Do it."""
    import torch
    from torch import distributed as dist

    dist.init_process_group("gloo")
    total = torch.tensor([dist.get_rank() + 1])
    dist.all_reduce(total)
    folder.event("summed")
    folder.row(metric="sum", value=total.item())
    folder.row(metric="threads", value=int(os.environ["OMP_NUM_THREADS"]))
    time.sleep(folder.config["number"])
    dist.destroy_process_group()
