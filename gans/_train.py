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
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from gans._config import GanConfig
from gans._snapshots import generate, kept_files, save_grid
from gans._state import TrainingState
from lab import hardware, imageset, registry
from lab import training as frame
from lab.checkpoint import Checkpoint
from lab.config import Config
from lab.draws import batch_indices, derive_seed, random_generator
from lab.folder import CellFolder
from lab.processes import share
from lab.tensors import save_weights
from lab.tracking import accelerator_settings
from lab.training import autocast, make_accelerator

CODE_VERSION = 1
LENGTH = ("kimg", "snapshots")
"""The settings that do not decide what a step does."""
GRID_IMAGES = 64
EMA_RAMP = 0.05
"""The average's half-life is at most this share of the training so far (Karras et al. 2020)."""


class TrainingConfig(Config):
    """What decides a training cell's result."""

    gan: str = Field(description="the GAN's name")
    settings: dict[str, object] = Field(description="the GAN's resolved settings")
    imageset: str = Field(description="the image set's name; its train split is used")
    spec: dict[str, object] | None = Field(None, description="what the image set holds, where it is a user's own")
    seed: int = Field(ge=0, description="seed of weights, batches and noise")
    kimg: float = Field(gt=0, description="length in thousands of real images shown to the discriminator")
    snapshots: tuple[float, ...] = Field(description="when to keep the generator, in kimg")
    precision: Literal["float32", "tf32", "bf16"] = Field(description="arithmetic of the networks' passes")
    device: Literal["cpu", "cuda"] = Field(description="kind of device")
    sync_batchnorm: bool = Field(False, description="whether BatchNorm spans the batches of all processes")
    compile: bool = Field(False, description="whether torch.compile translates the networks")


@dataclass(kw_only=True)
class Training(frame.Training):
    """One run of the loop: what it trains, on what, and how far."""

    config: TrainingConfig
    gan: ModuleType
    settings: GanConfig
    images: imageset.ImageSet
    state: TrainingState

    @property
    def name(self) -> str:
        """The GAN's name."""
        return self.config.gan

    @property
    def step(self) -> int:
        """Updates of the generator so far."""
        return self.state.step

    @property
    def last(self) -> int:
        """The number of generator updates in all."""
        return self.steps_at(self.config.kimg)

    @property
    def images_per_step(self) -> int:
        """Real images that the discriminator sees for one update of the generator."""
        return self.settings.batch * self.settings.critic_steps

    @property
    def progress(self) -> tuple[float, float, str]:
        """Thousands of real images shown, so far and in all."""
        return self.kimg_at(self.step), self.config.kimg, "kimg"

    def steps_at(self, kimg: float) -> int:
        """The number of generator updates nearest to `kimg`."""
        return round(kimg * 1000 / self.images_per_step)

    @property
    def kept_files(self) -> dict[int, tuple[Path, ...]]:
        """The steps after which the generator is kept, and its files."""
        steps = sorted({self.steps_at(kimg) for kimg in self.config.snapshots})
        return {step: kept_files(self.kimg_at(step), step) for step in steps}

    def take_step(self) -> None:
        """One update of the generator."""
        train_step(self)

    def keep(self, folder: Path) -> None:
        """A snapshot of the averaged generator, and a grid of images from the same latents every time."""
        ema, seed = self.state.ema, self.config.seed
        weights, grid = self.kept_files[self.step]
        save_weights(ema, folder / weights)
        images = generate(ema, GRID_IMAGES, self.settings.latent, seed, self.accelerator.device.type)
        save_grid(images, folder / grid)

    def files(self) -> dict[str, bytes]:
        """Networks and optimizers."""
        return self.state.files()

    def restore(self, found: Checkpoint) -> None:
        """Take over networks and optimizers."""
        self.state.restore(found)

    def rows(self, start: int, stop: int) -> Iterator[dict[str, Any]]:
        """The mean of each loss over the steps after `start` up to `stop`; of step 0, how large the networks are."""
        config = self.config
        about = {
            "kind": "training", "model": config.gan, "imageset": config.imageset, "seed": config.seed,
            "kimg": self.kimg_at(stop), "step": stop, "split": "train",
        }  # fmt: skip
        if stop == 0:
            for network, count in self.state.parameters().items():
                yield {**about, "metric": f"{network}_parameters", "value": count}
        else:
            for name, values in self.history.items():
                yield {**about, "metric": name, "value": values[start:stop].mean().item(), "n": stop - start}


