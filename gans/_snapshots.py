"""Generators of a training: loaded again, and images drawn from them."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

import imagesets
from gans._config import TrainingConfig
from lab import registry
from lab.cells.folder import CellFolder
from lab.errors import WorkbenchError
from lab.files import replacing
from lab.training.draws import derive_seed, random_generator
from lab.training.snapshots import Snapshot, snapshots
from lab.training.tensors import load_weights


def load_generator(snapshot: Snapshot, config: TrainingConfig) -> nn.Module:
    """The generator of a snapshot, in evaluation mode, on the CPU; `config` is that of its training.

    Raises:
        WorkbenchError: the file is damaged, or does not fit.
    """
    module = registry.load("gans", config.gan)
    generator: nn.Module = module.Generator(config.settings, config.spec_of_images).eval()
    load_weights(generator, snapshot.path, snapshot.hash)
    return generator.to(memory_format=torch.channels_last)


@torch.no_grad()
def generate(generator: nn.Module, n: int, latent: int, seed: int, device: str = "cpu", batch: int = 256) -> Tensor:
    """n images, uint8 (n, c, h, w), from latent noise that `seed` decides; float32 arithmetic."""
    noise = torch.randn(n, latent, generator=random_generator(seed, "sample"), device="cpu")
    generator = generator.to(device)
    return torch.cat([imagesets.to_uint8(generator(z.to(device))).cpu() for z in noise.split(batch)])


def generated_by(snapshot: Snapshot, run: TrainingConfig, n: int) -> Tensor:
    """n images, uint8 (n, c, h, w), of a training's snapshot, from the same latents for every snapshot."""
    generator = load_generator(snapshot, run)
    return generate(generator, n, run.settings.latent, derive_seed(run.seed, "measured"))


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
    folder = CellFolder(cell)
    if folder.task != "train-gan":
        raise WorkbenchError(f"{cell} is not the folder of a GAN in training.")
    config, found = TrainingConfig.parse(folder.config), snapshots(cell, "generator")
    snapshot = found[-1] if kimg is None else min(found, key=lambda one: abs(one.kimg - kimg))
    generator = load_generator(snapshot, config)
    save_grid(generate(generator, n, config.settings.latent, seed), out)
    return snapshot
