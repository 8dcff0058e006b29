"""Measure a network, features or images of your own: entanglement, support by training points, real and generated."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands import Told
from commands import _options as options
from commands import _paths as paths
from commands._comparing import comparing, space_named
from commands._printing import print_json, print_rows, tell
from commands._sharing import shared
from lab.errors import UsageError, say
from lab.processes import rank

if TYPE_CHECKING:
    from evaluation.sources import Images
    from evaluation.spaces import Space

MEASURED = ("score", "loss", "temperature", "bound", "at_limit", "n_valid")
FEW_CLASSES = 20
"""Up to so many, a table of class against class can be read."""
FEW_INPUTS = 20
"""Up to so many, each has a line."""
DISTANCES = click.Choice(["sqeuclidean", "cosine"])
MODES = click.Choice(["valid", "smoothed", "paper"])
INDEX = "Approximate neighbours, by an index of faiss: HNSW32, IVF256,Flat:nprobe=16, ...  [default: exact ones]"
AVERAGED = "Average larger maps to so many numbers an image.  [default: 4096, or one a channel where there are more]"
KEPT = "Write features and labels to this .npz, too, as measure credibility reads them."
PAGE = "Write a page with figures and images to this folder, too."
COLD = "At the cold end it tells nothing of the other points: take more anchors."
"""Of the standard error."""
FEW_ANCHORS = "not known, as fewer than two of these have another point of their class: take more."
measuring_options = options.together(
    click.option("--distance", type=DISTANCES, default="sqeuclidean", help="Squared Euclidean, or 1 - cos."),
    click.option("--anchors", type=options.count(), help="Estimate from so many random points.  [default: from all]"),
)

command = Told("measure", help=__doc__)


@command.command()
@options.foreign_network(
    "Modules or nodes of its graph.  [default: modules; one with most nodes is opened]", required=True
)
@click.option("--imageset", required=True, help="The images to show it; folder:PATH or zip:PATH for your own.")
@options.own_images
@click.option("--split", default="test", help="Split that the images are of.")
@click.option("--n", type=options.count(2), help="How many random images.  [default: 1000, or all there are]")
@click.option("--max-features", type=options.count(), help=AVERAGED)
@options.seed("Seed of the choice of images and anchors, and of random weights.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to compute.")
@click.option("--out", type=paths.NewFile(".npz"), help=KEPT)
@measuring_options
@options.reading
@shared()
@options.json
def layers(imageset: str, data: Path, size: int | None, as_json: bool, **settings: Any) -> None:
    """Print how entangled the classes are in every layer of a network that was made elsewhere."""
    from outside import own
    from outside.network import measure_network

    network = own.build(settings["model"], settings["weights"], settings["seed"])  # before anything is decoded for it
    images = options.decoded(imageset, data, size, settings)
    found = measure_network(imageset=images, data=data, size=size, network=network, **settings, say=say)
    columns = ["layer", "features", *MEASURED, *(["stderr"] if settings["anchors"] else [])]
    print_rows(columns, [vars(row) for row in found.layers])
    if settings["anchors"] and any(row.at_limit == "cold" for row in found.layers):
        say(f"stderr is that of the loss, from the choice of anchors. {COLD}")
    print_json(found.plain(), as_json)


@command.command()
@click.argument("file", type=paths.A_FILE)
@measuring_options
@shared()
@options.json
def features(file: Path, as_json: bool, **settings: Any) -> None:
    """Print how entangled the classes are in a FILE, .npz or .safetensors, with the arrays x (n, ...) and labels (n,):
    of all points, of each class and, up to 20 classes, of class against class.
    """
    from outside.points import measure_file

    found = measure_file(file, **settings, say=say)
    print_rows(["anchors", *MEASURED], found.rows)
    if settings["anchors"]:
        known = FEW_ANCHORS if math.isnan(found.whole.stderr) else f"{found.whole.stderr:.3g}."
        say(f"Standard error of the loss of all, from the choice of anchors: {known}")
        if found.whole.at_limit == "cold":
            say(COLD)
    if len(found.classes) <= FEW_CLASSES:
        tell("\nMean softmax mass of a row's anchors on a column's class:")
        print_rows(["anchors", *map(str, found.classes)], found.pairs)
    print_json(found.plain(), as_json)


@command.command()
@click.option("--train", type=paths.A_FILE, required=True, help="The points that the network was trained on.")
@click.option("--calibrate", type=paths.A_FILE, required=True, help="Points held out from all training and choosing.")
@click.option("--test", type=paths.A_FILE, required=True, help="The points to look at; they need no labels.")
@click.option("--k", type=options.count(), default=75, help="Neighbours in each layer.")
@click.option("--distance", type=DISTANCES, default="cosine", help="1 - cos, or squared Euclidean.")
@click.option("--mode", type=MODES, default="valid", help="Formula of the p-values: docs/dknn.md.")
@click.option("--class-conditional", is_flag=True, help="Compare with calibration points of the label's own class.")
@click.option("--allow-overlap", is_flag=True, help="Calibrate with points of --train too: p-values get too small.")
@click.option("--index", metavar="TEXT", help=INDEX)
@options.seed("Seed of what smoothed p-values draw.")
@click.option("--out", type=paths.NewFile(".npz"), help="Write the whole prediction to this .npz, too.")
@shared()
@options.json
def credibility(out: Path | None, as_json: bool, sharded: bool, **settings: Any) -> None:
    """Print how well training points support the predictions for others (Deep k-nearest neighbours). The points are in
    three files, .npz or .safetensors: the array labels (n,), and for each layer an array (n, ...) of any name.
    """
    from outside.credibility import measure_credibility

    if out and out.exists() and any(out.samefile(settings[name]) for name in ("train", "calibrate", "test")):
        raise UsageError(f"--out {out} is one of the files to be read: name another.")
    found = measure_credibility(**settings, sharded=sharded, say=say)
    if out and not (sharded and rank()):
        found.save(out)
    print_rows([*found.summary], [found.summary])
    for title, rows in (
        ("Share of true labels whose p-value is at most the level:", found.validity),
        ("Each input:", found.inputs if len(found.inputs) <= FEW_INPUTS else []),
    ):
        if rows:
            tell(f"\n{title}")
            print_rows([*rows[0]], rows)
    print_json(found.plain(), as_json)


def _opened(
    real: str,
    generated: str,
    *,
    features: str | None,
    weights: Path | None,
    n: int | None,
    size: int | None,
    normalize: Any,
    seed: int,
    runs: Path,
    data: Path,
    download: bool,
    **decoding: Any,
) -> "tuple[Images, Images, Space]":
    """The images of both sides, and where they are compared."""
    from evaluation.measured import usual_size
    from evaluation.sources import apart, open_images

    root = data.resolve()
    opening = {**decoding, "data": root, "download": download, "size": size, "seed": seed, "say": say}
    ones = open_images(real, **opening)
    others = open_images(generated, **opening, count=n or usual_size(len(ones)))
    ones, others = apart(ones, others, data=root, say=say)
    network: dict[str, Any] = {"weights": weights, "size": size, "normalize": normalize}
    labelled = [ones.labelled, others.labelled]
    return ones, others, space_named(features, labelled, runs, data=root, download=download, **network)


def _train_evaluator(out: Path | None, as_json: bool, **values: Any) -> None:
    if not values["features"]:
        _opened(**values)


@command.command()
@click.argument("real")
@click.argument("generated")
@comparing
@options.own_images
@options.seed("Seed of the choice of images, and of a GAN's latent noise.")
@click.option("--out", type=paths.A_REPORT, help=PAGE)
@options.runs
@options.reading
@shared(ready=_train_evaluator)
@options.json
def images(n: int | None, seed: int, runs: Path, out: Path | None, as_json: bool, sharded: bool, **values: Any) -> None:
    """Compare GENERATED images with REAL ones, by every measure, beside what other real images give.

    Each is a folder or .zip of images, an .npz (uint8), an image set, or a GAN, named by the folder of its training or
    by a .safetensors kept there.
    """
    from evaluation.measured import measure_images
    from evaluation.page import report
    from lab.reporting.report import write_report

    ones, others, space = _opened(n=n, seed=seed, runs=runs, **values)
    found = measure_images(ones, others, replace(space, sharded=sharded), n=n, seed=seed, runs=runs, say=say)
    if sharded and rank():
        return
    for text in found.remarks:
        say(f"Warning: {text}")
    for text in found.left_out:
        say(f"Left out: {text}")
    print_rows(["measure", "side", "value", "floor", "gap"], found.rows)
    if out:
        say(f"Report: {write_report(report(found), [], found.left_out, out)}")
    print_json(found.plain(), as_json)
