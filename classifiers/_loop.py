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
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import imagesets
from classifiers._augment import augmented
from classifiers._config import ClassifierConfig, TrainingConfig, chosen_layers
from classifiers._objective import Objective
from classifiers._snapshots import logits_of
from classifiers._state import ClassifierState
from imagesets import ImageSet
from lab import registry
from lab.cells.folder import CellFolder
from lab.processes import rank, share, world_size
from lab.training import frame
from lab.training.checkpoint import Checkpoint
from lab.training.draws import batch_indices, carve, seed_torch
from lab.training.frame import Curve, Training
from lab.training.snapshots import snapshot_file
from lab.training.tensors import save_weights
from snnl_core import products

LENGTH = ("epochs", "snapshots")
"""The settings that do not decide what a step does, where the step size is constant."""
COUNTS = ("no_repeat", "vanished_gradient")
"""Metrics of which rows hold the number of steps."""
VALIDATION = "validation.json"


@dataclass(kw_only=True)
class ClassifierTraining(Training):
    """One run of the loop: what it trains, on what, and how far.

    Attributes:
        fit: the indices of the images to train on.
        held: those of the images to validate on.
        validated: what was found on them, by epoch.
    """

    config: TrainingConfig
    images: ImageSet
    fit: Tensor
    held: Tensor
    state: ClassifierState
    validated: dict[int, dict[str, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The classifier's name."""
        return self.config.classifier

    @property
    def last(self) -> int:
        """The number of updates in all."""
        return self.steps_at(self.config.epochs)

    @property
    def images_per_step(self) -> int:
        """Images in a batch, over all processes."""
        return self.config.settings.batch

    @property
    def progress(self) -> tuple[float, float, str]:
        """Epochs, so far and in all."""
        return self.step * self.config.settings.batch / len(self.fit), self.config.epochs, "epochs"

    def steps_at(self, epoch: int) -> int:
        """The number of updates nearest to the end of an epoch."""
        return round(epoch * len(self.fit) / self.config.settings.batch)

    @property
    def ends(self) -> dict[int, int]:
        """The epoch that ends after a step."""
        return {self.steps_at(epoch): epoch for epoch in range(self.config.epochs + 1)}

    @property
    def kept_files(self) -> dict[int, tuple[Path, ...]]:
        """The steps after which the weights are kept, and their file."""
        epochs = sorted({*self.config.snapshots, self.config.epochs})
        steps = {epoch: self.steps_at(epoch) for epoch in epochs}
        return {step: (snapshot_file(self.kimg_at(step), step, epoch),) for epoch, step in steps.items()}

    @property
    def measured(self) -> Collection[int]:
        """The ends of the epochs."""
        return [step for step in self.ends if step] if len(self.held) else ()

    def measure(self) -> None:
        """Validate: accuracy and mean negative log-likelihood of the images that are kept apart."""
        self.validated[self.ends[self.step]] = validate(self)

    def may_be_infinite(self, curve: Curve) -> bool:
        """A best temperature may be infinite, or not be there."""
        return curve[0] == "temperature"

    def take_step(self) -> None:
        """One update."""
        train_step(self)

    def keep(self, folder: Path) -> None:
        """A snapshot of the weights."""
        (file,) = self.kept_files[self.step]
        save_weights(self.state.bare, folder / file)

    def files(self) -> dict[str, bytes]:
        """The state, and what was found in validating."""
        return {**super().files(), VALIDATION: json.dumps(self.validated).encode()}

    def restore(self, found: Checkpoint) -> None:
        """Take them over."""
        super().restore(found)
        validated = json.loads(found.files[VALIDATION])
        self.validated = {int(epoch): values for epoch, values in validated.items()}

    def rows(self, start: int, stop: int) -> Iterator[dict[str, Any]]:
        """Of the steps after `start` up to `stop`: the mean of each loss, the median temperature, the counts.

        And what was found in validating, where an epoch ends; of step 0, how large the network is.
        """
        about = {**self.config.about, "kimg": self.kimg_at(stop), "step": stop}
        training = {"kind": "training", "split": "train", **about}
        if stop == 0:
            yield {**training, "metric": "parameters", "value": self.state.parameters}
            return
        for (metric, layer), values in self.history.items():
            found = {"metric": metric, "value": _summary(metric, values[start:stop]), "n": stop - start}
            yield {**training, **({"layer": layer} if layer else {}), **found}
        for metric, value in self.validated.get(self.ends.get(stop, 0), {}).items():
            found = {"metric": metric, "value": value, "n": len(self.held)}
            yield {"kind": "classifier", "split": "validation", **about, **found}


def train(config: TrainingConfig, cell: CellFolder) -> None:
    """Train the classifier of a cell, from its last checkpoint if it has one, or from that of a shorter run.

    Raises:
        UsageError: there is no such layer, or the network cannot take the images.
        DivergedError: a loss became NaN or infinite; the message names step and loss.
    """
    with products.restored():
        training = begin(config, cell)
        frame.train(training, cell, LENGTH if config.settings.schedule == "constant" else ())


def begin(config: TrainingConfig, cell: CellFolder) -> ClassifierTraining:
    """Load the images and make the network of a run that starts at step 0."""
    accelerator, arithmetic = frame.begin(config, cell, products.way())
    products.use(arithmetic.products)
    images = imagesets.load(config.imageset, "train", **cell.data)
    fit, held = carve(len(images), config.validation, config.seed)
    seed_torch(config.seed, "weights")
    network: nn.Module = registry.load("classifiers", config.classifier).build(config.settings, config.spec_of_images)
    objective = _objective(config, network, images, fit)
    state = ClassifierState(network, objective, config, accelerator)
    return ClassifierTraining(
        accelerator=accelerator, arithmetic=arithmetic, config=config, images=images, fit=fit, held=held, state=state
    )


def _objective(config: TrainingConfig, network: nn.Module, images: ImageSet, fit: Tensor) -> Objective:
    """Equation (3) for a network that is yet to be trained; its first batch tells what features it has, and how far."""
    layers, features, labels = config.settings.hidden_layers, {}, torch.empty(0, device="cpu")
    if layers is None or config.temperature == "learn":
        first = fit[batch_indices(len(fit), config.settings.batch, config.seed, 0)]
        labels = images.classes(first)
        with torch.no_grad():
            features = copy.deepcopy(network)(images.batch(first))[1]
    chosen = chosen_layers(config.snnl_layers, layers or features)
    objective = Objective(config.alpha, chosen if config.alpha else (), config.temperature, config.distance)
    if config.temperature == "learn":
        objective.start(features, labels)
    return objective


def train_step(training: ClassifierTraining) -> None:
    """One update of the network, and of learned temperatures."""
    state, config, settings = training.state, training.config, training.config.settings
    seed_torch(config.seed, "step", state.step, rank())  # dropout's, if there is any
    picked = training.fit[batch_indices(len(training.fit), settings.batch, config.seed, state.step)]
    pixels = augmented(training.images.pixels(share(picked)), settings.augmentation, config.seed, state.step)
    x = imagesets.to_float(pixels.to(training.accelerator.device)).to(memory_format=torch.channels_last)
    with training.autocast():
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


def validate(training: ClassifierTraining) -> dict[str, float]:
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
    with training.autocast():
        logits = logits_of(network, training.images.pixels(own), device).double()
    sums = torch.stack([(logits.argmax(1) == labels).sum(), F.cross_entropy(logits, labels, reduction="sum")])
    correct, loss = training.accelerator.reduce(sums.to(device), "sum").tolist()
    return {"accuracy": correct / len(training.held), "nll": loss / len(training.held)}


def _summary(metric: str, values: Tensor) -> float:
    """What a row says of a loss, a count or a temperature at several steps (n,)."""
    if metric in COUNTS:
        return int(values.sum())
    return (values.nanmedian() if metric == "temperature" else values.mean()).item()
