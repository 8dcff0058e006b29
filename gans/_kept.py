"""What a training keeps of its generator, below its cell's folder. Free of torch, so that a report can read it."""

import re
from pathlib import Path

from lab.cells.layout import SAMPLES
from lab.training.snapshots import snapshot_file

NEAREST = "nearest.npz"
"""Of each image of the last grid, row by row, the nearest training image: `position` int64 (n,) in the train split,
`images` uint8 (n, c, h, w), and `labels` int64 (n,) where there are any. A conditional GAN has none."""
GRID = re.compile(r"kimg-(\d+\.\d+)\.png")


def kept_files(kimg: float, step: int) -> tuple[Path, Path]:
    """The generator's weights, and a grid of images."""
    return snapshot_file(kimg, step), Path(SAMPLES, f"kimg-{kimg:011.3f}.png")


def grids(cell: Path) -> list[tuple[float, Path]]:
    """The grids of images below a training cell's folder, in the order of the training, each after its kimg."""
    named = ((GRID.fullmatch(path.name), path) for path in sorted((cell / SAMPLES).glob("*.png")))
    return [(float(name[1]), path) for name, path in named if name]
