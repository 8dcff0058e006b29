"""The engine against matrix products and other implementations, as ratios of times taken in turn in one run.

G is the time of one `torch.mm(x, x.T)` in float32 into an allocated result, for the same points, and O that of the
fastest way to that product here (`snnl_core.products`), in one piece or in tiles. `dense` is the usual implementation
in log space with autograd: squared norms, one product, clamp, two logsumexp with masks. Each ratio is the median over
rounds in which all are timed one after the other. With `--before` the code in another folder is one of them.

    python benchmarks/snnl.py
    python benchmarks/snnl.py --only batch --json out.json
    git worktree add ../before fd51dc4 && python benchmarks/snnl.py --before ../before
"""

from contextlib import ExitStack, closing
from pathlib import Path

import _apart
import _rounds
import click
import torch
from _before import Code
from _losses import backward, check_keops, check_same, dense, keops, literal, mixture, nca_loss, product
from _peers import faiss_search, fastest_product, scikit_learn_nearest
from _rounds import row
from _works import made, points

from snnl_core import products
from snnl_core import soft_nearest_neighbor_loss as snnl
from snnl_core.pairs import all_pairs
from snnl_core.temperature import minimize

POINTS = 60000
"""Of the set whose memory is measured: as many as MNIST has."""
SPELL = 0.15
"""Seconds."""
CODES = {}
"""The code of `--before` and today's, in processes of their own, or none."""


def ratios(name, arguments, others, rounds):
    """Median time of a work of ours, and the median over rounds of its ratio to each of the others.

    Short work is repeated for a spell at a time, as what ran before leaves its traces in caches and memory.
    """
    works = {"ours": made(name, *arguments), **others}
    works |= {when: code.work(name, *arguments) for when, code in CODES.items()}
    for each in works.values():
        each()
    calls = {name: max(1, round(SPELL / _rounds.seconds(work))) for name, work in works.items()}
    times = list(_rounds.in_turn(works, rounds, calls))
    found = {other: _rounds.ratio(times, "ours", other)["median"] for other in others}
    if CODES:
        found["before"] = _rounds.ratio(times, "now", "before")["median"]
    return _rounds.median(times, "ours"), found


def lines(work, taken, found, at_most=None, at_least=None):
    """A line of each ratio: of products as they are, of other ways to do the same the other way round."""
    for name, ratio in found.items():
        if name in ("G", "O", "without", "fixed T", "the same classes") or name.startswith("of "):
            yield row(work, taken, name, ratio, at_most=(at_most or {}).get(name))
        else:
            yield row(work, taken, f"{name} / ours", 1 / ratio, at_least=(at_least or {}).get(name))


def products_of(x):
    """G's and O's works."""
    return {"G": product(x), "O": fastest_product(x)}


def bench_tiles(rounds):
    """Large sets at one temperature."""
    for n, d, most, least in (
        (8192, 512, {"G": 0.95}, {"dense": 9}),
        (8192, 64, {}, {"dense": 12}),
        (2048, 128, {}, {"dense": 10}),
    ):
        x, labels, temperature = points(n, d)
        if most:
            taken, found = ratios("loss", (n, d), products_of(x), 3 * rounds)
            yield from lines(f"loss, n = {n}, d = {d}", taken, found, {"G": 0.32})
        others = products_of(x) | {"dense": lambda x=x, y=labels, t=temperature: backward(dense, x, y, t)}
        taken, found = ratios("gradient", (n, d), others, rounds)
        yield from lines(f"loss + gradient, n = {n}, d = {d}", taken, found, most, least)
    taken, found = ratios("changing_gradient", (n, d), {"the same classes": made("gradient", n, d)}, 3 * rounds)
    yield from lines(f"the same, other classes each time, n = {n}, d = {d}", taken, found)


def bench_batch(rounds):
    """A training batch."""
    for d in (128, 6272, 12544):
        x, labels, temperature = points(256, d)
        others = {
            "dense": lambda x=x, y=labels, t=temperature: backward(dense, x, y, t),
            "literal": lambda x=x, y=labels, t=temperature: backward(literal, x, y, t),
        }
        nca = nca_loss(temperature)
        if nca is not None:
            others["NCALoss"] = lambda x=x, y=labels, nca=nca: backward(nca, x, y)
        taken, found = ratios("gradient", (256, d), others, 5 * rounds)
        at_least = {"dense": 1.5 if d == 128 else 4.5}
        yield from lines(f"loss + gradient, n = 256, d = {d}", taken, found, at_least=at_least)
        fixed = {"fixed T": made("gradient", 256, d)}
        taken, found = ratios("minimum_gradient", (256, d), fixed, 5 * rounds)
        yield from lines(f"the same, minimum over T, n = 256, d = {d}", taken, found)


def bench_minimum(rounds):
    """The minimum over the temperature of a large set, and its distance from that of a fine grid."""
    x, labels = mixture(8192, 512)
    everyone = torch.zeros(1, len(x), dtype=torch.int64)
    taken, found = ratios("minimum", (8192, 512), products_of(x), rounds)
    yield from lines("minimum over T, n = 8192, d = 512", taken, found, {"G": 2.2})
    least = minimize(all_pairs(x, labels), everyone, 1)
    betas = least.beta[0] * torch.logspace(-0.5, 0.5, 201, dtype=torch.float64)
    grid = min(float(snnl(x, labels, float(1 / beta))) for beta in betas)
    yield row("the same, above a fine grid's minimum", taken, "loss", float(least.loss[0]) - grid, at_most=1e-5)
    for n, d in ((8192, 512), (20000, 128)):
        x, labels = mixture(n, d)
        taken, found = ratios("measurement", (n, d), products_of(x), rounds)
        yield from lines(f"entanglement with classes and pairs, n = {n}, d = {d}", taken, found)


