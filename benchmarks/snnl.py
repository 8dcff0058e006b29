"""The engine against a matrix product and against other implementations, as ratios of times taken in turn in one run.

G is the time of one `torch.mm(x, x.T)` in float32 into an allocated result, for the same points. `dense` is the usual
implementation in log space with autograd: squared norms, one product, clamp, two logsumexp with masks. Each ratio is
the median over rounds in which both sides are timed one after the other.

    python benchmarks/snnl.py
    python benchmarks/snnl.py --only batch --json out.json
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def dense(x, labels, temperature):
    """The loss with an n x n matrix and autograd, in log space: the baseline."""
    import torch

    squares = x.square().sum(1)
    distances = (squares[:, None] + squares - 2 * (x @ x.T)).clamp_min(0)
    logits = -distances / temperature
    itself = torch.eye(len(x), dtype=torch.bool)
    same = labels[:, None] == labels
    everyone = logits.masked_fill(itself, -torch.inf).logsumexp(1)
    own = logits.masked_fill(~same | itself, -torch.inf).logsumexp(1)
    return (everyone - own).mean()


def literal(x, labels, temperature):
    """The probability form with 1e-5 added, as early implementations have it: it saturates at 11.5."""
    import torch

    kernel = torch.exp(-torch.cdist(x, x).square() / temperature) - torch.eye(len(x))
    picked = kernel / (1e-5 + kernel.sum(1, keepdim=True)) * (labels[:, None] == labels)
    return -torch.log(1e-5 + picked.sum(1)).mean()


def seconds(work, calls=1):
    """The time of one call, of so many."""
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls


def ratios(work, others, rounds):
    """Median time of `work`, and the median over rounds of its ratio to each of the others.

    Short work is repeated for 0.15 s at a time, as what ran before leaves its traces in caches and memory.
    """
    for each in (work, *others.values()):
        each()
    calls = max(1, round(0.15 / seconds(work)))
    times = [
        (seconds(work, calls), {name: seconds(other, calls) for name, other in others.items()}) for _ in range(rounds)
    ]
    found = {name: statistics.median(own / taken[name] for own, taken in times) for name in others}
    return statistics.median(own for own, _ in times), found


def backward(loss, x, *arguments):
    """A loss and its gradient."""
    x.grad = None
    loss(x, *arguments).backward()


def product(x):
    """G's work."""
    import torch

    out = torch.empty(len(x), len(x))
    points = x.detach()
    return lambda: torch.mm(points, points.T, out=out)


def bench_tiles(rounds):
    """Large sets at one temperature."""
    import torch

    from snnl_core import soft_nearest_neighbor_loss as snnl

    for n, d, bounds in (
        (8192, 512, {"loss": 0.75, "G": 2.5, "dense": 5}),
        (8192, 64, {"dense": 12}),
        (2048, 128, {"dense": 4}),
    ):
        x, labels = torch.randn(n, d).requires_grad_(), torch.randint(10, (n,))
        temperature = 2.0 * d
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
    import torch

    from snnl_core import SoftNearestNeighborLoss
    from snnl_core import soft_nearest_neighbor_loss as snnl

    for d in (128, 6272, 12544):
        x, labels = torch.randn(256, d).requires_grad_(), torch.randint(10, (256,))
        temperature = 2.0 * d
        others = {
            "dense": lambda: backward(dense, x, labels, temperature),
            "literal": lambda: backward(literal, x, labels, temperature),
        }
        nca = nca_loss(temperature)
        if nca is not None:
            others["NCALoss"] = lambda: backward(nca, x, labels)
        taken, found = ratios(lambda: backward(snnl, x, labels, temperature), others, 5 * rounds)
        work = f"loss + gradient, n = 256, d = {d}"
        yield row(work, taken, "dense / ours", 1 / found.pop("dense"), at_least=1.5)
        for name, ratio in found.items():
            yield row(work, taken, f"{name} / ours", 1 / ratio)
        points, classes = mixture(256, d)
        points.requires_grad_()
        minimum = SoftNearestNeighborLoss("minimize")
        fixed = {"fixed": lambda: backward(snnl, points, classes, temperature)}
        taken, found = ratios(lambda: backward(minimum, points, classes), fixed, 5 * rounds)
        yield row(f"the same, minimum over T, n = 256, d = {d}", taken, "fixed T", found["fixed"])


