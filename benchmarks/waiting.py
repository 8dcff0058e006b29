"""How threads should wait for each other: spinning, sleeping, or spinning briefly; idle, and with one core taken.

Each way is a process of its own, for OpenMP reads its variables as it is loaded. One more process that never rests
takes a core. Each work is timed in turn by all ways; ratios are of one round, against torch's own way on free cores.
Commands take that way where cores are free, and `spin 100` where they are not (`lab/machine.py`).

    python benchmarks/waiting.py
    python benchmarks/waiting.py --rounds 1 --ways default,passive
"""

import json
import os
import subprocess
import sys
from contextlib import contextmanager, nullcontext

import _rounds
import click

WAYS = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "dynamic": {"OMP_DYNAMIC": "true"},
    "one thread less": {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 2) - 1))},
    **{f"spin {count}": {"GOMP_SPINCOUNT": str(count)} for count in (100, 1000, 10000, 100000)},
}
"""Variables of the environment, by the name of the way."""
VARIABLES = {name for way in WAYS.values() for name in way}
IDLE_AT_MOST, BUSY_AT_MOST = 1.03, 2.2


def works():
    """What is timed: long products with long waits, many short ones, and what a training waits for."""
    import torch
    from _losses import mixture
    from _training import classifier_training, gan_training, noise, stepping

    from lab import registry
    from snnl_core import soft_nearest_neighbor_loss
    from snnl_core.pairs import all_pairs
    from snnl_core.temperature import minimize

    torch.manual_seed(0)
    x, labels = mixture(8192, 512)
    batch = x[:256].clone().requires_grad_()
    everyone = torch.zeros(1, len(x), dtype=torch.int64)

    def steps():
        for _ in range(50):
            torch.autograd.grad(soft_nearest_neighbor_loss(batch, labels[:256]), batch)

    def trained(training):
        step = stepping(training)
        return lambda: [step() for _ in range(10)]

    spec, images = noise(1, 16)
    dcgan, cnn = (registry.load(kind, name).Config() for kind, name in (("gans", "dcgan"), ("classifiers", "cnn")))
    return {
        "minimum over T, n = 8192": lambda: minimize(all_pairs(x, labels), everyone, 1),
        "50 steps of the loss, n = 256": steps,
        "10 steps of dcgan": trained(gan_training("dcgan", dcgan, spec, images, "float32", "cpu")),
        "10 steps of cnn, loss": trained(classifier_training("cnn", cnn, spec, images, "float32", -10.0, "cpu")),
    }


def answer():
    """Be one way's process: for each line that comes, the seconds of every work."""
    timed = works()
    for _ in sys.stdin:
        print(json.dumps({name: _rounds.seconds(work) for name, work in timed.items()}), flush=True)


@contextmanager
def a_core_taken():
    """Meanwhile a process that never rests."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


@click.command(help=_rounds.help_of(__doc__))
@click.option("--ways", default=",".join(WAYS), show_default=True, help="Ways to wait, parted by commas.")
@_rounds.rounds_option(5)
@_rounds.json_option
def main(ways, rounds, out):
    """Time the works in turn and print the ratios."""
    plain = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    names, pipe = ways.split(","), subprocess.PIPE
    command = [sys.executable, __file__, "answer"]
    running = {
        way: subprocess.Popen(command, env={**plain, **WAYS[way]}, stdin=pipe, stdout=pipe, text=True) for way in names
    }

    def asked(way):
        running[way].stdin.write("\n")
        running[way].stdin.flush()
        return json.loads(running[way].stdout.readline())

    found = {}
    try:
        for way in names:  # each has warmed up
            asked(way)
        for state, around in (("idle", nullcontext), ("busy", a_core_taken)):
            with around():
                found[state] = [{way: asked(way) for way in names} for _ in range(rounds)]
    finally:
        for process in running.values():
            process.kill()
    _rounds.table(out, _lines(found, names))


def _lines(found, names):
    for work in found["idle"][0][names[0]]:
        for way in names:
            rounds = [
                {"plain": idle[names[0]][work], "idle": idle[way][work], "busy": busy[way][work]}
                for idle, busy in zip(found["idle"], found["busy"], strict=True)
            ]
            beside, lost = (_rounds.ratio(rounds, each, "plain")["median"] for each in ("idle", "busy"))
            unit = f"times {names[0]}, idle"
            yield _rounds.row(f"{work}: {way}", _rounds.median(rounds, "idle"), unit, beside, IDLE_AT_MOST)
            yield _rounds.row("    one core taken", _rounds.median(rounds, "busy"), unit, lost, BUSY_AT_MOST)


if __name__ == "__main__":
    answer() if sys.argv[1:] == ["answer"] else main()
