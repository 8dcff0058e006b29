"""The loss in your own training loop: several processes, bf16, and gradients that are summed over micro-batches.

    torchrun --nproc-per-node 2 examples/own_loop.py

The loss compares the points of one call with each other. With `gather=True` those are the points of all processes,
and the gradients that DistributedDataParallel averages are those of one process with the whole batch. Each micro-batch
is a sample of its own, though: four of 64 are not one of 256, whose points would all be compared with each other. Take
micro-batches that hold several points of each class.
"""

import os

import torch
from sklearn.datasets import load_digits
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from snnl_core import EntanglementMonitor, SoftNearestNeighborLoss

ALPHA, STEPS, MICRO_BATCHES, SIZE = -0.01, 40, 2, 64
"""The loss's factor, which is negative to entangle the classes; and images in each micro-batch of each process."""


class Network(nn.Module):
    """Images (n, 64) -> logits (n, 10) and the hidden layer (n, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(64, 128), nn.ReLU()), nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.body(x)
        return self.head(hidden), hidden


def train() -> float:
    """Train, and give the last cross-entropy of this process."""
    rank, world = distributed.get_rank(), distributed.get_world_size()
    digits = load_digits()
    x, labels = torch.tensor(digits.data / 16).float(), torch.tensor(digits.target)
    torch.manual_seed(0)
    network = DistributedDataParallel(Network())
    snnl, monitor = SoftNearestNeighborLoss(gather=True), EntanglementMonitor(size=500)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(STEPS):
        optimizer.zero_grad()
        for micro in range(MICRO_BATCHES):
            mine = torch.randperm(len(x))[: world * SIZE].split(SIZE)[rank]  # the same permutation in all processes
            network.require_backward_grad_sync = micro == MICRO_BATCHES - 1  # gradients are averaged with the last one
            with torch.autocast("cpu", torch.bfloat16):
                logits, hidden = network(x[mine])
            entropy = nn.functional.cross_entropy(logits.float(), labels[mine])
            objective = entropy + ALPHA * snnl(hidden, labels[mine])  # in float32, whatever the points are in
            (objective / MICRO_BATCHES).backward()
            monitor.update({"hidden": hidden, "logits": logits}, labels[mine])
        optimizer.step()
    if rank == 0:
        print(*(f"{layer} {found.score:.3f}" for layer, found in monitor.compute().items()))
    return entropy.item()


if __name__ == "__main__":
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}.items():
        os.environ.setdefault(name, value)
    distributed.init_process_group("gloo")
    print(f"process {distributed.get_rank()}: cross-entropy {train():.3f}")
    distributed.destroy_process_group()