def nca_loss(temperature):
    """pytorch-metric-learning's NCALoss at a temperature, or None where it is not installed."""
    try:
        from pytorch_metric_learning.distances import LpDistance
        from pytorch_metric_learning.losses import NCALoss
    except ImportError:
        return None
    distance = LpDistance(normalize_embeddings=False, p=2, power=2)
    return NCALoss(softmax_scale=1 / temperature, distance=distance)


def mixture(n, d):
    """Ten overlapping Gaussians whose best temperature is finite, and their labels."""
    import torch

    labels = torch.randint(10, (n,))
    return torch.randn(n, d) + 1.2 * torch.randn(10, d)[labels] / d**0.25, labels


def keops(x, labels, temperature):
    """The loss in KeOps, which holds no n x n matrix either: two logsumexp reductions, with autograd."""
    import torch
    from pykeops.torch import LazyTensor

    def pairs(values):
        return LazyTensor(values[:, None]), LazyTensor(values[None])

    def equal(values):
        one, other = pairs(values.to(x.dtype)[:, None])
        return (0.5 - (one - other).square()).step()

    one, other = pairs(x)
    logits = one.sqdist(other) / -temperature
    itself, far = equal(torch.arange(len(x))), 1e6  # added where a pair does not count: exp gives 0
    everyone = (logits - far * itself).logsumexp(1)
    own = (logits - far * (1 - equal(labels) + itself)).logsumexp(1)
    return (everyone - own).mean()


def bench_keops(rounds):
    """Large sets at one temperature in KeOps, once it has been seen to find the same for some of the points."""
    from snnl_core import soft_nearest_neighbor_loss as snnl

    for d, times in ((64, rounds), (512, 1)):  # the latter takes minutes
        x, labels = mixture(8192, d)
        x.requires_grad_()
        check_same(snnl, keops, x[:1024].detach(), labels[:1024], 2.0 * d)
        others = {"KeOps": lambda: backward(keops, x, labels, 2.0 * d)}
        taken, found = ratios(lambda: backward(snnl, x, labels, 2.0 * d), others, times)
        yield row(f"loss + gradient, n = 8192, d = {d}", taken, "KeOps / ours", 1 / found["KeOps"])


def check_same(ours, theirs, x, labels, temperature):
    """Stop unless two losses have the same value and gradient."""
    import torch

    found = []
    for loss in (theirs, ours):
        points = x.clone().requires_grad_()
        value = loss(points, labels, temperature)
        value.backward()
        found.append((value.detach(), points.grad))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=0)
    largest = found[1][1].abs().max()
    torch.testing.assert_close(found[0][1] / largest, found[1][1] / largest, rtol=0, atol=1e-4)


def check_keops():
    """Stop with one line, before anything is timed, where KeOps is missing."""
    try:
        import pykeops.torch  # noqa: F401
    except ImportError as error:
        raise click.ClickException(f"--keops needs KeOps and a C++ compiler: pip install pykeops ({error})") from None


def bench_minimum(rounds):
    """The minimum over the temperature of a large set, and its distance from that of a fine grid."""
    import torch

    from snnl_core import entanglement
    from snnl_core import soft_nearest_neighbor_loss as snnl
    from snnl_core.pairs import all_pairs
    from snnl_core.temperature import minimize

    x, labels = mixture(8192, 512)
    everyone = torch.zeros(1, len(x), dtype=torch.int64)
    taken, found = ratios(lambda: minimize(all_pairs(x, labels), everyone, 1), {"G": product(x)}, rounds)
    yield row("minimum over T, n = 8192, d = 512", taken, "G", found["G"], at_most=4.5)
    least = minimize(all_pairs(x, labels), everyone, 1)
    betas = least.beta[0] * torch.logspace(-0.5, 0.5, 201, dtype=torch.float64)
    grid = min(float(snnl(x, labels, float(1 / beta))) for beta in betas)
    yield row("the same, above a fine grid's minimum", taken, "loss", least.loss[0] - grid, at_most=1e-5)
    taken, found = ratios(lambda: entanglement(x, labels), {"G": product(x)}, rounds)
    yield row("entanglement with classes and pairs, n = 8192, d = 512", taken, "G", found["G"])


def network():
    """The pinned small CNN: four hidden layers and ten logits."""
    from torch import nn

    class Network(nn.Module):
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

    return Network()


def bench_training(rounds):
    """A training step of the small CNN with the loss on all four hidden layers."""
    import torch
    from torch.nn import functional as F

    from snnl_core import SoftNearestNeighborLoss

    model, minimum = network(), SoftNearestNeighborLoss("minimize")
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

    plain = {"without": step}
    work = "CNN step with it on four hidden layers"
    taken, found = ratios(lambda: step(lambda x: minimum(x, labels)), plain, 5 * rounds)
    yield row(f"{work}, minimum over T", taken, "without", found["without"], at_most=1.5)
    taken, found = ratios(lambda: step(lambda x: dense(x.flatten(1), labels, 100.0)), plain, 5 * rounds)
    yield row(f"{work}, dense at one T", taken, "without", found["without"])


