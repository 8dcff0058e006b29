"""Train a GAN of the zoo, draw images from it, and compare it with others."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from commands import Told
from commands import _options as options
from commands import _paths as paths
from commands._comparing import comparing, space_named
from commands._printing import print_json, print_rows, tell
from commands._train import train_group
from lab.errors import say

ONE = "Draw this class alone, by name or number, from a conditional GAN.  [default: all classes]"
OUT = "The PNG that shows all of them, an .npz, or a new folder for a PNG of each."
OF_WEIGHTS = "Of a .safetensors that does not say what network it is of: its training's config.json."
weights_of = click.option("--config", type=paths.A_FILE, help=OF_WEIGHTS)
trained = options.together(
    click.argument("folder", type=paths.A_PATH),
    click.option("--kimg", type=options.Number(0, 1e9), help="Take the snapshot nearest to this.  [default: the last]"),
    weights_of,
    options.seed("Seed of the latent noise."),
)
"""Of every command that draws from one GAN."""

command = Told("gan", help=__doc__)
command.add_command(train_group("gans", "--kimg"))


@command.command()
@trained
@click.option("-n", "count", type=options.count(most=65_536), default=64, help="How many images.")
@click.option("--class", "label", metavar="TEXT", help=ONE)
@click.option("--out", type=paths.NewFile(folders=True), default=Path("grid.png"), help=OUT)
def sample(
    folder: Path, kimg: float | None, config: Path | None, seed: int, count: int, label: str | None, out: Path
) -> None:
    """Draw images from a trained GAN, named by the FOLDER of its training, or by a .safetensors kept there."""
    from gans._sampling import kind_of, sample
    from gans._trained import open_gan

    kind_of(out)
    gan = open_gan(folder, kimg=kimg, config=config)
    sample(gan, count, out, seed=seed, label=None if label is None else gan.label(label))
    tell(f"{out}: {count} images{gan.when}")


@command.command()
@trained
@click.option("--rows", type=options.count(most=256), default=8, help="How many ways.")
@click.option("--steps", type=options.count(2, 256), default=10, help="Images on each way, its ends among them.")
@click.option("--out", type=paths.NewFile(".png"), default=Path("interpolation.png"), help="The PNG to write.")
def interpolate(
    folder: Path, kimg: float | None, config: Path | None, seed: int, rows: int, steps: int, out: Path
) -> None:
    """Draw rows of images that lead from one latent to another; of a conditional GAN from class to class, too."""
    from gans._interpolation import interpolations
    from gans._pictures import save_grid
    from gans._trained import open_gan

    gan = open_gan(folder, kimg=kimg, config=config)
    shown = interpolations(gan, rows, steps, seed)
    save_grid(shown, out)
    tell(f"{out}: {len(shown)} ways of {steps} images{gan.when}")


@command.command()
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...", type=paths.A_PATH)
@weights_of
@comparing
@options.seed("Seed of the choice of images, and of the latent noise.")
@click.option("--out", type=paths.A_PAGE, help="Write a page with images of all of them, too.")
@options.runs
@options.reading
@options.json
def compare(
    folders: tuple[Path, ...],
    config: Path | None,
    features: str | None,
    n: int | None,
    seed: int,
    out: Path | None,
    runs: Path,
    data: Path,
    download: bool,
    as_json: bool,
    **network: Any,
) -> None:
    """Compare GANs, by every measure, with the real images that they learned; beside them what other real images give.
    Each FOLDER is that of a training, or a .safetensors kept there.
    """
    from evaluation.measured import measure_each, usual_size
    from evaluation.side_by_side import SideBySide, named
    from evaluation.sources import generated, open_images
    from gans._trained import open_gan
    from lab.reporting.report import write_page

    root = data.resolve()
    gans = named([open_gan(folder, config=config if folder.is_file() else None) for folder in folders])
    imageset = next(iter(gans.values())).run.imageset
    real = open_images(imageset, data=root, download=download).held_out_alone
    space = space_named(features, [real.labelled], runs, data=root, download=download, **network)
    drawing: dict[str, Any] = {"seed": seed, "data": root, "download": download}
    sides = [generated(gan, n or usual_size(len(real)), name=name, **drawing) for name, gan in gans.items()]
    sides = [replace(side, trained=sides[0].trained) for side in sides]  # the same for all, so looked through once
    measured = measure_each(real, sides, space, n=n, seed=seed, runs=runs, say=say)
    found = SideBySide(gans, dict(zip(gans, measured, strict=True)))
    for name, gan in gans.items():
        say(f"{name}: {gan.name}{gan.when}")
    for text in found.notes:
        say(text)
    print_rows([*found.rows[0]], found.rows)
    if out:
        write_page(found.report(), out)
        say(f"Page: {out}")
    print_json(found.plain(), as_json)
