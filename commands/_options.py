"""Options that several commands share, those made from the fields of settings, and what trainings make of theirs."""

import math
import os
import re
from collections.abc import Callable
from functools import partial, reduce
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from commands._paths import A_FILE, A_FOLDER, ANY_FOLDER
from imagesets import SIZES, SOURCES, data_root, settle
from lab import registry
from lab.config import HIDDEN, LARGEST_WHOLE, Config
from lab.errors import UsageError, say
from lab.files import expanded
from lab.running import slurm
from lab.running.place import Place
from lab.running.sbatch import Asked
from lab.training.tracking import check_trackers

Decorator = Callable[[Any], Any]


class Number(click.FloatRange):
    """A finite number in a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, checked."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):  # what is no number is in every range
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return number


def count(least: int = 1, most: int = 2**31 - 1) -> click.IntRange:
    """A whole number of things."""
    return click.IntRange(least, most)


LARGEST_SIDE = 1024
"""Pixels: larger images than networks are made for, and few enough for a batch of them to fit into memory."""
PIECE = re.compile(r"(?:[^,]|,,)+")
"""What commas part from other pieces; two commas do not."""


def together(*options: Decorator) -> Decorator:
    """Several options as one decorator; the first stands first in the help."""
    return lambda command: reduce(lambda decorated, option: option(decorated), reversed(options), command)


def names(*flags: str, help: str) -> Decorator:
    """Names, separated by commas or in options of their own, each kept once; None where the option is not given.

    A comma that belongs to a name is written twice.
    """

    def split(context: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...] | None:
        found = [part for text in texts for part in _parts(text)]
        return tuple(dict.fromkeys(found)) if texts else None

    return click.option(*flags, metavar="A,B,...", multiple=True, callback=split, help=help)


def _parts(text: str) -> list[str]:
    """What commas part; an image set of one's own that is not there may be the first half of a name with one."""
    parts = [part for piece in PIECE.findall(text) if (part := piece.strip())]
    for part, following in pairwise(parts):
        path = part.partition(":")[2].replace(",,", ",")
        if part.startswith(SOURCES) and not expanded(path).exists():
            raise UsageError(f"{path} is not there; a comma within a name is written twice: {part},,{following}.")
    return [part.replace(",,", ",") for part in parts]


def seed(help: str) -> Decorator:
    """`--seed`, with what it is the seed of."""
    return click.option("--seed", type=count(0, LARGEST_WHOLE), default=0, help=help)


DATA = "Folder of the data sets.  [default: $SNNL_DATA, else data]"
OFTEN = "How often to save what a training goes on from; 0: after every step."
SIDE = "Side to decode folder:PATH or zip:PATH to.  [default: near theirs]"
STRETCH = "Spread the values seen in files of 16 bits over 0 to 255.  [default: their upper 8 bits]"
COLOUR = "Decode folder:PATH or zip:PATH to grey or colour.  [default: grey if all files are]"

folder = click.argument("folder", type=A_FOLDER)
json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line on stdout.")
runs = click.option("--runs", type=ANY_FOLDER, default=Path("runs"), help="Folder of the runs.")
jobs = click.option("--jobs", type=count(), help="Cells side by side.  [default: one a core]")
data = click.option("--data", type=ANY_FOLDER, callback=lambda _, __, given: data_root(given), help=DATA)
download = click.option("--download/--no-download", default=True, help="Download data that are not there.")
reading = together(data, download)
"""Of every command that reads image sets."""
own_files = together(
    click.option("--skip-bad", is_flag=True, help="Go on without files that cannot be decoded."),
    click.option("--follow-links", is_flag=True, help="Take what links of folder:PATH lead to, wherever it is."),
)
"""Of every command that reads image sets of a user's own, whatever decides how they are decoded."""
own_images = together(
    click.option("--channels", type=click.Choice([1, 3]), help=COLOUR),
    click.option("--stretch", is_flag=True, help=STRETCH),
    own_files,
)
"""Of every command that takes a user's own images."""
MODEL = (
    "The network: torchvision:NAME, or FILE.py:NAME for one of your own, or a class or function that builds it. "
    "FILE.py is code that you ask to run: take only what you trust."
)
WEIGHTS = "Its .safetensors, or torch state dict.  [default: random ones]"
COLOURS = (
    "By ImageNet's colours, in three channels; none: values in [0, 1].  [default: imagenet for torchvision, else none]"
)


normalize = click.option("--normalize", type=click.Choice(["imagenet", "none"]), help=COLOURS)


def foreign_network(layers: str, *, required: bool) -> Decorator:
    """The options of a network that was made elsewhere; `layers` is what the help says of those."""
    return together(
        click.option("--model", required=required, help=MODEL),
        click.option("--weights", type=A_FILE, help=WEIGHTS),
        names("--layers", help=layers),
        click.option(
            "--size", type=count(most=LARGEST_SIDE), help="Side to resize images to, in pixels.  [default: their own]"
        ),
        normalize,
    )


