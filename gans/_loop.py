"""The one adversarial loop: any GAN of the zoo, on any image set, as one cell.

Batches, latent noise and everything else random are functions of (seed, step), and rows are made of the losses of
every step, so that going on from a checkpoint gives what an undisturbed run gives. Each of several processes takes its
part of the batch that all draw, gradients are averaged, and the first one writes: without BatchNorm they give what one
process gives. The loop owns precision: the networks' passes run under an explicit autocast, parameters and optimizers
stay in float32.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import imagesets
from gans._config import TrainingConfig
from gans._entangled import Remembering, mean_snnl
from gans._kept import kept_files
from gans._labels import labelled
from gans._pictures import save_grid
from gans._sampling import class_rows
from gans._state import GanState
from gans._trained import described
from lab import registry
from lab.cells.folder import CellFolder
from lab.processes import share
from lab.training import frame
from lab.training.draws import batch_indices, random_generator, seed_torch
from lab.training.frame import Training
from lab.training.tensors import save_weights
from snnl_core import products

LENGTH = ("kimg", "snapshot_kimg", "snapshots")
"""The settings that do not decide what a step does."""
GRID_IMAGES = 64
EMA_RAMP = 0.05
"""The average's half-life is at most this share of the training so far (Karras et al. 2020)."""


@dataclass(kw_only=True)
class GanTraining(Training):
    """One run of the loop: what it trains, on what, and how far."""

    config: TrainingConfig
    gan: ModuleType
    images: imagesets.ImageSet
    state: GanState

    @property
    def name(self) -> str:
        """The GAN's name."""
        return self.config.gan

    @property
    def last(self) -> int:
        """The number of generator updates in all."""
        return self.config.steps_at(self.config.kimg)

    @property
    def images_per_step(self) -> int:
        """Real images that the discriminator sees for one update of the generator."""
        return self.config.images_per_step

    @property
    def progress(self) -> tuple[float, float, str]:
        """Thousands of real images shown, so far and in all."""
        return self.kimg_at(self.step), self.config.kimg, "kimg"

    @property
    def kept_files(self) -> dict[int, tuple[Path, ...]]:
        """The steps after which the generator is kept, and its files."""
        steps = sorted({self.config.steps_at(kimg) for kimg in self.config.kept_at})
        return {step: kept_files(self.kimg_at(step), step) for step in steps}

    def take_step(self) -> None:
        """One update of the generator."""
        train_step(self)

    def keep(self, folder: Path) -> None:
        """A snapshot of the averaged generator, and a grid of images from the same latents every time."""
        ema, seed = self.state.ema, self.config.seed
        weights, grid = self.kept_files[self.step]
        save_weights(ema, folder / weights, described(self.config, self.kimg_at(self.step)))
        device, latent = self.accelerator.device.type, self.config.settings.latent
        save_grid(class_rows(ema, GRID_IMAGES, latent, seed, device), folder / grid)

    def rows(self, start: int, stop: int) -> Iterator[dict[str, Any]]:
        """The mean of each loss over the steps after `start` up to `stop`; of step 0, how large the networks are."""
        about = {"kind": "training", **self.config.about, "kimg": self.kimg_at(stop), "step": stop, "split": "train"}
        if stop == 0:
            for network, count in self.state.parameters().items():
                yield {**about, "metric": f"{network}_parameters", "value": count}
        else:
            for (metric, _), values in self.history.items():
                yield {**about, "metric": metric, "value": values[start:stop].mean().item(), "n": stop - start}


def train(config: TrainingConfig, cell: CellFolder, guide: nn.Module | None = None) -> None:
    """Train the GAN of a cell, from its last checkpoint if it has one, or from that of a shorter run.

    Args:
        config: the settings.
        cell: where it is trained.
        guide: the frozen classifier, in evaluation mode, in whose features the objective is, where it is guided.

    Raises:
        DivergedError: a loss became NaN or infinite; the message names step and loss.
    """
    with products.restored():
        training = begin(config, cell, guide)
        frame.train(training, cell, () if config.settings.DEPENDS_ON_LENGTH else LENGTH)


