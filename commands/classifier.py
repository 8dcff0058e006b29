"""Train a classifier, entangle its hidden layers, evaluate it, attack it, and ask which images support it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attacks._config import Norm, planned
from commands import Told
from commands import _options as options
from commands import _paths as paths
from commands._entries import print_entries
from commands._printing import print_json, print_rows, print_table, tell
from commands._train import train_group
from imagesets import SOURCES, load, settle, spec
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.cells.fresh import dropped_if_bare
from lab.cells.record import recorded_cell
from lab.config import assigned
from lab.errors import UsageError, first_few, say
from lab.running.one import do_folder
from lab.training.snapshots import snapshots
from tasks import evaluate_classifier, train_classifier

if TYPE_CHECKING:
    from classifiers._exemplars import Exemplars
    from classifiers._trained import Trained

SHOWN = 5
"""How many neighbours of an image are printed for each layer."""
ATTACKS, EPS = ("pgd", "noise"), ("0.03", "0.1", "0.3")
BANK = "Training images to search.  [default: 10000, or all there are]"
NEIGHBORS = "Neighbours in each hidden layer.  [default: 75, or all there are]"
SETTINGS = "Settings of attacks, as steps=100,restarts=5: those of their file; each takes those that it has."

command = Told("classifier", help=__doc__)
command.add_command(train_group("classifiers", "--epochs"))
command.add_command(click.Command("list", callback=partial(print_entries, "classifiers"), help="List the classifiers."))


@command.command()
@click.argument("first", metavar="[FOLDER]", type=paths.A_PATH, required=False)
@click.argument("images", nargs=-1, metavar="IMAGES...", type=paths.A_FILE)
@click.option("--n-bank", type=options.count(), help=BANK)
@click.option("--k", type=options.count(), help=NEIGHBORS)
@click.option("--out", type=paths.A_PAGE, help="Write a page that shows the images and their neighbours, too.")
@options.foreign_network("Its hidden layers to search in.  [default: its stages, else its modules]", required=False)
@click.option("--imageset", help="With --model: its train split is searched, its test split calibrates.")
@options.own_images
@options.reading
@options.json
def credibility(
    first: Path | None,
    images: tuple[Path, ...],
    n_bank: int | None,
    k: int | None,
    out: Path | None,
    model: str | None,
    data: Path,
    download: bool,
    as_json: bool,
    **elsewhere: Any,
) -> None:
    """Print how well the training images of a classifier's FOLDER support what it says of IMAGES, files from disk, and
    which are nearest in each hidden layer (Deep k-nearest neighbours).

    With --model and --imageset, in place of FOLDER, it is a network that was made elsewhere.
    """
    reading: dict[str, Any] = {"data": data, "download": download}
    if model and first:
        _check_one(first if first.is_dir() else None, model)
        images = (paths.A_FILE.convert(first, None, click.get_current_context()), *images)
    elif first and not first.is_dir():
        needed = "name that of a classifier's training before IMAGES, or a network by --model"
        raise click.UsageError(f"{first} is no folder: {needed}.", click.get_current_context())
    if not (first and images):
        missing = "FOLDER" if not (model or first) else "IMAGES..."
        raise click.UsageError(f"Missing argument '{missing}'.", click.get_current_context())
    trained = _elsewhere(model, **reading, **elsewhere) if model else _here(first, elsewhere, **reading)
    from classifiers._exemplars import exemplars
    from lab.reporting.report import write_page

    found = exemplars(trained, images, n_bank=n_bank, k=k, say=say)
    if out:
        write_page(found.report(), out)
    print_rows([*found.rows[0]], found.rows)
    tell(f"\nThe {min(SHOWN, k or SHOWN)} nearest training images, by number and label:")
    print_table([["image", "layer", "nearest"], *_nearest(found)])
    print_json(found.plain(), as_json)


@command.command()
@click.argument("folder", type=paths.A_FOLDER, required=False)
@options.names("--attack", help="What attacks: list attacks tells.  [default: pgd,noise]")
@options.names("--eps", help="How far images are moved, of values in [0, 1].  [default: 0.03,0.1,0.3]")
@click.option("--norm", type=click.Choice(["linf", "l2"]), default="linf", help="Measure of that: docs/attacks.md.")
@options.names("--settings", help=SETTINGS)
@click.option("--n", type=options.count(), help="Test images to attack.  [default: 500, or all there are]")
@click.option("--n-bank", type=options.count(), help=BANK)
@click.option("--k", type=options.count(), help=NEIGHBORS)
@options.seed("Seed of the choice of images, and of what attacks draw.")
@click.option("--out", type=paths.A_PAGE, help="Write a page that shows images before and after, too.")
@options.foreign_network("Its hidden layers to search in.  [default: its stages, else its modules]", required=False)
@click.option("--imageset", help="With --model: of its test split a part calibrates and others are attacked.")
@options.own_images
@options.reading
@options.json
def attack(
    folder: Path | None,
    attack: tuple[str, ...] | None,
    eps: tuple[str, ...] | None,
    norm: Norm,
    settings: tuple[str, ...] | None,
    n: int | None,
    n_bank: int | None,
    k: int | None,
    seed: int,
    out: Path | None,
    model: str | None,
    data: Path,
    download: bool,
    as_json: bool,
    **elsewhere: Any,
) -> None:
    """Attack test images, and print what is left of the accuracy of a classifier's FOLDER, and of the vote of its
    nearest training images (Deep k-nearest neighbours) with its credibility, for each size of the attack.

    With --model and --imageset, in place of FOLDER, it is a network that was made elsewhere.
    """
    reading: dict[str, Any] = {"data": data, "download": download}
    names = ATTACKS if attack is None else attack
    attacks, test = planned(names, EPS if eps is None else eps, norm, _assigned(settings or ())), None
    if not (model or folder):
        raise click.UsageError("Missing argument 'FOLDER'.", click.get_current_context())
    _check_one(folder, model)
    if folder:
        trained = _here(folder, elsewhere, **reading)
        test = load(_training(folder).config.imageset, "test", root=data, download=download)
    else:
        trained = _elsewhere(model or "", **reading, **elsewhere)
    from evaluation.attacked import measure_attacks
    from evaluation.attacked_page import report
    from lab.reporting.report import write_page

    found = measure_attacks(trained, test, attacks, n=n, n_bank=n_bank, k=k, seed=seed, say=say)
    if out:
        write_page(report(found), out)
    print_rows([*found.rows[0]], [{**row, "eps": f"{row['eps']:g}"} for row in found.rows])
    print_json(found.plain(), as_json)


@command.command()
@options.folder
@options.of(evaluate_classifier.Config)
@options.own_files
@options.reading
@options.json
def evaluate(
    folder: Path, data: Path, download: bool, skip_bad: bool, follow_links: bool, as_json: bool, **values: Any
) -> None:
    """Print accuracy, likelihood and calibration error of a trained classifier's FOLDER, from its last weights."""
    asked = evaluate_classifier.Config.parse(options.taken(values, evaluate_classifier.Config))
    training = _training(folder)
    root = data.resolve()
    images = asked.imageset
    if images or skip_bad or follow_links:
        images = _settled(images or training.config.imageset, training, root, skip_bad, follow_links)
    cell = evaluate_classifier.cell(training, root, asked.splits, images)
    if images:
        tell_of_names(training.config.spec_of_images.classes, spec(images, root).classes)
    beside, local = folder.resolve().parent, {"data": str(root), "download": download}
    with dropped_if_bare([beside / cell.folder_name]):
        done = do_folder(CellFolder.create(cell, beside, local).path)
    by_split: dict[str, dict[str, Any]] = {}
    for row in done.rows():
        by_split.setdefault(row["split"], {"split": row["split"], "n": row["n"]})[row["metric"]] = row["value"]
    print_rows(["split", "accuracy", "nll", "ece", "n"], list(by_split.values()))
    print_json({"folder": str(done.path), "splits": by_split}, as_json)


