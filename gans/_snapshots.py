"""Snapshots of a generator in training: its averaged weights at the asked-for kimg, and images drawn from them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from gans._config import GanConfig
from lab import imageset, registry
from lab.draws import random_generator
from lab.errors import WorkbenchError
from lab.files import replacing
from lab.folder import CellFolder
from lab.tensors import load_weights

FOLDER = "snapshots"
NAME = re.compile(r"kimg-(\d+\.\d+)-step-(\d+)\.safetensors")


@dataclass(frozen=True)
class Snapshot:
    """One saved generator: where it lies, the kimg it had seen (thousands of real images), and its updates."""

    path: Path
    kimg: float
    step: int


def kept_files(kimg: float, step: int) -> tuple[Path, Path]:
    """What is kept of a generator, below a training cell's folder: its weights, and a grid of images."""
    return Path(FOLDER, f"kimg-{kimg:011.3f}-step-{step:08d}.safetensors"), Path("samples", f"kimg-{kimg:011.3f}.png")


def snapshots(cell: Path) -> list[Snapshot]:
    """The snapshots of a training cell, in order of training.

    Raises:
        WorkbenchError: there is none.
    """
    found = []
    for path in sorted((cell / FOLDER).glob("kimg-*.safetensors")):
        if name := NAME.fullmatch(path.name):
            found.append(Snapshot(path, float(name[1]), int(name[2])))
    if not found:
        raise WorkbenchError(f"{cell} holds no generator: train it first, or take a folder that kept its weights.")
    return found


def load_generator(snapshot: Snapshot, config: Mapping[str, Any]) -> nn.Module:
    """The generator of a snapshot, in evaluation mode, on the CPU; `config` is that of its training.

    Raises:
        WorkbenchError: the file is damaged, or does not fit.
    """
    module = registry.load("gans", config["gan"])
    settings: GanConfig = module.Config.parse(config["settings"])
    generator: nn.Module = module.Generator(settings, imageset.spec_of(config)).eval()
    load_weights(generator, snapshot.path)
    return generator.to(memory_format=torch.channels_last)


@torch.no_grad()
def generate(generator: nn.Module, n: int, latent: int, seed: int, device: str = "cpu", batch: int = 256) -> Tensor:
    """n images, uint8 (n, c, h, w), from latent noise that `seed` decides; float32 arithmetic."""
    noise = torch.randn(n, latent, generator=random_generator(seed, "sample"))
    generator = generator.to(device)
    return torch.cat([imageset.to_uint8(generator(z.to(device))).cpu() for z in noise.split(batch)])


def save_grid(images: Tensor, path: Path) -> None:
    """Write uint8 images (n, c, h, w) as one PNG, in rows that make it about square."""
    n, channels, height, width = images.shape
    columns = next(c for c in range(1, n + 1) if c * c >= n)
    rows = -(-n // columns)
    filled = torch.cat([images, images.new_zeros(rows * columns - n, channels, height, width)])
    sheet = filled.view(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    pixels = sheet.reshape(rows * height, columns * width, channels).numpy()
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        picture.save(aside, format="PNG", optimize=True)


def sample_grid(cell: Path, n: int, out: Path, *, seed: int = 0, kimg: float | None = None) -> Snapshot:
    """Write n images of a training cell's generator to `out`: its last snapshot, or the one nearest to `kimg`.

    Raises:
        WorkbenchError: the folder is no training cell's, or holds no generator.
    """
    config = CellFolder(cell).config
    if "gan" not in config:
        raise WorkbenchError(f"{cell} is not the folder of a GAN in training.")
    found = snapshots(cell)
    snapshot = found[-1] if kimg is None else min(found, key=lambda one: abs(one.kimg - kimg))
    generator = load_generator(snapshot, config)
    save_grid(generate(generator, n, config["settings"]["latent"], seed), out)
    return snapshot
