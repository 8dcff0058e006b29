"""What the studies' largest preset costs, from the pace of its trainings here, and how long its longest cell takes.

Of every training that differs in more than its seed some steps are timed, on noise of the shape of its images, with one
thread; hours = steps x seconds a step x trainings / 3600. On a processor those are the processor's own seconds, so that
others at work on the machine count little. Other cells are guessed by their tasks, times what published cells of the
task took by what those were guessed to take. Where there is a GPU, trainings are timed there, and their hours are its.

    python benchmarks/presets.py
    python benchmarks/presets.py --study layers --steps 20 --json out.json
"""

import tempfile
import time
from collections import defaultdict
from pathlib import Path
from unittest import mock

import _rounds
import click

TRAININGS = {"train-gan": "gans", "train-classifier": "classifiers"}
NOWHERE = Path("data")


def studies():
    """Those that have cells in their preset."""
    from lab import registry

    return [entry.name for entry in registry.entries("studies") if planned(entry.name, "paper")]


def planned(name, preset):
    """The cells of a study, needs first."""
    from lab import registry
    from lab.cells.cell import with_needs
    from lab.studying.plan import study_config

    return with_needs(registry.load("studies", name).plan(study_config(name, preset, {}), NOWHERE))


def took_by_guess():
    """By task, how many times as long its published cells took as they were guessed to."""
    from lab import registry
    from lab.cells import layout
    from lab.cells.cell import with_needs
    from lab.cells.folder import CellFolder
    from lab.cells.record import read_study
    from lab.errors import WorkbenchError

    took, guessed, seen = defaultdict(float), defaultdict(float), set()
    for folder in layout.studies(layout.PUBLISHED):
        record = read_study(folder)
        module = registry.load("studies", record.study)
        try:
            cells = with_needs(module.plan(module.Config.parse(record.settings), NOWHERE))
        except WorkbenchError:  # of somebody's own images, which are not here
            continue
        for cell in cells:
            path = layout.cell(layout.PUBLISHED, cell.folder_name)
            if layout.is_done(path) and cell.key not in seen:
                seen.add(cell.key)
                took[cell.task] += CellFolder(path).seconds
                guessed[cell.task] += cell.cost
    return {task: took[task] / guessed[task] for task in took}


def training_of(cell, home):
    """The training of a cell at its start, on noise."""
    from importlib import import_module

    import torch

    import imagesets
    from imagesets import ImageSet
    from lab.cells.folder import CellFolder

    spec = cell.config.spec_of_images
    n = spec.n["train"]
    pixels = torch.randint(0, 256, (n, spec.channels, spec.size, spec.size), dtype=torch.uint8)
    noise = ImageSet(pixels, torch.arange(n) % len(spec.classes))
    folder = CellFolder.create(cell, home, {"data": str(NOWHERE), "download": False})
    with mock.patch.object(imagesets, "load", lambda *_, **__: noise):
        return import_module(f"{TRAININGS[cell.task]}._loop").begin(cell.config, folder)


def seconds_a_step(training, steps):
    """What a step takes: of the processor where it computes, else of the clock."""
    clock = time.process_time if training.arithmetic[0] == "cpu" else time.perf_counter

    def run(count):
        for _ in range(count):
            training.take_step()
        float(next(iter(training.losses[-1].values())))  # waits for a GPU
        training.losses.clear()

    run(2)
    start = clock()
    run(steps)
    return (clock() - start) / steps


def described(cell):
    """A training but for its seed."""
    return cell.label.rpartition("-s")[0], str(cell.config.replaced(seed=0).changed())


def figures(names, steps, home):
    """For each study, what its trainings and its other cells take, in hours, and how its trainings were timed."""
    ratios, known = took_by_guess(), {}
    for name in names:
        cells = planned(name, "paper")
        hours, longest, devices, images = {"trainings": 0.0, "others": 0.0}, 0.0, set(), 0
        for cell in cells:
            if cell.task in TRAININGS:
                if (key := described(cell)) not in known:
                    training = training_of(cell, home)
                    taken = training.last * seconds_a_step(training, steps)
                    known[key] = taken, training.arithmetic, training.last * training.images_per_step
                taken, arithmetic, shown = known[key]
                images += shown
                devices.add(" ".join(arithmetic))
                hours["trainings"] += taken / 3600
            else:
                taken = cell.cost * ratios.get(cell.task, 1.0)
                hours["others"] += taken / 3600
            longest = max(longest, taken / 3600)
        trainings = sum(cell.task in TRAININGS for cell in cells)
        about = {"trainings": trainings, "cells": len(cells), "images": images, "device": ", ".join(sorted(devices))}
        yield {"study": name, **about, "hours": hours, "longest": longest}


@click.command(help=_rounds.help_of(__doc__))
@click.option("--study", "names", multiple=True, help="Studies.  [default: all]")
@click.option("--steps", default=10, show_default=True, help="Steps that are timed.")
@_rounds.json_option
def main(names, steps, out):
    """Time the trainings and print a line for each study."""
    import torch

    torch.set_num_threads(1)
    kept = []
    with tempfile.TemporaryDirectory() as home:
        for one in figures(names or studies(), steps, Path(home)):
            kept.append(one)
            hours, others = one["hours"], one["cells"] - one["trainings"]
            trained = f"{one['trainings']:>3} trainings, {one['images'] / 1e6:.1f} million images: "
            trained += f"{hours['trainings']:.2f} h ({one['device']})"
            print(f"{one['study']:<26} {trained}, {others:>4} others {hours['others']:>8.2f} h,", end=" ")
            print(f"longest {one['longest']:.2f} h", flush=True)
    _rounds.write(out, kept)


if __name__ == "__main__":
    main()
