"""The engine against a matrix product and against other implementations, as ratios of times taken in turn in one run.

G is the time of one `torch.mm(x, x.T)` in float32 into an allocated result, for the same points. `dense` is the usual
implementation in log space with autograd: squared norms, one product, clamp, two logsumexp with masks. Each ratio is
the median over rounds in which both sides are timed one after the other.

    python benchmarks/snnl.py
    python benchmarks/snnl.py --only batch --json out.json
"""

import _apart
import _rounds
import click
import torch
from _losses import backward, check_keops, check_same, dense, keops, literal, mixture, nca_loss, product
from _rounds import row
from torch import nn
from torch.nn import functional as F

from snnl_core import SoftNearestNeighborLoss, entanglement
from snnl_core import soft_nearest_neighbor_loss as snnl
from snnl_core.pairs import all_pairs
from snnl_core.temperature import minimize


def ratios(work, others, rounds):
    """Median time of `work`, and the median over rounds of its ratio to each of the others.

    Short work is repeated for 0.15 s at a time, as what ran before leaves its traces in caches and memory.
    """
    works = {"ours": work, **others}
    for each in works.values():
        each()
    times = list(_rounds.in_turn(works, rounds, calls=max(1, round(0.15 / _rounds.seconds(work)))))
    return _rounds.median(times, "ours"), {name: _rounds.ratio(times, "ours", name)["median"] for name in others}


def bench_tiles(rounds):
    """Large sets at one temperature."""
    for n, d, bounds in (
        (8192, 512, {"loss": 0.75, "G": 2.5, "dense": 5}),
        (8192, 64, {"dense": 12}),
        (2048, 128, {"dense": 4}),
    ):
        x, labels, temperature = torch.randn(n, d).requires_grad_(), torch.randint(10, (n,)), 2.0 * d
        if "loss" in bounds:
            with torch.no_grad():
                taken, found = ratios(lambda: snnl(x, labels, temperature), {"G": product(x)}, 3 * rounds)
            yield row(f"loss, n = {n}, d = {d}", taken, "G", found["G"], at_most=bounds["loss"])
        others = {"G": product(x), "dense": lambda: backward(dense, x, labels, temperature)}
        taken, found = ratios(lambda: backward(snnl, x, labels, temperature), others, rounds)
        work = f"loss + gradient, n = {n}, d = {d}"
        if "G" in bounds:
            yield row(work, taken, "G", found["G"], at_most=bounds["G"])
        yield row(work, taken, "dense / ours", 1 / found["dense"], at_least=bounds["dense"])


def bench_batch(rounds):
    """A training batch."""
    for d in (128, 6272, 12544):
        x, labels, temperature = torch.randn(256, d).requires_grad_(), torch.randint(10, (256,)), 2.0 * d
        others = {
            "dense": lambda: backward(dense, x, labels, temperature),
            "literal": lambda: backward(literal, x, labels, temperature),
        }
        nca = nca_loss(temperature)
        if nca is not None:
            others["NCALoss"] = lambda: backward(nca, x, labels)
        taken, found = ratios(lambda: backward(snnl, x, labels, temperature), others, 5 * rounds)
        for name, ratio in found.items():
            at_least = 1.5 if name == "dense" else None
            yield row(f"loss + gradient, n = 256, d = {d}", taken, f"{name} / ours", 1 / ratio, at_least=at_least)
        points, classes = mixture(256, d)
        points.requires_grad_()
        minimum = SoftNearestNeighborLoss("minimize")
        fixed = {"fixed": lambda: backward(snnl, points, classes, temperature)}
        taken, found = ratios(lambda: backward(minimum, points, classes), fixed, 5 * rounds)
        yield row(f"the same, minimum over T, n = 256, d = {d}", taken, "fixed T", found["fixed"])


def bench_minimum(rounds):
    """The minimum over the temperature of a large set, and its distance from that of a fine grid."""
    x, labels = mixture(8192, 512)
    everyone = torch.zeros(1, len(x), dtype=torch.int64)
    taken, found = ratios(lambda: minimize(all_pairs(x, labels), everyone, 1), {"G": product(x)}, rounds)
    yield row("minimum over T, n = 8192, d = 512", taken, "G", found["G"], at_most=4.5)
    least = minimize(all_pairs(x, labels), everyone, 1)
    betas = least.beta[0] * torch.logspace(-0.5, 0.5, 201, dtype=torch.float64)
    grid = min(float(snnl(x, labels, float(1 / beta))) for beta in betas)
    yield row("the same, above a fine grid's minimum", taken, "loss", float(least.loss[0]) - grid, at_most=1e-5)
    taken, found = ratios(lambda: entanglement(x, labels), {"G": product(x)}, rounds)
    yield row("entanglement with classes and pairs, n = 8192, d = 512", taken, "G", found["G"])


