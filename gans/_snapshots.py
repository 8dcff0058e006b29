"""Generators of a training: loaded again, and images drawn from them."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

import imagesets
from gans._config import TrainingConfig
from gans._labels import drawn_labels
from lab import registry
from lab.training.draws import derive_seed, random_generator
from lab.training.snapshots import Snapshot
from lab.training.tensors import TRAIN_AGAIN, load_weights

BATCH = 256


def load_generator(snapshot: Snapshot, config: TrainingConfig, advice: str = TRAIN_AGAIN) -> nn.Module:
    """The generator of a snapshot, in evaluation mode, on the CPU; `config` is that of its training.

    `advice` is what to do if the weights do not fit.

    Raises:
        WorkbenchError: the file is damaged, or does not fit.
    """
    module = registry.load("gans", config.gan)
    with torch.random.fork_rng(devices=[]):
        generator: nn.Module = module.Generator(config.settings, config.spec_of_images).eval()
    load_weights(generator, snapshot.path, snapshot.hash, advice)
    return generator.to(memory_format=torch.channels_last)


def generate(
    generator: nn.Module,
    n: int,
    latent: int,
    seed: int,
    device: str = "cpu",
    batch: int = BATCH,
    labels: Tensor | None = None,
) -> Tensor:
    """n images, uint8 (n, c, h, w), from latent noise that `seed` decides; float32 arithmetic.

    Of a conditional generator, of the classes `labels` (n,), or else in the classes' shares of the training images.
    """
    labels = drawn_labels(generator, n, seed) if labels is None else labels
    return torch.cat([*images_of(generator, drawn_noise(n, latent, seed), labels, device, batch)])


def drawn_noise(n: int, latent: int, seed: int) -> Tensor:
    """The noise (n, latent) that n images are made of."""
    return torch.randn(n, latent, generator=random_generator(seed, "sample"), device="cpu")


def images_of(
    generator: nn.Module, noise: Tensor, labels: Tensor | None = None, device: str = "cpu", batch: int = BATCH
) -> Iterator[Tensor]:
    """Images of noise (n, latent), and of labels if it is conditional, a batch at a time: uint8 (b, c, h, w)."""
    generator = generator.to(device)
    inputs = [noise] if labels is None else [noise, labels]
    for part in zip(*(whole.split(batch) for whole in inputs), strict=True):
        with torch.no_grad():
            yield imagesets.to_uint8(generator(*(x.to(device) for x in part))).cpu()


def generated_by(snapshot: Snapshot, run: TrainingConfig, n: int) -> Tensor:
    """n images, uint8 (n, c, h, w), of a training's snapshot: the same latents, and labels, for every snapshot."""
    generator = load_generator(snapshot, run)
    return generate(generator, n, run.settings.latent, derive_seed(run.seed, "measured"))