def begin(config: TrainingConfig, cell: CellFolder, guide: nn.Module | None = None) -> GanTraining:
    """Load the images and make the networks of a run that starts at step 0."""
    gan = registry.load("gans", config.gan)
    accelerator, arithmetic = frame.begin(config, cell, products.way())
    products.use(arithmetic.products)
    images = imagesets.load(config.imageset, "train", **cell.data)
    state = GanState(gan, config, accelerator, guide)
    if config.settings.conditional:
        state.tell_shares(images)
    return GanTraining(
        accelerator=accelerator, arithmetic=arithmetic, config=config, gan=gan, images=images, state=state
    )


def train_step(training: GanTraining) -> None:
    """One update of the generator, after `critic_steps` updates of the discriminator, where there is one."""
    state, settings = training.state, training.config.settings
    seed_torch(training.config.seed, "step", state.step)
    losses: dict[str, Tensor] = {}
    for index in range(state.step * settings.critic_steps, (state.step + 1) * settings.critic_steps):
        real = _real(training, index)
        if "discriminator" in state.wrapped:
            losses = _update_discriminator(training, *real, index)
    losses |= _update_generator(training, *real)
    state.step += 1
    seen = state.step * training.images_per_step
    half_life = min(settings.ema_kimg * 1000, seen * EMA_RAMP)
    state.update_average(0.5 ** (training.images_per_step / half_life) if half_life else 0.0)
    training.losses.append({(name, ""): loss for name, loss in losses.items()})


def _update_discriminator(training: GanTraining, real: Tensor, labels: Tensor | None, index: int) -> dict[str, Tensor]:
    d = labelled(training.state.wrapped["discriminator"], labels)
    with torch.no_grad(), training.autocast():
        fake = _generated(training, "discriminator", index, labels)
    with training.autocast():
        loss, logs = training.gan.discriminator_loss(d, real, fake, training.config.settings)
    _descend(training, "discriminator", loss)
    return _told("discriminator", loss, logs)


def _update_generator(training: GanTraining, real: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
    state = training.state
    with state.frozen_discriminator() as discriminator:
        d = None if discriminator is None else labelled(discriminator, labels)
        with training.autocast():
            fake = _generated(training, "generator", state.step, labels)
            loss, logs = _generator_loss(training, d, fake, real)
        _descend(training, "generator", loss)
    return _told("generator", loss, logs)


def _generator_loss(
    training: GanTraining, d: nn.Module | None, fake: Tensor, real: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """The GAN's own, less the weighted SNNL of real and generated features."""
    weight = training.config.settings.snnl_weight
    if d is None or not weight:
        own: tuple[Tensor, dict[str, Tensor]] = training.gan.generator_loss(d, fake, real, training.config.settings)
        return own
    d = Remembering(d)
    loss, logs = training.gan.generator_loss(d, fake, real, training.config.settings)
    snnl = mean_snnl(d(real)[1], d(fake)[1])
    return loss - weight * snnl, {**logs, "snnl": snnl}


def _descend(training: GanTraining, network: str, loss: Tensor) -> None:
    optimizer = training.state.optimizers[network]
    optimizer.zero_grad()
    training.accelerator.backward(loss)
    optimizer.step()


def _told(network: str, loss: Tensor, logs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{network}_loss": loss.detach()} | {name: log.detach() for name, log in logs.items()}


def _real(training: GanTraining, index: int) -> tuple[Tensor, Tensor | None]:
    """This process's part of a batch: images, and their labels if the GAN is conditional."""
    settings, device = training.config.settings, training.accelerator.device
    picked = share(batch_indices(len(training.images), settings.batch, training.config.seed, index))
    images = training.images.batch(picked).to(device, memory_format=torch.channels_last)
    return images, training.images.classes(picked).to(device) if settings.conditional else None


def _generated(training: GanTraining, purpose: str, index: int, labels: Tensor | None) -> Tensor:
    """This process's part of a batch of the generator."""
    settings, draw = training.config.settings, random_generator(training.config.seed, "noise", purpose, index)
    noise = torch.randn(settings.batch, settings.latent, generator=draw, device="cpu")
    known = () if labels is None else (labels,)
    images: Tensor = training.state.wrapped["generator"](share(noise).to(training.accelerator.device), *known)
    return images
