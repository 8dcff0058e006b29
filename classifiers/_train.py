"""The one supervised loop: any classifier, on any image set, as one cell.

Batches and whatever else is random are functions of (seed, step), and rows are made of what every step left, so that
going on from a checkpoint gives what an undisturbed run gives. Each of several processes takes its part of the batch
that all draw, gradients are averaged, and the first one writes: without BatchNorm and dropout they give what one
process gives. The loop owns precision: the network's passes run under an explicit autocast, parameters, the objective
and the optimizer stay in float32. A part of the train split is kept apart to validate on, in the training's precision;
the test split is never read.
"""

import copy
import json
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from classifiers._augment import augmented
from classifiers._config import ClassifierConfig
from classifiers._objective import Objective
from classifiers._setting import chosen_layers, setting
from classifiers._snapshots import kept_file, logits_of
from classifiers._state import TrainingState
from lab import hardware, imageset, registry
from lab import training as frame
from lab.checkpoint import Checkpoint
from lab.config import Config
from lab.draws import batch_indices, carve, derive_seed
from lab.folder import CellFolder
from lab.processes import rank, share, world_size
from lab.tensors import save_weights
from lab.tracking import accelerator_settings
from lab.training import autocast, make_accelerator

CODE_VERSION = 1
LENGTH = ("epochs", "snapshots")
"""The settings that do not decide what a step does, where the step size is constant."""
COUNTS = ("no_repeat", "vanished_gradient")
"""Metrics of which rows hold the number of steps."""
VALIDATION = "validation.json"


class TrainingConfig(Config):
    """What decides a training cell's result."""

    classifier: str = Field(description="the classifier's name")
    settings: dict[str, object] = Field(description="the classifier's resolved settings")
    imageset: str = Field(description="the image set's name; its train split is used")
    spec: dict[str, object] | None = Field(None, description="what the image set holds, where it is a user's own")
    seed: int = Field(ge=0, description="seed of weights, batches, augmentation and the choice of validation images")
    epochs: int = Field(ge=1, description="how often every image is shown")
    validation: float = Field(ge=0, lt=1, description="share of the train split that is kept apart to validate on")
    alpha: float = Field(description="weight of the SNNL: below 0 it entangles classes, above 0 it disentangles them")
    layers: tuple[str, ...] | None = Field(description="hidden layers whose SNNL is taken; none given: all of them")
    temperature: float | Literal["minimize", "learn"] = Field("minimize", description="temperature of the SNNL")
    distance: Literal["sqeuclidean", "cosine"] = Field("sqeuclidean", description="distance of features")
    snapshots: tuple[int, ...] = Field(description="epochs after which the weights are kept, besides the last")
    precision: Literal["float32", "tf32", "bf16"] = Field(description="arithmetic of the network's passes")
    device: Literal["cpu", "cuda"] = Field(description="kind of device")
    sync_batchnorm: bool = Field(False, description="whether BatchNorm spans the batches of all processes")
    compile: bool = Field(False, description="whether torch.compile translates the network")


