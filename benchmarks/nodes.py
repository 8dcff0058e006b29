"""Images per second of a training by one process on each of two nodes of Slurm, against two processes without Slurm.

Slurm is one of virtual nodes on this machine (tests/virtual_slurm.py), so that both have the same processors. They are
timed in turn, several rounds, by what the trainings tell of themselves; the ratio is taken within each round. What they
train must be the same bit for bit.

    python benchmarks/nodes.py
    python benchmarks/nodes.py --gan wgan-gp --rounds 3 --json out.json
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import _rounds
import click

sys.path[:0] = [str(_rounds.ROOT / "tests"), str(_rounds.ROOT / "tests" / "faults")]

AT_LEAST = 0.85
SLURM = ["--executor", "slurm", *(f"--slurm={option}" for option in ("nodes=2", "ntasks-per-node=1"))]
UNBOUND = {"SLURM_CPU_BIND": "none"}
"""Both virtual nodes give their processes the machine's first processor, else."""
SIDES = {"without Slurm": [], "on two nodes": SLURM}


def trained(command, runs):
    """The folder of the training that a command does."""
    variables = {**os.environ, **UNBOUND, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": ""}
    words = [sys.executable, str(_rounds.ROOT / "cli.py"), *command, "--runs", str(runs)]
    done = subprocess.run(words, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    (folder,) = (runs / "cells").iterdir()
    return folder


def pace(folder):
    """The images per second that a training told once a second, by the median; the first second warms up."""
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    paces = [event["images_per_second"] for event in events if "images_per_second" in event]
    if len(paces) < 4:
        raise SystemExit(f"{folder.name} was over in {len(paces)} seconds: give it more by --kimg.")
    return statistics.median(paces[1:])


def lines(command, rounds, home):
    """A line for each side, and that of the ratio."""
    from results import cell_results

    paces, found = [], set()
    for number in range(rounds):
        folders = {name: trained([*command, *more], home / f"{name} {number}") for name, more in SIDES.items()}
        paces.append({name: pace(folder) for name, folder in folders.items()})
        found |= {json.dumps(cell_results(folder), sort_keys=True) for folder in folders.values()}
    if len(found) > 1:
        raise SystemExit("The trainings differ.")
    for name in SIDES:
        yield _rounds.row(f"two processes {name}", 0, "images/s", _rounds.median(paces, name))
    ratio = _rounds.ratio(paces, "on two nodes", "without Slurm")
    work = f"on two nodes, the same bits, {_rounds.shown(ratio)}"
    yield _rounds.row(work, 0, "of the pace without", ratio["median"], at_least=AT_LEAST)


@click.command(help=_rounds.help_of(__doc__))
@click.option("--gan", default="dcgan", show_default=True, help="GAN of the zoo.")
@click.option("--kimg", default=60.0, show_default=True, help="Thousands of images that each training is shown.")
@click.option("--width", default=32, show_default=True, help="Channels at the widest resolution.")
@_rounds.rounds_option(5)
@_rounds.json_option
def main(gan, kimg, width, rounds, out):
    """Train both ways in turn and print the ratio."""
    from virtual_slurm import MISSING, virtual_slurm

    if MISSING:
        sys.exit(f"There is no Slurm here: {', '.join(MISSING)} missing.")
    command = ["gan", "train", gan, "--kimg", str(kimg), "--width", str(width), "--precision", "float32"]
    with tempfile.TemporaryDirectory() as home, virtual_slurm():
        _rounds.table(out, lines([*command, "--processes", "2"], rounds, Path(home)))


if __name__ == "__main__":
    main()
