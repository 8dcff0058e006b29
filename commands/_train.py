"""`snnl gan train NAME` and `snnl classifier train NAME`: options from the settings, and the cell that they make."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from commands import Listed
from commands import _options as options
from commands._entries import entry_group, help_of
from commands._printing import print_cell
from commands._queue import asking, print_queued
from lab import registry
from lab.cells import layout
from lab.errors import say
from lab.processes import rank
from lab.running.one import do_cell
from lab.running.schedule import Outcome


def train_group(kind: str, longer: str) -> Listed:
    """The group `train`, with a command for each entry; `longer` is the option that makes a training longer."""
    text = f"Train one {registry.KINDS[kind]}; run again, it goes on or is found done; with more {longer}, it goes on."
    return entry_group("train", kind, partial(_train_command, kind), help=text)


def _train_command(kind: str, name: str) -> click.Command:
    noun = registry.KINDS[kind]
    task, recipe = registry.load("tasks", f"train-{noun}"), registry.config_class(kind, name)

    @click.command(name, help=help_of(kind, name))
    @options.of(task.Config)
    @options.of(recipe)
    @options.executing("here")
    @options.detach
    @options.training
    @options.runs
    @options.json
    def command(detach: bool, runs: Path, as_json: bool, **values: Any) -> None:
        place = options.place_of(values, detach)
        given = {noun: name, "settings": options.taken(values, recipe), **options.taken(values, task.Config)}
        data, local, settle = options.training_place(**values)
        config = task.Config.parse(given)
        config = task.fitted(config.replaced(imageset=settle(config.imageset)), data, say)
        cell = task.cell(config, data)
        path = layout.cell(runs, cell.folder_name)
        with asking(place, lambda: [path]):
            folder = do_cell(cell, runs, local, place, wait=not detach)
        if detach and not folder.done:
            print_queued(cell.label, path, Outcome(left=[path]), as_json)
        elif rank() == 0:
            print_cell(folder, as_json, task.FOLLOWING)

    return command
