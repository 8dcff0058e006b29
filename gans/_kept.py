"""What a training keeps of its generator, below its cell's folder. Free of torch, so that a report can read it."""

from pathlib import Path

from lab.cells.layout import SAMPLES
from lab.training.snapshots import snapshot_file

PREFIX = "kimg-"


def kept_files(kimg: float, step: int) -> tuple[Path, Path]:
    """The generator's weights, and a grid of images."""
    return snapshot_file(kimg, step), Path(SAMPLES, f"{PREFIX}{kimg:011.3f}.png")


def kimg_of(grid: Path) -> float:
    """Thousands of real images shown when a grid of images was kept."""
    return float(grid.stem.removeprefix(PREFIX))