def bench_memory(rounds):
    """MNIST's size in a process of its own: peak memory above the input, and the time."""
    command = [sys.executable, __file__, "--measure-memory"]
    figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    bound = 2.5 * figures["input"] + 200
    yield row(
        "minimum over T, n = 60000, d = 784", figures["seconds"], "MB above input", figures["peak"], at_most=bound
    )


def measure_memory():
    """Print the input's size and the peak above it in MB, and the seconds."""
    import torch

    from snnl_core.pairs import all_pairs
    from snnl_core.temperature import minimize

    x, labels = mixture(60000, 784)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = memory("VmRSS")
    taken = seconds(lambda: minimize(all_pairs(x, labels), torch.zeros(1, len(x), dtype=torch.int64), 1))
    print(json.dumps({"input": x.numel() * 4 / 2**20, "peak": memory("VmHWM") - before, "seconds": taken}))


def memory(name):
    """A figure of this process's memory in MB; Linux alone tells it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 2**10


def bench_processes(rounds):
    """Two processes with a thread each against one with two, on the same points."""
    for name, n in (("n = 20000, d = 512", 20000),):
        alone = statistics.median(run_processes(1, n) for _ in range(rounds))
        together = statistics.median(run_processes(2, n) for _ in range(rounds))
        yield row(f"entanglement, two processes, {name}", together, "one process", together / alone, at_most=1.1)


def run_processes(world, n):
    """The seconds that processes take to measure n points, each having its share and two threads between them."""
    threads = str(max(1, 2 // world))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--measure-share", str(n), str(world), f"{folder}/store"]
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        work = [
            subprocess.Popen([*command, str(rank)], env=environment, stdout=subprocess.PIPE) for rank in range(world)
        ]
        try:
            said = [each.communicate(timeout=600)[0] for each in work]
        finally:
            for each in work:
                each.kill()
        if any(each.returncode for each in work):
            raise SystemExit(f"a process of {world} failed: {[each.returncode for each in work]}")
        return max(map(float, said))


def measure_share(n, world, store, rank):
    """Print the seconds that this process takes for its share."""
    import torch

    from snnl_core import entanglement

    n, world, rank = int(n), int(world), int(rank)
    x, labels = mixture(n, 512)
    rows = slice(n * rank // world, n * (rank + 1) // world)
    if world > 1:
        torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
        torch.distributed.barrier()
    print(seconds(lambda: entanglement(x[rows], labels[rows], sharded=world > 1)), flush=True)
    os._exit(0)


def row(work, taken, unit, value, at_most=None, at_least=None):
    """One line of the table."""
    met = None if at_most is at_least is None else bool(value <= at_most if at_most is not None else value >= at_least)
    return {
        "work": work,
        "seconds": taken,
        "unit": unit,
        "value": value,
        "at_most": at_most,
        "at_least": at_least,
        "met": met,
    }


def text(line):
    """A line as people read it."""
    bound = next((f"{sign} {line[key]:g}" for key, sign in (("at_most", "<="), ("at_least", ">=")) if line[key]), "")
    verdict = {True: "met", False: "MISSED", None: ""}[line["met"]]
    return (
        f"{line['work']:<58} {line['seconds']:>10.5f} s {line['value']:>10.3g} {line['unit']:<16} {bound:<9} {verdict}"
    )


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
@click.option("--rounds", default=3, show_default=True, help="Rounds of the slowest work; faster work gets more.")
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
@click.option("--measure-memory", is_flag=True, hidden=True)
@click.option("--measure-share", nargs=4, hidden=True)
def main(only, with_keops, rounds, out, **inside):
    """Run the parts and print the table."""
    import torch

    torch.manual_seed(0)
    if inside["measure_memory"]:
        return measure_memory()
    if inside["measure_share"]:
        return measure_share(*inside["measure_share"])
    parts = [PARTS[name] for name in only or PARTS]
    if with_keops:
        check_keops()
        parts.append(bench_keops)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    lines = []
    for part in parts:
        for line in part(rounds):
            lines.append(line)
            print(text(line), flush=True)
    if out:
        out.write_text(json.dumps(lines, indent=1))


if __name__ == "__main__":
    main()
