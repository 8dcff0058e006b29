"""Train a classifier, entangle its hidden layers, and evaluate it."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from commands import _options as options
from commands._entries import print_entries
from commands._printing import print_json, print_rows, say
from commands._train import train_group
from imagesets import SOURCES, settle
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.cells.record import recorded_cell
from lab.errors import UsageError
from lab.running.one import do_folder
from tasks import evaluate_classifier, train_classifier

command = click.Group("classifier", help=__doc__)
command.add_command(train_group("classifiers", "--epochs"))
command.add_command(click.Command("list", callback=partial(print_entries, "classifiers"), help="List the classifiers."))


@command.command()
@options.folder
@options.of(evaluate_classifier.Config)
@options.reading
@options.json
def evaluate(folder: Path, data: Path, download: bool, as_json: bool, **values: Any) -> None:
    """Print accuracy, likelihood and calibration error of a trained classifier's FOLDER, from its last weights."""
    asked = evaluate_classifier.Config.parse(options.taken(values, evaluate_classifier.Config))
    training = _training(folder)
    root = data.resolve()
    images = asked.imageset and _settled(asked.imageset, training, root)
    cell = evaluate_classifier.cell(training, root, asked.splits, images)
    local = {"data": str(root), "download": download}
    done = do_folder(CellFolder.create(cell, folder.resolve().parent, local).path)
    by_split: dict[str, dict[str, Any]] = {}
    for row in done.rows():
        by_split.setdefault(row["split"], {"split": row["split"], "n": row["n"]})[row["metric"]] = row["value"]
    print_rows(["split", "accuracy", "nll", "ece", "n"], list(by_split.values()))
    print_json({"folder": str(done.path), "splits": by_split}, as_json)


def _training(folder: Path) -> Cell[train_classifier.Config]:
    """The cell of a folder that holds the weights of a classifier."""
    if CellFolder(folder).task != "train-classifier":
        raise UsageError(f"{folder} is not the folder of a classifier in training.")
    training = recorded_cell(folder, train_classifier.Config)
    from classifiers._snapshots import kept_classifiers  # after what needs no torch

    kept_classifiers(folder)
    return training


def _settled(images: str, training: Cell[train_classifier.Config], data: Path) -> str:
    """An image set's name in cells; images of the user's own are decoded to what the network takes."""
    built = training.config.spec_of_images
    sides: dict[str, Any] = {"size": built.size, "channels": built.channels} if images.startswith(SOURCES) else {}
    return settle(images, data, **sides, say=say)
