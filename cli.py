"""The command line of the SNNL workbench: parse, call, print."""

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any

import click

TRACEBACK = "--traceback"
MEASURED = ("score", "loss", "temperature", "bound", "at_limit", "n_valid")
FEW_CLASSES = 20
"""Up to so many, a table of class against class can be read."""


class EntryGroup(click.Group):
    """A group with one command for each entry of a folder; entries are imported only when they are called."""

    def __init__(
        self, kind: str, make: Callable[[str], click.Command], having: str | None = None, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.kind, self.make, self.having = kind, make, having

    def list_commands(self, ctx: click.Context) -> list[str]:
        from lab import registry

        return [entry.name for entry in registry.entries(self.kind, self.having)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        from lab import registry

        registry.check(self.kind, cmd_name, self.having)
        return self.make(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from lab import registry

        with formatter.section("Commands"):
            formatter.write_dl([(entry.name, entry.summary) for entry in registry.entries(self.kind, self.having)])


def help_of(kind: str, name: str) -> str:
    """The docstring of an entry as a command's help, with its indented lines left as they are."""
    from lab import registry

    doc = next(entry.doc for entry in registry.entries(kind) if entry.name == name)
    return doc.replace("\n\n    ", "\n\n\b\n    ")


Decorator = Callable[[Any], Any]
ANY_FOLDER = click.Path(file_okay=False, path_type=Path)
A_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
A_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def together(*options: Decorator) -> Decorator:
    """Several options as one decorator; the first stands first in the help."""
    return lambda command: reduce(lambda decorated, option: option(decorated), reversed(options), command)


def runs_option(text: str = "Folder that the runs lie in.") -> Decorator:
    """`--runs`, with what is done there."""
    return click.option("--runs", type=ANY_FOLDER, default=Path("runs"), show_default=True, help=text)


def seed_option(text: str) -> Decorator:
    """`--seed`, with what it is the seed of."""
    return click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help=text)


def _name_list(context: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    from commands._options import NameList

    return None if value is None else NameList().convert(value, option, context)


def _joined_names(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    names = (_name_list(context, option, value) or () for value in values)
    return tuple(dict.fromkeys(name for part in names for name in part))


def _word_or_number(context: click.Context, option: click.Parameter, value: str) -> str | float:
    try:
        return float(value)
    except ValueError:
        return value


folder_argument = click.argument("folder", type=A_FOLDER)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line on stdout.")
data_option = click.option(
    "--data", type=ANY_FOLDER, envvar="SNNL_DATA", help="Folder of the data sets.  [default: $SNNL_DATA, else data]"
)
download_option = click.option(
    "--download/--no-download", default=True, show_default=True, help="Download data that are not there."
)
reading_options = together(data_option, download_option, json_option)
"""Of every command that reads image sets."""
report_option = runs_option("Folder that cells and reports are written to.")
cell_options = together(report_option, reading_options)
"""Of every command that does cells."""
checkpoint_option = click.option(
    "--checkpoint-minutes",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="How often to save what a training goes on from; 0: after every step.",
)
tracker_option = click.option(
    "--tracker",
    metavar="NAME",
    multiple=True,
    callback=_joined_names,
    help="Tell losses to tensorboard, wandb, ... too, offline; repeat for several.",
)
own_image_options = together(
    click.option(
        "--channels",
        type=click.Choice(["1", "3"]),
        help="Decode folder:PATH or zip:PATH to grey or colour.  [default: grey if all files are]",
    ),
    click.option("--skip-bad", is_flag=True, help="Go on without files that cannot be decoded."),
)
"""Of every command that takes a user's own images."""
distance_option = click.option(
    "--distance",
    type=click.Choice(["sqeuclidean", "cosine"]),
    default="sqeuclidean",
    show_default=True,
    help="Distance of features: squared Euclidean, or 1 - cos.",
)
measuring_options = together(
    distance_option,
    click.option(
        "--anchors",
        type=click.IntRange(min=1),
        help="Estimate from so many random points, each against all.  [default: all]",
    ),
)
"""Of every measurement."""


def decoding_options(command: Any) -> Any:
    """Of every command that trains on images: the side to decode a user's own to, and `own_image_options`."""
    from imagesets import SIZES

    sides = click.Choice([str(size) for size in SIZES])
    side = click.option("--size", type=sides, help="Side to decode folder:PATH or zip:PATH to.  [default: near theirs]")
    return together(side, own_image_options)(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="snnl-workbench", prog_name="snnl")
@click.option(
    TRACEBACK,
    is_flag=True,
    expose_value=False,
    help="On an error, show where it arose, too; anywhere on the line, or with SNNL_TRACEBACK=1.",
)
def cli() -> None:
    """Measure and train how entangled classes are in a representation: the soft nearest neighbor loss at work."""


def _study_command(name: str) -> click.Command:
    from commands._options import options_from
    from lab import registry

    module = registry.load("studies", name)
    trains = "device" in module.Config.model_fields

    @click.command(name, help=help_of("studies", name))
    @click.option(
        "--preset",
        type=click.Choice(list(module.PRESETS)),
        default="laptop",
        show_default=True,
        help="Settings for seconds, minutes, or the paper's scale.",
    )
    @click.option(
        "--config",
        "file",
        type=A_FILE,
        help="JSON file of settings in the preset's place, as snnl tune writes it; options win.",
    )
    @options_from(module.Config)
    @(decoding_options if trains else together())
    @click.option("--jobs", type=click.IntRange(min=1), help="Cells side by side.  [default: one a core]")
    @click.option("--published", is_flag=True, help="Take finished cells that ship in results/ as done.")
    @click.option("--dry-run", is_flag=True, help="List the cells and an estimate of the time; do nothing.")
    @(together(checkpoint_option, tracker_option) if trains else together())
    @(cell_options if trains else together(report_option, json_option))
    def command(**values: Any) -> None:
        _run_study(name, **values)

    return command


def _run_study(
    name: str,
    preset: str,
    file: Path | None,
    runs: Path,
    jobs: int | None,
    published: bool,
    dry_run: bool,
    as_json: bool,
    **values: Any,
) -> None:
    from commands._options import given
    from lab import registry
    from lab.studying import study

    settings = {field: values.pop(field) for field in registry.load("studies", name).Config.model_fields}
    config = study.study_config(name, preset, given(settings), file)
    local: dict[str, Any] = {}
    if "device" in settings:
        config, local = _with_images(config, **values)
    plan = study.plan_study(name, config, runs, published=published)
    if dry_run:
        return _print_plan(plan, jobs, as_json)
    _say(_opening(plan, jobs))
    result = study.run_study(plan, local=local, jobs=jobs)
    _print_result(result, as_json)


def _with_images(
    config: Any,
    data: Path | None,
    download: bool,
    tracker: tuple[str, ...],
    checkpoint_minutes: float,
    size: str | None,
    channels: str | None,
    skip_bad: bool,
) -> tuple[Any, dict[str, Any]]:
    """The settings of a study that trains on images, once those are decoded, and what its cells' folders say beside."""
    local = _training_local(data, download, tracker, checkpoint_minutes)

    def settled(name: str) -> str:
        return _settled(name, Path(local["data"]), size, channels, skip_bad)

    names = {field: getattr(config, field) for field in ("imageset", "imagesets") if hasattr(config, field)}
    known = {
        field: settled(name) if isinstance(name, str) else tuple(map(settled, name)) for field, name in names.items()
    }
    return config.model_copy(update=known), local


@cli.group("study", cls=EntryGroup, kind="studies", make=_study_command, invoke_without_command=True)
@click.pass_context
def study_group(context: click.Context) -> None:
    """Run a study and draw its report; alone: list them."""
    if context.invoked_subcommand is None:
        _print_entries("studies")


def _search_command(name: str) -> click.Command:
    from commands._options import options_from
    from lab import registry

    searchable = registry.load("studies", name).SEARCH

    @click.command(name, help=f"Search settings of the study {name}; the best become a file for its --config.")
    @click.option(
        "--trials",
        type=click.IntRange(min=1),
        default=20,
        show_default=True,
        help="How many settings to try, those of earlier commands included.",
    )
    @options_from(searchable.settings)
    @decoding_options
    @click.option("--jobs", type=click.IntRange(min=1), help="Cells side by side.  [default: one a core]")
    @click.option(
        "--folder", type=ANY_FOLDER, help="Folder of the search.  [default: one below runs, named by what is searched]"
    )
    @checkpoint_option
    @tracker_option
    @cell_options
    def command(**values: Any) -> None:
        _run_search(name, searchable, **values)

    return command


def _run_search(
    name: str,
    searchable: Any,
    trials: int,
    jobs: int | None,
    folder: Path | None,
    runs: Path,
    as_json: bool,
    **values: Any,
) -> None:
    from commands._options import given
    from lab.reporting.tables import aligned
    from lab.studying.search import search

    settings = {field: values.pop(field) for field in searchable.settings.model_fields}
    config, local = _with_images(searchable.settings.parse(given(settings)), **values)
    found = search(name, searchable, config, trials=trials, runs=runs, local=local, folder=folder, jobs=jobs, say=_say)
    click.echo(aligned([[*map(str, row)] for row in found.rows()]))
    _say(f"Best: trial {found.best.number + 1}, {found.preset}")
    _say(f"Next: snnl study {name} --config {found.preset}")
    _print_json(found.plain(), as_json)


@cli.group("tune", cls=EntryGroup, kind="studies", make=_search_command, having="SEARCH")
def tune_group() -> None:
    """Search a study's settings: validation decides, and the test split is not read. Run again, it goes on."""


@cli.group()
def gan() -> None:
    """Train a GAN of the zoo, or draw images from one."""


def _train_command(name: str) -> click.Command:
    from commands._options import options_from
    from lab import registry
    from lab.training.compute import Compute

    @click.command(name, help=help_of("gans", name))
    @click.option(
        "--imageset",
        default="digits",
        show_default=True,
        help="The images to learn; folder:PATH or zip:PATH for your own.",
    )
    @decoding_options
    @click.option(
        "--kimg",
        type=float,
        default=100.0,
        show_default=True,
        help="Length, in thousands of real images shown to the discriminator.",
    )
    @seed_option("Seed of weights, batches and noise.")
    @click.option(
        "--snapshot-kimg",
        type=click.FloatRange(min=0.001),
        default=0.5,
        show_default=True,
        help="Keep the generator at 0, at this, at 4, 9, 16, ... times this, and at the end.",
    )
    @checkpoint_option
    @options_from(Compute)
    @options_from(registry.config_class("gans", name))
    @tracker_option
    @cell_options
    def command(**values: Any) -> None:
        _train_gan(name, **values)

    return command


def _train_gan(name: str, kimg: float, seed: int, snapshot_kimg: float, **values: Any) -> None:
    from tasks.measure_gan import growing_schedule, training_cell

    snapshots = growing_schedule(kimg, snapshot_kimg)
    make = partial(training_cell, name, seed=seed, kimg=kimg, snapshots=snapshots)
    _train(make, "snnl gan sample {} -n 64 --out grid.png", **values)


@gan.group("train", cls=EntryGroup, kind="gans", make=_train_command)
def train_group() -> None:
    """Train one GAN; run again, it goes on or is found done; with more --kimg, it goes on from there."""


@gan.command("sample")
@folder_argument
@click.option("-n", "count", type=click.IntRange(min=1), default=64, show_default=True, help="How many images.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("grid.png"),
    show_default=True,
    help="The PNG to write.",
)
@seed_option("Seed of the latent noise.")
@click.option("--kimg", type=click.FloatRange(min=0), help="Take the snapshot nearest to this.  [default: the last]")
def sample(folder: Path, count: int, out: Path, seed: int, kimg: float | None) -> None:
    """Draw images from a trained GAN's FOLDER into one PNG."""
    from gans._snapshots import sample_grid

    snapshot = sample_grid(folder, count, out, seed=seed, kimg=kimg)
    click.echo(f"{out}: {count} images after {snapshot.kimg:g} kimg")


@cli.group()
def classifier() -> None:
    """Train a classifier, entangle its hidden layers, and evaluate it."""


def _classifier_command(name: str) -> click.Command:
    from commands._options import options_from
    from lab import registry
    from lab.training.compute import Compute

    @click.command(name, help=help_of("classifiers", name))
    @click.option(
        "--imageset",
        default="digits",
        show_default=True,
        help="The images to learn; folder:PATH or zip:PATH for your own.",
    )
    @decoding_options
    @click.option(
        "--epochs", type=click.IntRange(min=1), default=10, show_default=True, help="How often every image is shown."
    )
    @click.option(
        "--validation",
        type=float,
        default=0.1,
        show_default=True,
        help="Share of the train split that is kept apart to validate on after every epoch.",
    )
    @click.option(
        "--alpha",
        type=float,
        default=0.0,
        show_default=True,
        help="Weight of the soft nearest neighbor loss of hidden layers beside the cross-entropy: negative "
        "entangles the classes of hidden layers, as in the paper; positive disentangles them.",
    )
    @click.option(
        "--snnl-layers",
        metavar="A,B,...",
        callback=_name_list,
        help="Hidden layers that alpha is for.  [default: all, without the logits]",
    )
    @click.option(
        "--temperature",
        metavar="minimize|learn|FLOAT",
        default="minimize",
        show_default=True,
        callback=_word_or_number,
        help="The best one of every batch and layer, a learned one, or this one.",
    )
    @distance_option
    @seed_option("Seed of weights, batches, augmentation and the choice of validation images.")
    @click.option(
        "--snapshot",
        "snapshots",
        type=click.IntRange(min=0),
        multiple=True,
        metavar="EPOCH",
        help="Keep the weights after this epoch, too, besides the last; repeat for several.",
    )
    @checkpoint_option
    @options_from(Compute)
    @options_from(registry.config_class("classifiers", name))
    @tracker_option
    @cell_options
    def command(**values: Any) -> None:
        _train_classifier(name, **values)

    return command


def _train_classifier(
    name: str,
    epochs: int,
    validation: float,
    alpha: float,
    snnl_layers: tuple[str, ...] | None,
    temperature: str | float,
    distance: str,
    seed: int,
    snapshots: tuple[int, ...],
    **values: Any,
) -> None:
    from tasks.evaluate_classifier import training_cell

    make = partial(
        training_cell,
        name,
        seed=seed,
        epochs=epochs,
        alpha=alpha,
        layers=snnl_layers,
        temperature=temperature,
        distance=distance,
        validation=validation,
        snapshots=snapshots,
    )
    _train(make, "snnl classifier evaluate {}", **values)


@classifier.group("train", cls=EntryGroup, kind="classifiers", make=_classifier_command)
def classifier_train_group() -> None:
    """Train one classifier; run again, it goes on or is found done; with more --epochs, it goes on from there."""


@classifier.command("evaluate")
@folder_argument
@click.option(
    "--splits",
    metavar="A,B,...",
    default="test",
    show_default=True,
    callback=_name_list,
    help="Images to evaluate on: test, train (without what was kept apart), validation.",
)
@click.option(
    "--imageset",
    help="Evaluate on the test split of this image set; folder:PATH or zip:PATH for your own.  "
    "[default: the one trained on]",
)
@reading_options
def evaluate_classifier(
    folder: Path, splits: tuple[str, ...], imageset: str | None, data: Path | None, download: bool, as_json: bool
) -> None:
    """Print accuracy, likelihood and calibration error of a trained classifier's FOLDER, from its last weights."""
    from lab.running.one import do_folder
    from tasks.evaluate_classifier import evaluating_folder

    found = evaluating_folder(folder, splits, _local(data, download), imageset, say=_say)
    rows = do_folder(found).rows()
    by_split: dict[str, dict[str, Any]] = {}
    for row in rows:
        by_split.setdefault(row["split"], {"split": row["split"], "n": row["n"]})[row["metric"]] = row["value"]
    _print_rows(["split", "accuracy", "nll", "ece", "n"], list(by_split.values()))
    _print_json({"folder": str(found), "splits": by_split}, as_json)


@classifier.command("list")
def list_classifiers() -> None:
    """List the classifiers."""
    _print_entries("classifiers")


@cli.group()
def measure() -> None:
    """Measure how entangled classes are in a network or in features of your own."""


@measure.command("layers")
@click.option("--model", required=True, help="The network: torchvision:NAME, e.g. torchvision:resnet18.")
@click.option(
    "--weights",
    type=A_FILE,
    help="Its weights: .safetensors, or a state dict that torch saved.  [default: random ones]",
)
@click.option("--imageset", required=True, help="The images to show it; folder:PATH or zip:PATH for your own.")
@own_image_options
@click.option("--split", default="test", show_default=True, help="Split that the images are of.")
@click.option("--n", type=click.IntRange(min=2), help="How many random images.  [default: 1000, or all there are]")
@click.option(
    "--layers",
    metavar="A,B,...",
    callback=_name_list,
    help="Modules or nodes of its graph.  [default: modules; one with most nodes is opened]",
)
@click.option(
    "--max-features",
    type=click.IntRange(min=1),
    default=4096,
    show_default=True,
    help="Average larger maps over a square grid, to at most so many numbers an image.",
)
@click.option(
    "--size", type=click.IntRange(min=1), help="Side to resize the images to, in pixels.  [default: their own]"
)
@click.option(
    "--normalize",
    type=click.Choice(["imagenet", "none"]),
    default="imagenet",
    show_default=True,
    help="By the mean and deviation of ImageNet's colours, or none: values in [0, 1].",
)
@seed_option("Seed of the choice of images and anchors, and of random weights.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to compute."
)
@measuring_options
@reading_options
def measure_layers(
    imageset: str,
    data: Path | None,
    download: bool,
    size: int | None,
    channels: str | None,
    skip_bad: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Print the entanglement of every layer of a foreign network."""
    from imagesets import SOURCES, data_root

    decoded_to = size if imageset.startswith(SOURCES) else None  # others are resized, whatever their side
    images = _settled(imageset, data_root(data), decoded_to, channels, skip_bad)
    from outside.network import measure_network  # after the decoding, whose processes start faster without torch

    found = measure_network(imageset=images, data=data, download=download, size=size, **settings, say=_say)
    columns = ["layer", "features", *MEASURED, *(["stderr"] if settings["anchors"] else [])]
    _print_rows(columns, [vars(row) for row in found.layers])
    _print_json(found.plain(), as_json)


@measure.command("features")
@click.argument("file", type=A_FILE)
@measuring_options
@json_option
def measure_features(file: Path, as_json: bool, **settings: Any) -> None:
    """Print the entanglement of a FILE .npz or .safetensors with the arrays x (n, ...) and labels (n,): of all points,
    of each class and, up to 20 classes, of class against class.
    """
    from outside.points import measure_file

    found = measure_file(file, **settings, say=_say)
    _print_rows(["anchors", *MEASURED], found.rows)
    if settings["anchors"]:
        _say(f"Standard error of the loss of all, from the choice of anchors: {found.whole.stderr:.3g}.")
    if len(found.classes) <= FEW_CLASSES:
        click.echo("\nMean softmax mass of a row's anchors on a column's class:")
        _print_rows(["anchors", *map(str, found.classes)], found.pairs)
    _print_json(found.plain(), as_json)


@cli.command("list")
@click.argument("kind")
def list_entries(kind: str) -> None:
    """List the entries of a KIND: classifiers, gans, imagesets, metrics or studies."""
    _print_entries(kind)


@cli.command()
@folder_argument
@json_option
def report(folder: Path, as_json: bool) -> None:
    """Draw the report of a study's FOLDER anew."""
    from lab.studying.study import draw_study

    _print_result(draw_study(folder), as_json)


@cli.command("cell")
@folder_argument
@json_option
def do_one_cell(folder: Path, as_json: bool) -> None:
    """Do the cell of a FOLDER, or find it done."""
    from lab.processes import rank
    from lab.running.one import do_folder

    done = do_folder(folder)
    if rank() == 0:
        _print_cell(done, as_json, None)


@cli.command()
@runs_option()
@data_option
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Try a training on so many processes too.",
)
@json_option
def doctor(runs: Path, data: Path | None, processes: int, as_json: bool) -> None:
    """Check the installation, the hardware and the folders, and train two steps of a tiny GAN."""
    from commands import _checks as doctor
    from imagesets import data_root

    found = []
    for one in doctor.findings(runs, data_root(data), processes):
        click.echo(f"{one.state:<7}  {one.check}: {one.text}")
        found.append(one)
    result = doctor.plain(found)
    _print_json(result, as_json)
    if not result["ok"]:
        raise SystemExit(1)


@cli.group()
def runs() -> None:
    """Look after run folders."""


@runs.command("list")
@runs_option()
@json_option
def list_folders(runs: Path, as_json: bool) -> None:
    """List studies and cells: their state, how long ago they were written to, and their size on disk."""
    from lab.cells.runs import list_runs

    found = list_runs(runs)
    _print_runs(found)
    _say(f"{len(found)} in {runs}. Next: snnl runs show FOLDER")
    _print_json({"runs": found}, as_json)


@runs.command()
@folder_argument
@json_option
def show(folder: Path, as_json: bool) -> None:
    """Print what is known of a study's or a cell's FOLDER: settings, state, failure, needs, files."""
    from lab.cells.runs import show_run, size_text
    from lab.pace import duration

    found = show_run(folder)
    _print_nested({**found, "age": duration(found["age"]), "size": size_text(found["size"])})
    _print_json(found, as_json)


@runs.command()
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...", type=A_FOLDER)
@runs_option()
@click.option("--dry-run", is_flag=True, help="Tell what would be removed; remove nothing.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@json_option
def remove(folders: tuple[Path, ...], runs: Path, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove FOLDERs of studies, with the cells that nobody else needs, and of cells that nobody needs."""
    from lab.cells import removal
    from lab.cells.runs import Runs, size_text
    from lab.errors import UsageError

    found = Runs(runs)
    taken = removal.to_remove(found, folders)
    if not (dry_run or yes or sys.stdin.isatty()):
        raise UsageError("Nothing was removed: there is no terminal to ask on; --yes removes without asking.")
    about = [found.summary(run) for run in taken]
    size = sum(run["size"] for run in about)
    _print_runs(about)
    gone = not dry_run and (yes or click.confirm(f"Remove these {len(about)} folders?", err=True))
    if gone:
        removal.remove(runs, taken)
    _say(f"{'Removed' if gone else 'Not removed'}: {len(about)} folders, {size_text(size)}.")
    _print_json({"removed": gone, "runs": about, "size": size}, as_json)


@runs.command()
@folder_argument
@click.argument("target", type=ANY_FOLDER)
def export(folder: Path, target: Path) -> None:
    """Copy a study's FOLDER and its finished cells, or one finished cell's, without weights, below TARGET."""
    from lab.cells.export import export

    click.echo(f"{export(folder, target)}")


def _train(
    make: Callable[..., Any],
    following: str,
    imageset: str,
    size: str | None,
    channels: str | None,
    skip_bad: bool,
    checkpoint_minutes: float,
    runs: Path,
    data: Path | None,
    download: bool,
    tracker: tuple[str, ...],
    as_json: bool,
    **settings: Any,
) -> None:
    """Do the cell that `make` makes of the images, the compute settings and those of the network."""
    from commands._options import given
    from lab.running.one import do_cell
    from lab.training.compute import Compute

    local = _training_local(data, download, tracker, checkpoint_minutes)
    compute = Compute.parse({key: settings.pop(key) for key in set(given(settings)) & set(Compute.model_fields)})
    images = _settled(imageset, Path(local["data"]), size, channels, skip_bad)
    _print_cell(do_cell(make(images, compute=compute, settings=given(settings)), runs, local), as_json, following)


def _local(data: Path | None, download: bool) -> dict[str, Any]:
    """What a cell's folder says beside what decides its result; plans look for data in the same place."""
    from imagesets import data_root

    root = data_root(data).resolve()
    os.environ["SNNL_DATA"] = str(root)
    return {"data": str(root), "download": download}


def _settled(imageset: str, data: Path, size: str | int | None, channels: str | None, skip_bad: bool) -> str:
    """The image set's name in cells: images of the user's own are decoded first."""
    from imagesets import settle

    sides = {"size": int(size) if size else None, "channels": int(channels) if channels else None}
    return settle(imageset, data, **sides, skip_bad=skip_bad, say=_say)


def _training_local(
    data: Path | None, download: bool, trackers: tuple[str, ...], checkpoint_minutes: float
) -> dict[str, Any]:
    """Likewise of a cell that trains."""
    from lab.training.tracking import check_trackers

    check_trackers(trackers)
    told = {"trackers": list(trackers)} if trackers else {}
    return {**_local(data, download), **told, "checkpoint_minutes": checkpoint_minutes}


def _say(text: str) -> None:
    click.echo(text, err=True)


def _print_json(value: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(value))


def _print_entries(kind: str) -> None:
    from lab import registry

    entries = registry.entries(kind)
    width = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        click.echo(f"{entry.name:<{width}}  {entry.summary}")


def _print_runs(found: Sequence[dict[str, Any]]) -> None:
    from lab.cells.runs import size_text
    from lab.pace import duration
    from lab.reporting.tables import aligned

    rows = [[run["folder"], run["state"], duration(run["age"]), size_text(run["size"])] for run in found]
    click.echo(aligned([["folder", "state", "age", "size"], *rows]))


def _print_nested(found: dict[str, Any], indent: str = "") -> None:
    for name, value in found.items():
        if isinstance(value, dict) and value:
            click.echo(f"{indent}{name}:")
            _print_nested(value, f"{indent}  ")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list | dict) else value
            click.echo(f"{indent}{name}: {'-' if text in (None, '') else text}")


def _print_rows(columns: list[str], rows: Sequence[dict[str, Any]]) -> None:
    from lab.reporting.tables import aligned, number

    def word(column: str, value: Any) -> str:
        if column == "temperature":  # in units of the distance, so of any size
            return f"{value:.4g}"
        return number(value) if isinstance(value, float) else str(value)

    click.echo(aligned([columns, *([word(column, row[column]) for column in columns] for row in rows)]))


def _opening(plan: Any, jobs: int | None) -> str:
    from lab.pace import duration
    from lab.studying.study import estimate

    slots, left = plan.slots(jobs), len(plan.to_do)
    if not left:
        return f"All {len(plan.cells)} cells are done; drawing the report."
    guess = duration(estimate(plan.to_do, slots))
    hint = f" {len(plan.published)} of them ship in results/: --published takes those." if plan.published else ""
    return f"{left} of {len(plan.cells)} cells to do, {min(slots, left)} side by side, about {guess}.{hint}"


def _print_plan(plan: Any, jobs: int | None, as_json: bool) -> None:
    from lab.pace import duration
    from lab.studying.study import estimate

    seconds = estimate(plan.to_do, plan.slots(jobs))
    for planned in plan.cells:
        cost = f"~{duration(planned.cell.cost)}" if planned.state == "to do" else ""
        click.echo(f"{planned.state:<9}  {planned.cell.folder_name}  {cost}".rstrip())
    click.echo(f"{len(plan.to_do)} of {len(plan.cells)} cells to do, about {duration(seconds)}")
    if plan.published:
        click.echo(f"{len(plan.published)} of them ship in results/: --published takes those")
    cells = [{"cell": planned.cell.folder_name, "state": planned.state} for planned in plan.cells]
    _print_json({"study": plan.study, "cells": cells, "seconds": round(seconds)}, as_json)


def _print_result(result: Any, as_json: bool) -> None:
    for verdict in result.verdicts:
        _say(f"{verdict.verdict}: {verdict.claim.text} {verdict.effect} ({verdict.reason})")
    for name, reason in result.failed.items():
        _say(f"failed: {name}: {reason}")
    _say(f"Report: {result.report}")
    again = f"snnl report {result.folder} draws it anew"
    _say(f"Next: {'the same command does the cells that are left' if result.failed else again}")
    _print_json(result.plain(), as_json)
    if result.failed:
        raise SystemExit(3)


def _print_cell(folder: Any, as_json: bool, following: str | None) -> None:
    _say(f"Done: {folder.path} ({folder.seconds:.1f} s of work)")
    if following:
        _say(f"Next: {following.format(folder.path)}")
    _print_json({"folder": str(folder.path), "seconds": folder.seconds, "rows": len(folder.rows())}, as_json)


def main() -> None:
    """Run the command line: exit codes 0 done, 1 error, 2 usage, 3 some cells failed, 130 interrupted."""
    arguments = [word for word in sys.argv[1:] if word != TRACEBACK]
    tracing = TRACEBACK in sys.argv or os.environ.get("SNNL_TRACEBACK", "0") not in {"", "0"}
    try:
        code = cli.main(arguments, Path(sys.argv[0]).name, standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        _say("Interrupted. The same command goes on with what is left.")
        code = 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = error.exit_code
    except Exception as error:
        message, code = _told(error)
        if tracing:
            _say("".join(traceback.format_exception(error)))
        _say("Error: " + " ".join(message.splitlines()))
    sys.exit(code)


def _told(error: Exception) -> tuple[str, int]:
    """An error in one line that says what to do, and its exit code."""
    from lab.errors import WorkbenchError, first_line

    if isinstance(error, WorkbenchError):
        return str(error), error.exit_code
    if isinstance(error, click.UsageError) and error.ctx:
        return f"{error.format_message()} See {error.ctx.command_path} --help.", error.exit_code
    if isinstance(error, click.ClickException):
        return error.format_message(), error.exit_code
    if isinstance(error, OSError):
        return f"{error}. Is there room, and may this user write there?", 1
    return (
        f"{type(error).__name__}: {first_line(error)}. This should not happen; run again with {TRACEBACK} for more.",
        1,
    )


if __name__ == "__main__":
    main()
