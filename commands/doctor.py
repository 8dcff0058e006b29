"""Check the installation, the hardware and the folders, and train two steps of a tiny GAN."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from commands import _options as options
from commands._printing import print_json, tell
from lab import machine, registry
from lab.cells import layout
from lab.checks import Broken, Warn, finding, machine_checks
from lab.errors import WorkbenchError
from lab.files import nearest
from lab.running.place import HERE, Place

TINY = {"width": 4, "latent": 8, "batch": 16}
STEPS = 2


@click.command("doctor", help=__doc__)
@options.runs
@options.data
@click.option("--processes", type=options.count(most=1024), default=1, help="Try a training on so many processes too.")
@options.executing("here")
@options.json
def command(runs: Path, data: Path, processes: int, as_json: bool, **values: Any) -> None:
    """Print each finding as soon as its check is done; exits with 1 where something is broken."""
    found = []
    for one in findings(runs, data, processes, options.place_of(values)):
        tell(f"{one['state']:<7}  {one['check']}: {one['text']}")
        found.append(one)
    sound = all(one["state"] != "broken" for one in found)
    print_json({"ok": sound, "checks": found}, as_json)
    if not sound:
        raise SystemExit(1)


def findings(runs: Path, data: Path, processes: int, place: Place = HERE) -> Iterator[dict[str, str]]:
    """What each check finds; all of them take a few seconds, and one that fails does not stop the others.

    The trainings are done at the place, in the folder of the runs if that is another machine's, too; of that machine's
    hardware they tell what they found.
    """
    checks = machine_checks(runs, data, works=not place.queues)
    train = partial(check_training, place=place, below=nearest(runs.absolute()) if place.queues else None)
    if not place.queues:
        checks["products"] = check_products
    checks |= {"imagesets": partial(check_imagesets, data), "training": partial(train, 1)}
    if processes > 1:
        checks["processes"] = partial(train, processes)
    for name, check in checks.items():
        yield finding(name, check)


def check_products() -> str:
    """Which library multiplies matrices for the engine, on processors."""
    from snnl_core import products

    named = os.environ.get(products.VARIABLE)
    try:
        way = products.way()
    except ValueError as error:
        raise Broken(f"{error} Set it to one of them, or unset it to have the faster one found.") from error
    return f"{way} on the processor, {f'as {products.VARIABLE} says' if named else 'which is measured at the start'}"


def check_imagesets(data: Path) -> str:
    """Which image sets are here. Nothing is downloaded."""
    import imagesets

    there, absent = [], []
    for entry in registry.entries("imagesets"):
        try:
            imagesets.load(entry.name, "test", root=data, download=False)
            there.append(entry.name)
        except Exception:  # absent, incomplete or damaged: each says so itself when it is asked for
            absent.append(entry.name)
    text = f"{', '.join(there) or 'none'} in {data}; not there: {', '.join(absent) or 'none'}"
    if not there:
        raise Warn(f"{text}: name the folder of the data with --data or SNNL_DATA.")
    return text


def check_training(processes: int, place: Place = HERE, below: Path | None = None) -> str:
    """Two steps of a tiny GAN, in a folder that is gone afterwards; several processes must reach each other for it."""
    from lab.running.one import do_cell
    from tasks import train_gan

    start = time.monotonic()
    kimg = STEPS * TINY["batch"] / 1000
    device = "auto" if place.queues else "cuda" if len(machine.gpus()) >= processes else "cpu"
    how = {"processes": processes, "device": device}
    config = train_gan.Config.parse({"gan": "dcgan", "settings": TINY, "kimg": kimg, **how})
    with tempfile.TemporaryDirectory(prefix="snnl-doctor-", dir=below) as home:
        cell = train_gan.cell(config, Path(home))
        with recalled(Path(home)), last_words(layout.cell(Path(home), cell.folder_name) / layout.LOG):
            folder = do_cell(cell, Path(home), {"data": home, "download": False}, place)
        where, steps = folder.environment, max(row["step"] for row in folder.rows())
    who = "one process" if processes == 1 else f"{processes} processes"
    taken = time.monotonic() - start
    return f"{steps} steps of a tiny dcgan on {where['device']}, {who}, {where['precision']}: {taken:.1f} s"


@contextmanager
def last_words(log: Path) -> Iterator[None]:
    """Tell the last line of a log that will be gone, where the block fails.

    Raises:
        Broken: it does.
    """
    try:
        yield
    except WorkbenchError as error:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
        said = next((line.strip() for line in reversed(lines) if line.strip()), "")
        raise Broken(f"{error} Its log ends: {said}" if said else str(error)) from error


@contextmanager
def recalled(runs: Path) -> Iterator[None]:
    """Whatever ends the block, no job is left behind that does a cell below a folder of runs."""
    from lab.running import slurm

    try:
        yield
    finally:
        slurm.cancel(job.number for job in slurm.live(layout.all_cells(runs)).values())
