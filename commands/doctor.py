"""Check the installation, the hardware and the folders, and train two steps of a tiny GAN."""

import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click

from commands import _options as options
from commands._printing import print_json
from lab import machine, registry
from lab.checks import Warn, finding, machine_checks

TINY = {"width": 4, "latent": 8, "batch": 16}
STEPS = 2


@click.command("doctor", help=__doc__)
@options.runs
@options.data
@click.option("--processes", type=options.count(most=1024), default=1, help="Try a training on so many processes too.")
@options.json
def command(runs: Path, data: Path, processes: int, as_json: bool) -> None:
    """Print each finding as soon as its check is done; exits with 1 where something is broken."""
    found = []
    for one in findings(runs, data, processes):
        click.echo(f"{one['state']:<7}  {one['check']}: {one['text']}")
        found.append(one)
    sound = all(one["state"] != "broken" for one in found)
    print_json({"ok": sound, "checks": found}, as_json)
    if not sound:
        raise SystemExit(1)


def findings(runs: Path, data: Path, processes: int) -> Iterator[dict[str, str]]:
    """What each check finds; all of them take a few seconds, and one that fails does not stop the others."""
    checks = machine_checks(runs, data)
    checks |= {"imagesets": partial(check_imagesets, data), "training": partial(check_training, 1)}
    if processes > 1:
        checks["processes"] = partial(check_training, processes)
    for name, check in checks.items():
        yield finding(name, check)


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


def check_training(processes: int) -> str:
    """Two steps of a tiny GAN, in a folder that is gone afterwards; several processes must reach each other for it."""
    from lab.running.one import do_cell
    from tasks import train_gan

    start = time.monotonic()
    kimg = STEPS * TINY["batch"] / 1000
    how = {"processes": processes, "device": "cuda" if len(machine.gpus()) >= processes else "cpu"}
    config = train_gan.Config.parse({"gan": "dcgan", "settings": TINY, "kimg": kimg, **how})
    with tempfile.TemporaryDirectory(prefix="snnl-doctor-") as place:
        local = {"data": place, "download": False}
        folder = do_cell(train_gan.cell(config, Path(place)), Path(place), local)
        where, steps = folder.environment, max(row["step"] for row in folder.rows())
    who = "one process" if processes == 1 else f"{processes} processes"
    taken = time.monotonic() - start
    return f"{steps} steps of a tiny dcgan on {where['device']}, {who}, {where['precision']}: {taken:.1f} s"