def run(cell: CellFolder) -> None:
    """Train the GAN of a cell, from its last checkpoint if it has one, or from that of a shorter run.

    Raises:
        WorkbenchError: a loss became NaN or infinite; the message names step and loss.
    """
    training = begin(TrainingConfig.parse(cell.config), cell)
    frame.train(training, cell, () if getattr(training.gan, "DEPENDS_ON_LENGTH", False) else LENGTH)


def begin(config: TrainingConfig, cell: CellFolder) -> Training:
    """Load the images and make the networks of a run that starts at step 0."""
    gan = registry.load("gans", config.gan)
    settings: GanConfig = gan.Config.parse(config.settings)
    hardware.check_device(config.device)
    accelerator = make_accelerator(config.device, config.precision, **accelerator_settings(cell))
    images = imageset.load(config.imageset, "train", root=cell.data_root, download=cell.download)
    state = TrainingState(
        gan, settings, imageset.spec_of(config.plain()), config.seed, accelerator,
        sync_batchnorm=config.sync_batchnorm, compiled=config.compile,
    )  # fmt: skip
    return Training(accelerator=accelerator, config=config, gan=gan, settings=settings, images=images, state=state)


def train_step(training: Training) -> None:
    """One update of the generator, after `critic_steps` updates of the discriminator."""
    state, settings = training.state, training.settings
    torch.manual_seed(derive_seed(training.config.seed, "step", state.step))
    for i in range(settings.critic_steps):
        real, losses = _update_discriminator(training, state.step * settings.critic_steps + i)
    losses |= _update_generator(training, real)
    state.step += 1
    seen = state.step * training.images_per_step
    half_life = min(settings.ema_kimg * 1000, seen * EMA_RAMP)
    state.update_average(0.5 ** (training.images_per_step / half_life) if half_life else 0.0)
    training.losses.append(losses)


def _update_discriminator(training: Training, index: int) -> tuple[Tensor, dict[str, Tensor]]:
    state, settings = training.state, training.settings
    picked = batch_indices(len(training.images), settings.batch, training.config.seed, index)
    real = training.images.batch(share(picked)).to(training.accelerator.device, memory_format=torch.channels_last)
    with torch.no_grad(), autocast(training.accelerator, training.config.precision):
        fake = state.generator(_noise(training, "discriminator", index))
    with autocast(training.accelerator, training.config.precision):
        loss, logs = training.gan.discriminator_loss(state.discriminator, real, fake, settings)
    state.discriminator_optimizer.zero_grad()
    training.accelerator.backward(loss)
    state.discriminator_optimizer.step()
    return real, {"discriminator_loss": loss.detach()} | {name: log.detach() for name, log in logs.items()}


def _update_generator(training: Training, real: Tensor) -> dict[str, Tensor]:
    state = training.state
    discriminator = state.bare_discriminator  # its gradients are not wanted, so not averaged either
    discriminator.requires_grad_(False)
    with autocast(training.accelerator, training.config.precision):
        fake = state.generator(_noise(training, "generator", state.step))
        loss, logs = training.gan.generator_loss(discriminator, fake, real, training.settings)
    state.generator_optimizer.zero_grad()
    training.accelerator.backward(loss)
    state.generator_optimizer.step()
    discriminator.requires_grad_(True)
    return {"generator_loss": loss.detach()} | {name: log.detach() for name, log in logs.items()}


def _noise(training: Training, purpose: str, index: int) -> Tensor:
    draw = random_generator(training.config.seed, "noise", purpose, index)
    noise = torch.randn(training.settings.batch, training.settings.latent, generator=draw)
    return share(noise).to(training.accelerator.device)