class Network(nn.Module):
    """The pinned small CNN: four hidden layers and ten logits."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(1, 64, 5, 2, 2), nn.Conv2d(64, 128, 5, 2, 2)])
        self.hidden = nn.ModuleList([nn.Linear(6272, 256), nn.Linear(256, 128)])
        self.head = nn.Linear(128, 10)

    def forward(self, x):
        features = []
        for layer in (*self.convs, *self.hidden):
            x = layer(x.flatten(1) if isinstance(layer, nn.Linear) else x).relu()
            features.append(x)
        return self.head(x), features


def bench_training(rounds):
    """A training step of the small CNN with the loss on all four hidden layers."""
    model, minimum = Network(), SoftNearestNeighborLoss("minimize")
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    images, labels = torch.rand(256, 1, 28, 28), torch.randint(10, (256,))

    def step(penalty=None):
        logits, features = model(images)
        loss = F.cross_entropy(logits, labels)
        if penalty is not None:
            loss = loss - 0.1 * sum(penalty(layer) for layer in features)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for which, penalty, at_most in (
        ("minimum over T", lambda x: minimum(x, labels), 1.5),
        ("dense at one T", lambda x: dense(x.flatten(1), labels, 100.0), None),
    ):
        taken, found = ratios(lambda: step(penalty), {"without": step}, 5 * rounds)
        work = f"CNN step with it on four hidden layers, {which}"
        yield row(work, taken, "without", found["without"], at_most=at_most)


def bench_processes(rounds):
    """Two processes with a thread each against one with two, on the same points."""
    n = 20000
    times = [{world: _apart.seconds_of_processes(world, n) for world in (1, 2)} for _ in range(rounds)]
    taken, ratio = _rounds.median(times, 2), _rounds.ratio(times, 2, 1)["median"]
    yield row(f"entanglement, two processes, n = {n}, d = 512", taken, "one process", ratio, at_most=1.1)


def bench_memory(rounds):
    """MNIST's size: peak memory above the input, and the time."""
    found = _apart.memory_in_a_process()
    bound = 2.5 * found["input"] + 200
    yield row("minimum over T, n = 60000, d = 784", found["seconds"], "MB above input", found["peak"], at_most=bound)


def bench_keops(rounds):
    """Large sets at one temperature in KeOps, once it has been seen to find the same for some of the points."""
    for d, times in ((64, rounds), (512, 1)):  # the latter takes minutes
        x, labels = mixture(8192, d)
        x.requires_grad_()
        check_same(snnl, keops, x[:1024].detach(), labels[:1024], 2.0 * d)
        others = {"KeOps": lambda: backward(keops, x, labels, 2.0 * d)}
        taken, found = ratios(lambda: backward(snnl, x, labels, 2.0 * d), others, times)
        yield row(f"loss + gradient, n = 8192, d = {d}", taken, "KeOps / ours", 1 / found["KeOps"])


PARTS = {
    "batch": bench_batch,
    "tiles": bench_tiles,
    "minimum": bench_minimum,
    "training": bench_training,
    "processes": bench_processes,
    "memory": bench_memory,
}


@click.command(help=__doc__)
@click.option("--only", type=click.Choice(list(PARTS)), multiple=True, help="Parts to run.  [default: all]")
@click.option("--keops", "with_keops", is_flag=True, help="Add KeOps to it: needs `pip install pykeops` and g++.")
@_rounds.rounds_option(3, "Rounds of the slowest work; faster work gets more.")
@_rounds.json_option
def main(only, with_keops, rounds, out):
    """Run the parts and print the table."""
    torch.manual_seed(0)
    parts = [PARTS[name] for name in only or PARTS]
    if with_keops:
        check_keops()
        parts.append(bench_keops)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    _rounds.table(out, (line for part in parts for line in part(rounds)))


if __name__ == "__main__":
    main()
