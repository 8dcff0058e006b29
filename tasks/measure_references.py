"""Measure real images against real ones, and noise against real ones: what measures of GANs are held against."""

from pathlib import Path

from pydantic import Field

import imagesets
from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from tasks._images import Compared, draw, keep_real

VERSION = 1


class Config(Compared):
    """What is measured, and how often."""

    draws: int = Field(8, ge=1, description="random draws of each")


def cell(images: str, n: int, data: Path) -> Cell[Config]:
    """Measure real against real (held-out against training images) and noise against held-out, n a side."""
    return Cell(
        "measure-references",
        f"references-{imagesets.label(images)}",
        Config(imageset=images, spec=imagesets.recorded_spec(images, data), n=n),
        registry.versions("tasks/measure-references", "snnl_core"),
        imagesets.fingerprint(images, data),
        cost=8,
    )


def run(folder: CellFolder) -> None:
    """Rows of `metrics.real_generated` for real against real and for noise, several random draws of each.

    Some of the held-out images are kept in `real.npz`.
    """
    import torch

    from lab.training.draws import random_generator
    from metrics.real_generated import measure

    config = folder.settings(Config)
    for number in range(config.draws):
        folder.event("progress", done=number, total=config.draws, text=f"{number} of {config.draws} draws")
        real, labels = draw(folder, config.imageset, "test", config.n, number)
        if number == 0:
            keep_real(folder, real, labels)
        generator = random_generator(number, "noise")
        noise = torch.randint(0, 256, real.shape, generator=generator, dtype=torch.uint8, device="cpu")
        others = {"real": draw(folder, config.imageset, "train", config.n, number)[0], "noise": noise}
        for model, other in others.items():
            about = {"kind": "reference", "model": model, "imageset": config.imageset, "seed": number}
            for row in measure(real, other, labels):
                folder.row(**about, split="test", space="pixels", **row)
