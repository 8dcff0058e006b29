"""Compare real images with other real ones by every measure: the floor that values of GANs are held against."""

from pathlib import Path

from pydantic import Field

import imagesets
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.errors import UsageError
from tasks import _spaces as spaces
from tasks._images import KEPT, Compared, keep_real

VERSION = 1
SPLITS = ("test", "train")
"""Where both halves are from: the first split that is large enough, held-out images first."""


class Config(Compared):
    """What is compared, where, and how often."""

    space: spaces.Kind = Field("pixels", description="the feature space")
    draws: int = Field(5, ge=1, description="disjoint pairs of disjoint halves, or as many as there are images for")

    @property
    def split(self) -> str:
        """The split that both halves are drawn from.

        Raises:
            UsageError: none is large enough.
        """
        held = self.spec_of_images.n
        for split in SPLITS:
            if held.get(split, 0) >= 2 * self.n:
                return split
        raise UsageError(
            f"{self.imageset} has no split of {2 * self.n} images, which real against real needs at n = {self.n}."
        )


def cell(images: str, n: int, data: Path, space: spaces.Where = "pixels") -> Cell[Config]:
    """Compare real images with others of the same split, n a side, in a space as for `tasks.evaluate_gan`.

    Raises:
        UsageError: no split holds twice as many images.
    """
    config = Config(imageset=images, spec=imagesets.recorded_spec(images, data), n=n, space=spaces.kind_of(space))
    return Cell(
        "evaluate-floor",
        f"floor-{imagesets.label(images)}-{config.split}",
        config,
        spaces.versions("evaluate-floor"),
        imagesets.fingerprint(images, data),
        needs=spaces.needs_of(space),
        cost=config.draws * (0.5 + 2 * (n / 1000) ** 2) + 5,
    )


def run(folder: CellFolder) -> None:
    """Rows of `metrics.comparison` of disjoint halves of real images, several pairs without an image in common.

    `seed` numbers the pairs, `split` is where both halves are from. Some of the images are kept in `real.npz`.
    """
    from lab.training.draws import subset
    from metrics.comparison import compare

    config = folder.settings(Config)
    space = spaces.space_of(config.space, folder.needs[0] if folder.needs else None)
    found = imagesets.load(config.imageset, config.split, **folder.data)
    draws = min(config.draws, len(found) // (2 * config.n))
    picked = subset(len(found), 2 * config.n * draws, 0, "floor")
    keep_real(folder, found.pixels(picked[:KEPT]), None if found.labels is None else found.labels[picked])
    seen = spaces.see_real(space, found.pixels(picked), folder)
    for number in range(draws):
        folder.event("progress", done=number, total=draws, text=f"{number} of {draws} pairs")
        one, other = (slice(start, start + config.n) for start in (2 * number * config.n, (2 * number + 1) * config.n))
        labels = None if found.labels is None else found.labels[picked[one]]
        half, rest = seen.part(one), seen.part(other)
        choices = space.predictions(half, rest)
        about = {"kind": "reference", "model": "real", "imageset": config.imageset, "seed": number}
        place = {"split": config.split, "space": space.name, "layer": space.layer}
        for row in compare(half.features, rest.features, real_labels=labels, predicted=choices).rows:
            folder.row(**about, **place, **row)