def tell_of_names(own: Sequence[str], others: Sequence[str]) -> None:
    """Warn of a network's classes that are called otherwise in the images that it is evaluated on."""
    pairs = [f"{one} is {other}" for one, other in zip(own, others, strict=True) if one != other]
    if pairs:
        say(f"Warning: classes are matched by their order, not by name: {first_few(pairs)}")


def _nearest(found: "Exemplars") -> Iterator[list[str]]:
    """Words for each image and layer: the numbers of the nearest training images, each with its label."""
    for i, name in enumerate(found.names):
        for layer, near in found.neighbors(i).items():
            yield [name, layer, ", ".join(f"{one['index']} ({one['label']})" for one in near[:SHOWN])]


def _check_one(folder: Path | None, model: str | None) -> None:
    """Raise UsageError where both a folder and a network made elsewhere are given."""
    if folder and model:
        raise click.UsageError("FOLDER and --model are two networks: give one.", click.get_current_context())


def _here(folder: Path, elsewhere: Mapping[str, Any], **reading: Any) -> "Trained":
    """The classifier of a folder, unless there are options for others."""
    for name, value in elsewhere.items():
        if value:
            raise click.UsageError(f"--{name.replace('_', '-')} is for --model.", click.get_current_context())
    _training(folder)
    from classifiers._trained import trained_here

    return trained_here(folder, **reading)


def _assigned(settings: Iterable[str]) -> dict[str, str]:
    """Settings that are given as NAME=VALUE."""
    for setting in settings:
        if "=" not in setting:
            raise UsageError(f"--settings: NAME=VALUE is needed, several separated by commas (got {setting!r})")
    return assigned(settings)


def _elsewhere(model: str, imageset: str | None, data: Path, size: int | None, **settings: Any) -> "Trained":
    """A network that was made elsewhere, and the images that it was trained on."""
    if not imageset:
        raise click.UsageError("--model needs --imageset.", click.get_current_context())
    images = options.decoded(imageset, data, size, settings)
    from classifiers._trained import trained_elsewhere  # after the decoding, whose processes start faster without torch

    return trained_elsewhere(model, images, data=data, size=size, **settings, say=say)


def _training(folder: Path) -> Cell[train_classifier.Config]:
    """The cell of a folder that holds the weights of a classifier."""
    if CellFolder(folder).task != "train-classifier":
        raise UsageError(f"{folder} is not the folder of a classifier's training.")
    training = recorded_cell(folder, train_classifier.Config)
    snapshots(folder, "classifier")
    return training


def _settled(
    images: str, training: Cell[train_classifier.Config], data: Path, skip_bad: bool, follow_links: bool
) -> str:
    """An image set's name in cells; images of the user's own are decoded to what the network takes."""
    built = training.config.spec_of_images
    like: dict[str, Any] = {"size": built.size, "channels": built.channels, "stretch": built.stretch or False}
    how = like if images.startswith(SOURCES) else {}
    return settle(images, data, **how, skip_bad=skip_bad, follow_links=follow_links, say=say)
