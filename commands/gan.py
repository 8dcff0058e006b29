"""Train a GAN of the zoo, or draw images from one."""

from pathlib import Path

import click

from commands import _options as options
from commands._train import train_group

command = click.Group("gan", help=__doc__)
command.add_command(train_group("gans", "--kimg"))


@command.command()
@options.folder
@click.option("-n", "count", type=options.count(most=65_536), default=64, help="How many images.")
@click.option("--out", type=options.NEW_FILE, default=Path("grid.png"), help="The PNG to write.")
@options.seed("Seed of the latent noise.")
@click.option("--kimg", type=options.Number(0, 1e9), help="Take the snapshot nearest to this.  [default: the last]")
def sample(folder: Path, count: int, out: Path, seed: int, kimg: float | None) -> None:
    """Draw images from a trained GAN's FOLDER into one PNG."""
    from gans._snapshots import sample_grid

    snapshot = sample_grid(folder, count, out, seed=seed, kimg=kimg)
    click.echo(f"{out}: {count} images after {snapshot.kimg:g} kimg")
