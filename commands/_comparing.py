"""What commands share that compare images: their options, and the feature space that these name."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands import _options as options
from commands import _paths as paths
from lab.errors import UsageError, say
from lab.running.one import do_cell
from tasks._spaces import evaluator

if TYPE_CHECKING:
    from evaluation.spaces import Space

FEATURES = (
    "Where to compare: pixels, inception, torchvision:NAME, the folder of a classifier's or a GAN's training, or "
    "FILE.py:NAME or a TorchScript file, code that you ask to run: take only what you trust.  [default: a classifier "
    "of the images' classes, trained once; else pixels]"
)
WEIGHTS = "Of a network made elsewhere: its .safetensors, or torch state dict."
N = "How many images a side.  [default: half of the real ones, or all generated ones; at most 10000]"
SIDE = "Side to resize the images to, in pixels.  [default: their own, up to 256]"

comparing = options.together(
    click.option("--features", help=FEATURES),
    click.option("--weights", type=paths.A_FILE, help=WEIGHTS),
    click.option("--n", type=options.count(2), help=N),
    click.option("--size", type=options.count(most=options.LARGEST_SIDE), help=SIDE),
    options.normalize,
)


def space_named(
    features: str | None,
    labelled: Iterable[str | None],
    runs: Path,
    *,
    weights: Path | None,
    size: int | None,
    normalize: Any,
    data: Path,
    download: bool,
) -> "Space":
    """The feature space of the options; of none, that of a classifier of an image set that is `labelled`."""
    from evaluation.named import space_called

    reference = features or _default_space(labelled, runs, {"data": str(data), "download": download})
    return space_called(reference, weights=weights, size=size, normalize=normalize, data=data, download=download)


def _default_space(labelled: Iterable[str | None], runs: Path, local: dict[str, Any]) -> str:
    """The folder of a classifier of the images' classes, trained if need be; the pixels where none can be."""
    known = next(filter(None, labelled), None)
    if known is None:
        say("These images have no classes to be told apart by, so pixels are compared; --features names a network.")
        return "pixels"
    try:
        cell = evaluator(known, Path(local["data"]))
    except UsageError as error:
        why = str(error).rstrip(".")
        say(f"No classifier can learn {known} ({why}), so pixels are compared; --features names a network.")
        return "pixels"
    return str(do_cell(cell, runs, local).path)