def bench_training(rounds):
    """A training step of the small CNN with the loss on all four hidden layers."""
    for precision, at_most in (("float32", 1.25), ("bf16", 1.5)):
        taken, found = ratios("step", ("snnl", precision), {"without": made("step", "none", precision)}, 9)
        yield from lines(
            f"CNN step with it on four layers, minimum over T, {precision}", taken, found, {"without": at_most}
        )
    taken, found = ratios("step", ("dense", "float32"), {"without": made("step", "none", "float32")}, 3 * rounds)
    yield row("CNN step with dense at one T on four layers", taken, "without", found["without"])


def bench_neighbors(rounds):
    """Exact nearest neighbours beside faiss's flat index, at the faster of its settings, and scikit-learn's."""
    arguments = (2000, 60000, 512, 75)
    others = {f"of faiss, {name}": work for name, work in faiss_search(*arguments).items()}
    taken, found = ratios("neighbors", arguments, others, rounds)
    name = max((name for name in found if name != "before"), key=found.get)
    bound = {name: 0.5}
    yield from lines("neighbours, 2,000 in 60,000 x 512, k = 75", taken, found, bound)
    other = {"of scikit-learn": scikit_learn_nearest(20000, 784)}
    taken, found = ratios("nearest", (20000, 784), other, max(1, rounds // 2))
    yield from lines("1-NN of 20,000 points, d = 784", taken, found, {"of scikit-learn": 0.5})


def bench_processes(rounds):
    """Two processes with a thread each against one with two, on the same points."""
    n = 20000
    times = [{world: _apart.seconds_of_processes(world, n) for world in (1, 2)} for _ in range(rounds)]
    taken, ratio = _rounds.median(times, 2), _rounds.ratio(times, 2, 1)["median"]
    yield row(f"entanglement, two processes, n = {n}, d = 512", taken, "one process", ratio, at_most=1.1)


def bench_memory(rounds):
    """MNIST's size: peak memory above the input, and the time."""
    device = torch.get_default_device().type
    found = _apart.memory_in_a_process(POINTS, device)
    bound = 2.5 * found["input"] + (200 if device == "cpu" else 1000)
    yield row(f"minimum over T, n = {POINTS}, d = 784", found["seconds"], "MB above input", found["peak"], bound)
    if CODES:
        before = _apart.memory_in_a_process(POINTS, device, CODES["before"].folder)
        yield row("the same before", before["seconds"], "MB above input", before["peak"])
        yield row("the same", found["seconds"], "of the time before", found["seconds"] / before["seconds"], at_most=0.5)


def bench_keops(rounds):
    """Large sets at one temperature in KeOps, once it has been seen to find the same for some of the points."""
    for d, times in ((64, rounds), (512, 1)):  # the latter takes minutes
        x, labels, temperature = points(8192, d)
        check_same(snnl, keops, x[:1024].detach(), labels[:1024], temperature)
        others = {"KeOps": lambda x=x, y=labels, t=temperature: backward(keops, x, y, t)}
        taken, found = ratios("gradient", (8192, d), others, times)
        yield from lines(f"loss + gradient, n = 8192, d = {d}", taken, found)


PARTS = {
    "batch": bench_batch,
    "tiles": bench_tiles,
    "minimum": bench_minimum,
    "training": bench_training,
    "neighbors": bench_neighbors,
    "processes": bench_processes,
    "memory": bench_memory,
}
ON_PROCESSORS = ("processes",)


@click.command(help=_rounds.help_of(__doc__))
@click.option("--only", type=click.Choice(list(PARTS)), multiple=True, help="Parts to run.  [default: all]")
@click.option(
    "--before", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Time the code there, too."
)
@_rounds.device_option
@click.option("--keops", "with_keops", is_flag=True, help="Add KeOps to it: needs `pip install pykeops` and g++.")
@_rounds.rounds_option(3, "Rounds of the slowest work; faster work gets more.")
@_rounds.json_option
@click.option("--points", default=POINTS, show_default=True, help="Points of `memory`.")
def main(only, before, device, with_keops, rounds, out, points):
    """Run the parts and print the table."""
    global POINTS
    POINTS = points
    if with_keops:
        check_keops()
    torch.set_default_device(device)
    torch.manual_seed(0)
    parts = [PARTS[name] for name in only or [name for name in PARTS if device == "cpu" or name not in ON_PROCESSORS]]
    parts += [bench_keops] if with_keops else []
    where = f"{torch.get_num_threads()} threads, products by {products.way()}"
    print(f"torch {torch.__version__}, {where if device == 'cpu' else torch.cuda.get_device_name()}", flush=True)
    with ExitStack() as ended:
        for when, folder in {"before": before, "now": _rounds.ROOT}.items() if before else ():
            CODES[when] = ended.enter_context(closing(Code(folder, device)))
        _rounds.table(out, (line for part in parts for line in part(rounds)))


if __name__ == "__main__":
    main()