@dataclass(kw_only=True)
class Training(frame.Training):
    """One run of the loop: what it trains, on what, and how far.

    Attributes:
        fit: the indices of the images to train on.
        held: those of the images to validate on.
        validated: what was found on them, by epoch.
    """

    config: TrainingConfig
    settings: ClassifierConfig
    images: imageset.ImageSet
    fit: Tensor
    held: Tensor
    state: TrainingState
    validated: dict[int, dict[str, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The classifier's name."""
        return self.config.classifier

    @property
    def step(self) -> int:
        """Updates so far."""
        return self.state.step

    @property
    def last(self) -> int:
        """The number of updates in all."""
        return self.steps_at(self.config.epochs)

    @property
    def images_per_step(self) -> int:
        """Images in a batch, over all processes."""
        return self.settings.batch

    @property
    def progress(self) -> tuple[float, float, str]:
        """Epochs, so far and in all."""
        return self.step * self.settings.batch / len(self.fit), self.config.epochs, "epochs"

    def steps_at(self, epoch: int) -> int:
        """The number of updates nearest to the end of an epoch."""
        return round(epoch * len(self.fit) / self.settings.batch)

    @property
    def ends(self) -> dict[int, int]:
        """The epoch that ends after a step."""
        return {self.steps_at(epoch): epoch for epoch in range(self.config.epochs + 1)}

    @property
    def kept_files(self) -> dict[int, tuple[Path, ...]]:
        """The steps after which the weights are kept, and their file."""
        epochs = sorted({*self.config.snapshots, self.config.epochs})
        steps = {epoch: self.steps_at(epoch) for epoch in epochs}
        return {step: (kept_file(epoch, self.kimg_at(step), step),) for epoch, step in steps.items()}

    @property
    def measured(self) -> Collection[int]:
        """The ends of the epochs."""
        return [step for step in self.ends if step] if len(self.held) else ()

    def measure(self) -> None:
        """Validate: accuracy and mean negative log-likelihood of the images that are kept apart."""
        self.validated[self.ends[self.step]] = validate(self)

    def may_be_infinite(self, name: str) -> bool:
        """A best temperature may be infinite, or not be there."""
        return name.startswith("temperature")

    def take_step(self) -> None:
        """One update."""
        train_step(self)

    def keep(self, folder: Path) -> None:
        """A snapshot of the weights."""
        (file,) = self.kept_files[self.step]
        save_weights(self.state.bare, folder / file)

    def files(self) -> dict[str, bytes]:
        """The state, and what was found in validating."""
        return {**self.state.files(), VALIDATION: json.dumps(self.validated).encode()}

    def restore(self, found: Checkpoint) -> None:
        """Take them over."""
        self.state.restore(found)
        validated = json.loads(found.files[VALIDATION])
        self.validated = {int(epoch): values for epoch, values in validated.items()}

    def rows(self, start: int, stop: int) -> Iterator[dict[str, Any]]:
        """Of the steps after `start` up to `stop`: the mean of each loss, the median temperature, the counts.

        And what was found in validating, where an epoch ends; of step 0, how large the network is.
        """
        config = self.config
        about = {
            "model": config.classifier, "imageset": config.imageset, "seed": config.seed, "kimg": self.kimg_at(stop),
            "step": stop, "setting": setting(config.plain()),
        }  # fmt: skip
        training = {"kind": "training", "split": "train", **about}
        if stop == 0:
            yield {**training, "metric": "parameters", "value": self.state.parameters}
            return
        for name, values in self.history.items():
            metric, _, layer = name.partition(" ")
            value = _summary(metric, values[start:stop])
            yield {
                **training,
                **({"space": layer} if layer else {}),
                "metric": metric,
                "value": value,
                "n": stop - start,
            }
        for metric, value in self.validated.get(self.ends.get(stop, 0), {}).items():
            yield {
                "kind": "classifier", "split": "validation", **about, "metric": metric, "value": value,
                "n": len(self.held),
            }  # fmt: skip


def run(cell: CellFolder) -> None:
    """Train the classifier of a cell, from its last checkpoint if it has one, or from that of a shorter run.

    Raises:
        UsageError: there is no such layer, or the network cannot take the images.
        WorkbenchError: a loss became NaN or infinite; the message names step and loss.
    """
    training = begin(TrainingConfig.parse(cell.config), cell)
    frame.train(training, cell, LENGTH if training.settings.schedule == "constant" else ())


def begin(config: TrainingConfig, cell: CellFolder) -> Training:
    """Load the images and make the network of a run that starts at step 0."""
    module = registry.load("classifiers", config.classifier)
    settings: ClassifierConfig = module.Config.parse(config.settings)
    hardware.check_device(config.device)
    accelerator = make_accelerator(config.device, config.precision, **accelerator_settings(cell))
    images = imageset.load(config.imageset, "train", root=cell.data_root, download=cell.download)
    fit, held = carve(len(images), config.validation, config.seed)
    torch.manual_seed(derive_seed(config.seed, "weights"))
    network: nn.Module = module.build(settings, imageset.spec_of(config.plain()))
    objective = _objective(config, settings, network, images, fit)
    state = TrainingState(
        network, objective, settings, accelerator, sync_batchnorm=config.sync_batchnorm, compiled=config.compile
    )
    return Training(
        accelerator=accelerator, config=config, settings=settings, images=images, fit=fit, held=held, state=state
    )


def _objective(
    config: TrainingConfig, settings: ClassifierConfig, network: nn.Module, images: imageset.ImageSet, fit: Tensor
) -> Objective:
    """Equation (3) for a network that is yet to be trained; its first batch tells what features it has, and how far."""
    layers, features, labels = settings.hidden_layers, {}, torch.empty(0)
    if layers is None or config.temperature == "learn":
        first = fit[batch_indices(len(fit), settings.batch, config.seed, 0)]
        labels = images.classes(first)
        with torch.no_grad():
            features = copy.deepcopy(network)(images.batch(first))[1]
    chosen = chosen_layers(config.layers, layers or features)
    objective = Objective(config.alpha, chosen if config.alpha else (), config.temperature, config.distance)
    if config.temperature == "learn":
        objective.start(features, labels)
    return objective


def train_step(training: Training) -> None:
    """One update of the network, and of learned temperatures."""
    state, config, settings = training.state, training.config, training.settings
    torch.manual_seed(derive_seed(config.seed, "step", state.step, rank()))  # dropout's, if there is any
    picked = training.fit[batch_indices(len(training.fit), settings.batch, config.seed, state.step)]
    pixels = augmented(training.images.pixels(share(picked)), settings.augmentation, config.seed, state.step)
    x = imageset.to_float(pixels.to(training.accelerator.device)).to(memory_format=torch.channels_last)
    with autocast(training.accelerator, config.precision):
        logits, features = state.network(x)
    loss, logs = state.objective(logits, features, training.images.classes(picked))
    training.accelerator.backward(loss)
    state.take_step(learning_rate(settings, state.step / training.last))
    training.losses.append(logs)


def learning_rate(settings: ClassifierConfig, done: float) -> float:
    """The step size when a share `done`, in [0, 1], of the training is over."""
    if settings.schedule == "cosine":
        return settings.learning_rate * (1 + math.cos(math.pi * done)) / 2
    if settings.schedule == "exponential":
        return settings.learning_rate * settings.final_rate**done
    return settings.learning_rate


def validate(training: Training) -> dict[str, float]:
    """The accuracy, in [0, 1], and the mean negative log-likelihood of the images that are kept apart.

    Each process looks at its own, and none twice. BatchNorm's statistics are the first process's, which are those that
    are kept; the others' are never used.
    """
    network, device = training.state.bare, training.accelerator.device
    if world_size() > 1:
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, 0)
    own = training.held[rank() :: world_size()]
    labels = training.images.classes(own)
    with autocast(training.accelerator, training.config.precision):
        logits = logits_of(network, training.images.pixels(own), device).double()
    sums = torch.stack([(logits.argmax(1) == labels).sum(), F.cross_entropy(logits, labels, reduction="sum")])
    correct, loss = training.accelerator.reduce(sums.to(device), "sum").tolist()
    return {"accuracy": correct / len(training.held), "nll": loss / len(training.held)}


def _summary(metric: str, values: Tensor) -> float:
    """What a row says of a loss, a count or a temperature at several steps (n,)."""
    if metric in COUNTS:
        return int(values.sum())
    return (values.nanmedian() if metric == "temperature" else values.mean()).item()