NAMED = "What reports call the images of folder:PATH or zip:PATH.  [default: the folder's name]"
training = together(
    click.option("--size", type=click.Choice(SIZES), help=SIDE),
    own_images,
    click.option("--name", "title", help=NAMED),
    click.option("--checkpoint-minutes", type=Number(0, 1e6), default=5.0, help=OFTEN),
    names("--tracker", help="Tell losses to tensorboard, wandb, ... too, offline."),
    reading,
)
"""Of every command that trains on images: `training_place` takes them."""


def executing(default: str) -> Decorator:
    """Where cells are done: `place_of` takes it."""
    return together(
        click.option("--executor", default=default, help="Where cells are done; list executors tells."),
        click.option("--slurm", metavar="NAME=VALUE", multiple=True, help="An option of Slurm's sbatch, as it has it."),
        click.option("--slurm-profile", type=A_FILE, help="TOML file of such options.  [default: $SNNL_SLURM]"),
    )


def _formats(only_svg: bool) -> tuple[str, ...]:
    from lab.reporting.report import FORMATS  # with it comes numpy, which help need not wait for

    return FORMATS[:1] if only_svg else FORMATS


formats = click.option(
    "--svg-only",
    "formats",
    is_flag=True,
    callback=lambda context, parameter, only: _formats(only),
    help="Write no PDF and PNG files of figures, which take most of the time of drawing.",
)
detach = click.option("--detach", is_flag=True, help="Leave the cells in Slurm's queue, and do not wait for them.")


def place_of(values: dict[str, Any], detach: bool = False) -> Place:
    """Remove the options `executing`, and `jobs` if it is there, from a command's values; the place that they name.

    Raises:
        UsageError: there is no such executor, it cannot be used here, or options are for another one.
    """
    executor, jobs = registry.check("executors", values.pop("executor")), values.pop("jobs", None)
    given, profile = values.pop("slurm"), values.pop("slurm_profile")
    if executor != "slurm":
        if given or profile or detach:
            name = "--slurm" if given else "--slurm-profile" if profile else "--detach"
            raise UsageError(f"{name} is for --executor slurm.")
        return Place(executor, jobs)
    file = profile or os.environ.get("SNNL_SLURM")
    asked = Asked.of(given, expanded(file) if file else None)
    slurm.check()
    return Place(executor, jobs, asked)


def of(settings: type[Config]) -> Decorator:
    """An option for each field but hidden ones, without a default: `taken` tells what was given."""
    return together(*(_option(name, field) for name, field in _shown(settings).items()))


def taken(values: dict[str, Any], settings: type[Config]) -> dict[str, Any]:
    """Remove the options of settings from a command's values; those that were given on the command line."""
    found = {name: values.pop(name) for name in _shown(settings)}
    return {name: value for name, value in found.items() if value is not None}


def decoded(imageset: str, data: Path, size: int | None, values: dict[str, Any]) -> str:
    """The name by which cells know an image set; the options `own_images` are removed from a command's values.

    Images of the user's own are decoded to the size; others are resized where they are shown, whatever their side.
    """
    how = {name: values.pop(name) for name in ("channels", "stretch", "skip_bad", "follow_links")}
    return settle(imageset, data, size=size if imageset.startswith(SOURCES) else None, **how, say=say)


def training_place(
    data: Path, download: bool, tracker: tuple[str, ...] | None, checkpoint_minutes: float, **decoding: Any
) -> tuple[Path, dict[str, Any], Callable[[str], str]]:
    """From the options of a training: the folder of the data, what cells' folders say of it all, and what gives the
    name by which cells know an image set, for which it decodes images of the user's own.

    Raises:
        UsageError: a tracker is unknown, or not installed.
    """
    check_trackers(tracker or ())
    root = data.resolve()
    local = {"data": str(root), "download": download, "checkpoint_minutes": checkpoint_minutes}
    return root, local | ({"trackers": [*tracker]} if tracker else {}), partial(settle, root=root, **decoding, say=say)


def _shown(settings: type[Config]) -> dict[str, FieldInfo]:
    return {name: field for name, field in settings.model_fields.items() if field.json_schema_extra != HIDDEN}


def _option(name: str, field: FieldInfo) -> Decorator:
    extra: Any = field.json_schema_extra or {}
    flags = [f"--{name.replace('_', '-')}", *([extra["also"]] if "also" in extra else []), name]
    union = get_origin(field.annotation) in (Union, UnionType)
    members = [kind for kind in (get_args(field.annotation) if union else [field.annotation]) if kind is not NoneType]
    kinds = [get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in members]
    if kinds == [bool]:
        return click.option(f"{flags[0]}/--no-{flags[0][2:]}", default=None, help=_help(field))
    if get_origin(kinds[0]) is tuple:
        return names(*flags, help=_help(field))
    kind: Any = kinds[0] if len(kinds) == 1 else str  # of several kinds, the settings make one of a text
    choice = click.Choice(get_args(kind)) if get_origin(kind) is Literal else None
    return click.option(*flags, type=choice or (kind if kind in (int, float) else str), help=_help(field))


def _help(field: FieldInfo) -> str:
    """What a field means, and its default if it has one of its own: else presets say it."""
    default = field.default
    if field.is_required() or isinstance(default, bool) or default in (None, ()):
        return field.description or ""
    return f"{field.description}  [default: {','.join(map(str, default)) if isinstance(default, tuple) else default}]"
