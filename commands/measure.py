"""Measure a network or features of your own: how entangled classes are, how well training points support labels."""

from pathlib import Path
from typing import Any

import click

from commands import _options as options
from commands._printing import print_json, print_rows, say
from imagesets import SOURCES, settle

MEASURED = ("score", "loss", "temperature", "bound", "at_limit", "n_valid")
FEW_CLASSES = 20
"""Up to so many, a table of class against class can be read."""
FEW_INPUTS = 20
"""Up to so many, each has a line."""
AT_LEAST_1 = click.IntRange(1)
DISTANCES, NORMALIZE = click.Choice(["sqeuclidean", "cosine"]), click.Choice(["imagenet", "none"])
MODES = click.Choice(["valid", "smoothed", "paper"])
MODEL = (
    "The network: torchvision:NAME, or FILE.py:NAME for a class or function that builds one of your own. FILE.py is "
    "code that you ask to run: take only what you trust."
)
COLOURS = (
    "By ImageNet's colours, in three channels; none: values in [0, 1].  [default: imagenet for torchvision, else none]"
)
KEPT = "Write features and labels to this .npz, too, as measure credibility reads them."
measuring_options = options.together(
    click.option("--distance", type=DISTANCES, default="sqeuclidean", help="Squared Euclidean, or 1 - cos."),
    click.option("--anchors", type=AT_LEAST_1, help="Estimate from so many random points against all.  [default: all]"),
)

command = click.Group("measure", help=__doc__)


@command.command()
@click.option("--model", required=True, help=MODEL)
@click.option("--weights", type=options.A_FILE, help="Its .safetensors, or torch state dict.  [default: random ones]")
@click.option("--imageset", required=True, help="The images to show it; folder:PATH or zip:PATH for your own.")
@options.own_images
@click.option("--split", default="test", help="Split that the images are of.")
@click.option("--n", type=click.IntRange(2), help="How many random images.  [default: 1000, or all there are]")
@options.names("--layers", help="Modules or nodes of its graph.  [default: modules; one with most nodes is opened]")
@click.option("--max-features", type=AT_LEAST_1, default=4096, help="Average larger maps to so many numbers an image.")
@click.option("--size", type=AT_LEAST_1, help="Side to resize the images to, in pixels.  [default: their own]")
@click.option("--normalize", type=NORMALIZE, help=COLOURS)
@options.seed("Seed of the choice of images and anchors, and of random weights.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to compute.")
@click.option("--out", type=options.NEW_FILE, help=KEPT)
@measuring_options
@options.reading
@options.json
def layers(imageset: str, data: Path, size: int | None, as_json: bool, **settings: Any) -> None:
    """Print the entanglement of every layer of a network that was made elsewhere."""
    decoded_to = size if imageset.startswith(SOURCES) else None  # others are resized, whatever their side
    images = settle(imageset, data, size=decoded_to, **options.decoding(settings), say=say)
    from outside.network import measure_network  # after the decoding, whose processes start faster without torch

    found = measure_network(imageset=images, data=data, size=size, **settings, say=say)
    columns = ["layer", "features", *MEASURED, *(["stderr"] if settings["anchors"] else [])]
    print_rows(columns, [vars(row) for row in found.layers])
    print_json(found.plain(), as_json)


@command.command()
@click.argument("file", type=options.A_FILE)
@measuring_options
@options.json
def features(file: Path, as_json: bool, **settings: Any) -> None:
    """Print the entanglement of a FILE .npz or .safetensors with the arrays x (n, ...) and labels (n,): of all points,
    of each class and, up to 20 classes, of class against class.
    """
    from outside.points import measure_file

    found = measure_file(file, **settings, say=say)
    print_rows(["anchors", *MEASURED], found.rows)
    if settings["anchors"]:
        say(f"Standard error of the loss of all, from the choice of anchors: {found.whole.stderr:.3g}.")
    if len(found.classes) <= FEW_CLASSES:
        click.echo("\nMean softmax mass of a row's anchors on a column's class:")
        print_rows(["anchors", *map(str, found.classes)], found.pairs)
    print_json(found.plain(), as_json)


@command.command()
@click.option("--train", type=options.A_FILE, required=True, help="The points that the network was trained on.")
@click.option("--calibrate", type=options.A_FILE, required=True, help="Points held out from all training and choosing.")
@click.option("--test", type=options.A_FILE, required=True, help="The points to look at; they need no labels.")
@click.option("--k", type=AT_LEAST_1, default=75, help="Neighbours in each layer.")
@click.option("--distance", type=DISTANCES, default="cosine", help="1 - cos, or squared Euclidean.")
@click.option("--mode", type=MODES, default="valid", help="Formula of the p-values: docs/dknn.md.")
@click.option("--class-conditional", is_flag=True, help="Compare with calibration points of the label's own class.")
@click.option("--allow-overlap", is_flag=True, help="Calibrate with points of --train too: p-values get too small.")
@options.seed("Seed of what smoothed p-values draw.")
@click.option("--out", type=options.NEW_FILE, help="Write the whole prediction to this .npz, too.")
@options.json
def credibility(out: Path | None, as_json: bool, **settings: Any) -> None:
    """Print how well training points support the predictions for others (Deep k-nearest neighbours), of three files
    .npz or .safetensors with the array labels (n,) and an array (n, ...) for each layer, of any name.
    """
    from outside.credibility import measure_credibility

    found = measure_credibility(**settings, say=say)
    if out:
        found.save(out)
    print_rows([*found.summary], [found.summary])
    for title, rows in (
        ("Share of true labels whose p-value is at most the level:", found.validity),
        ("Each input:", found.inputs if len(found.inputs) <= FEW_INPUTS else []),
    ):
        if rows:
            click.echo(f"\n{title}")
            print_rows([*rows[0]], rows)
    print_json(found.plain(), as_json)
