"""The one adversarial loop: any GAN of the zoo, on any image set, as one cell.

Batches, latent noise and everything else random are functions of (seed, step), and rows are made of the losses of
every step, so that going on from a checkpoint gives what an undisturbed run gives. Each of several processes takes its
part of the batch that all draw, gradients are averaged, and the first one writes: without BatchNorm they give what one
process gives. The loop owns precision: the networks' passes run under an explicit autocast, parameters and optimizers
stay in float32.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from pydantic import Field
from torch import Tensor

from gans._config import GanConfig
from gans._resume import agreed_start, take_over
from gans._snapshots import generate, kept_files, save_grid, save_snapshot
from gans._state import TrainingState, packed, unpacked
from gans._tracking import accelerator_settings, tracking
from lab import checkpoint, hardware, imageset, registry
from lab.config import Config
from lab.draws import batch_indices, derive_seed, random_generator
from lab.errors import WorkbenchError
from lab.folder import CellFolder
from lab.processes import rank, share, world_size

CODE_VERSION = 1
EVENT_SECONDS = 1.0
HISTORY = "losses.pt"
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


@dataclass
class Training:
    """One run of the loop: what it trains, on what, and how far."""

    config: TrainingConfig
    gan: ModuleType
    settings: GanConfig
    images: imageset.ImageSet
    accelerator: Accelerator
    state: TrainingState
    losses: list[dict[str, Tensor]] = field(default_factory=list)
    history: dict[str, Tensor] = field(default_factory=dict)
    """Each loss of all the steps before those in `losses`, float32 (steps,), on the CPU."""

    @property
    def images_per_step(self) -> int:
        """Real images that the discriminator sees for one update of the generator."""
        return self.settings.batch * self.settings.critic_steps

    def steps_at(self, kimg: float) -> int:
        """The number of generator updates nearest to `kimg`."""
        return round(kimg * 1000 / self.images_per_step)

    @property
    def kimg(self) -> float:
        """Thousands of real images shown so far."""
        return self.kimg_at(self.state.step)

    def kimg_at(self, step: int) -> float:
        """Thousands of real images shown in so many updates of the generator."""
        return step * self.images_per_step / 1000

    @property
    def last(self) -> int:
        """The number of generator updates in all."""
        return self.steps_at(self.config.kimg)

    @property
    def kept_files(self) -> dict[int, tuple[Path, Path]]:
        """The steps after which the generator is kept, and its files."""
        steps = sorted({self.steps_at(kimg) for kimg in self.config.snapshots})
        return {step: kept_files(self.kimg_at(step), step) for step in steps}

    @property
    def windows(self) -> dict[int, int]:
        """Where the rows of losses are: each is a mean over the steps after `windows[step]` up to `step`."""
        every = max(1, self.last // 100)
        ends = sorted({*range(every, self.last, every), self.last, *self.kept_files} - {0})
        return dict(zip(ends, [0, *ends[:-1]], strict=True))


def run(cell: CellFolder) -> None:
    """Train the GAN of a cell, from its last checkpoint if it has one, or from that of a shorter run.

    Raises:
        WorkbenchError: a loss became NaN or infinite; the message names step and loss.
    """
    training = begin(TrainingConfig.parse(cell.config), cell)
    lengthen = not getattr(training.gan, "DEPENDS_ON_LENGTH", False)
    start = agreed_start(cell, training.kept_files, training.last if lengthen else 0)
    if start:
        take_over(start, cell, training.kept_files)
        training.state.restore(start.checkpoint)
        training.history = unpacked(start.checkpoint.files[HISTORY])
    cell.keep_rows(list(_rows_so_far(training)))
    with tracking(training.accelerator, cell):
        _train_to_the_end(training, cell)
    training.accelerator.free_memory()
    training.accelerator.end_training()


def begin(config: TrainingConfig, cell: CellFolder) -> Training:
    """Load the images and make the networks of a run that starts at step 0."""
    gan = registry.load("gans", config.gan)
    settings: GanConfig = gan.Config.parse(config.settings)
    hardware.check_device(config.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = config.precision == "tf32"
    accelerator = make_accelerator(config.device, **accelerator_settings(cell))
    images = imageset.load(config.imageset, "train", root=cell.data_root, download=cell.download)
    state = TrainingState(
        gan, settings, imageset.spec_of(config.plain()), config.seed, accelerator,
        sync_batchnorm=config.sync_batchnorm, compiled=config.compile,
    )  # fmt: skip
    return Training(config, gan, settings, images, accelerator, state)


def make_accelerator(device: str, **trackers: Any) -> Accelerator:
    """Accelerate's part: the device, averaging gradients over the processes, and trackers.

    Buffers stay each process's own: broadcasting them would write to BatchNorm's statistics between two forward passes
    that share one backward pass.
    """
    own_buffers = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
    return Accelerator(mixed_precision="no", cpu=device == "cpu", kwargs_handlers=[own_buffers], **trackers)


def _train_to_the_end(training: Training, cell: CellFolder) -> None:
    last, windows, kept = training.last, training.windows, training.kept_files
    pace, saved = _Pace(training), time.monotonic()
    if training.state.step == 0 and 0 in kept:
        _keep_generator(training, cell)
    while training.state.step < last:
        train_step(training)
        step = training.state.step
        if step in windows:
            _settle(training)
            rows = list(_loss_rows(training, windows[step], step))
            for row in rows:
                cell.row(**row)
            training.accelerator.log({row["metric"]: row["value"] for row in rows}, step=step)
        if step in kept:
            _keep_generator(training, cell)
        pace.tell(cell)
        if step == last or _all_agree(training, time.monotonic() - saved >= cell.checkpoint_seconds):
            _settle(training)
            if rank() == 0:
                files = {**training.state.files(), HISTORY: packed(training.history)}
                checkpoint.save(cell.path / "checkpoints", step, cell.key, files)
            saved = time.monotonic()


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
    with torch.no_grad(), _autocast(training):
        fake = state.generator(_noise(training, "discriminator", index))
    with _autocast(training):
        loss, logs = training.gan.discriminator_loss(state.discriminator, real, fake, settings)
    state.discriminator_optimizer.zero_grad()
    training.accelerator.backward(loss)
    state.discriminator_optimizer.step()
    return real, {"discriminator_loss": loss.detach()} | {name: log.detach() for name, log in logs.items()}


def _update_generator(training: Training, real: Tensor) -> dict[str, Tensor]:
    state = training.state
    discriminator = state.bare_discriminator  # its gradients are not wanted, so not averaged either
    discriminator.requires_grad_(False)
    with _autocast(training):
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


def _autocast(training: Training) -> torch.autocast:
    device = training.accelerator.device.type
    return torch.autocast(device, torch.bfloat16, enabled=training.config.precision == "bf16")


def _all_agree(training: Training, due: bool) -> bool:
    """Whether something is due by the clock of any process: they all do it after the same step."""
    if world_size() == 1:
        return due  # to ask a GPU would be to wait for it, at every step
    if due:
        training.accelerator.set_trigger()
    return bool(training.accelerator.check_trigger())


def _settle(training: Training) -> None:
    """Move the losses since the last call, as means over the processes, to the history; they must be finite."""
    recent, training.losses = training.losses, []
    if not recent:
        return
    for name in recent[0]:
        own = torch.stack([losses[name] for losses in recent]).float()
        values: Tensor = training.accelerator.reduce(own, "mean").cpu()
        bad = (~values.isfinite()).nonzero().flatten()
        if len(bad):
            step = training.state.step - len(recent) + int(bad[0]) + 1
            raise WorkbenchError(
                f"{training.config.gan} diverged at step {step}: {name} is {values[bad[0]].item()}. "
                "Try a smaller learning rate or float32."
            )
        past = training.history.get(name, values[:0])
        training.history[name] = torch.cat([past, values])


def _rows_so_far(training: Training) -> Iterator[dict[str, object]]:
    """Every row up to the present step, made from the history."""
    for network, count in training.state.parameters().items():
        yield {**_about(training, 0), "metric": f"{network}_parameters", "value": count}
    for stop, start in training.windows.items():
        if stop <= training.state.step:
            yield from _loss_rows(training, start, stop)


def _loss_rows(training: Training, start: int, stop: int) -> Iterator[dict[str, object]]:
    """A row with the mean of each loss over the steps after `start` up to `stop`."""
    for name, values in training.history.items():
        mean = values[start:stop].mean().item()
        yield {**_about(training, stop), "metric": name, "value": mean, "n": stop - start}


def _keep_generator(training: Training, cell: CellFolder) -> None:
    """A snapshot of the averaged generator, and a grid of images from the same latents every time."""
    if rank():
        return
    ema, settings, seed = training.state.ema, training.settings, training.config.seed
    weights, grid = training.kept_files[training.state.step]
    save_snapshot(ema, cell.path / weights)
    images = generate(ema, GRID_IMAGES, settings.latent, seed, training.accelerator.device.type)
    save_grid(images, cell.path / grid)


def _about(training: Training, step: int) -> dict[str, object]:
    config = training.config
    return {
        "kind": "training", "model": config.gan, "imageset": config.imageset, "seed": config.seed,
        "kimg": training.kimg_at(step), "step": step, "split": "train",
    }  # fmt: skip


class _Pace:
    """Tells how far the training is and how many images a second it sees, once a second."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.told, self.kimg = time.monotonic(), training.kimg

    def tell(self, cell: CellFolder) -> None:
        elapsed = time.monotonic() - self.told
        if elapsed < EVENT_SECONDS:
            return
        kimg, total = self.training.kimg, self.training.config.kimg
        rate = (kimg - self.kimg) * 1000 / elapsed
        text = f"{kimg:.1f} of {total:g} kimg, {rate:.0f} images/s"
        cell.event("progress", done=kimg, total=total, text=text, images_per_second=rate)
        self.told, self.kimg = time.monotonic(), kimg
