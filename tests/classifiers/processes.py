"""What the tests of several processes run in each of them."""

import os
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from unittest import mock

import torch
from torch import nn

import classifiers._loop as loop
from classifiers._config import TrainingConfig
from classifiers._loop import ClassifierTraining, begin, train_step
from lab.cells.folder import CellFolder
from lab.cells.work import work
from lab.processes import rank, world_size
from tasks import train_classifier

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from chunked import ChunkedBatchNorm
from making import NOWHERE

STEPS, STOP = 3, 5
LAYERS = {
    "cnn": ["conv1", "fc2"],
    "mlp": ["fc1", "fc2", "fc3"],
    "resnet": ["block1", "block3"],
    "torchvision": ["stage2", "stage4"],
}
CASES = {
    "cnn": {"settings": {"width": 4}, "alpha": -0.02},
    "mlp": {"settings": {"width": 16}},
    "mlp, entangled": {"settings": {"width": 16}, "alpha": -0.02},
    "mlp, learned": {"settings": {"width": 16}, "alpha": 0.5, "temperature": "learn"},
    "resnet": {"settings": {"depth": 1, "learning_rate": 0.01, "augmentation": "flip-shift"}, "alpha": -0.02},
    "torchvision": {"settings": {"model": "shufflenet_v2_x0_5", "learning_rate": 0.001}, "alpha": -0.02},
}
WRONG = {
    "gradients not averaged": lambda training: mock.patch.object(training.state, "network", training.state.bare),
    "all with the first part": lambda training: mock.patch.dict(os.environ, RANK="0"),
    "each part's own SNNL": lambda training: mock.patch("snnl_core.loss.several", lambda: False),
}
"""What several processes may do to a step that is not what one does."""


def trained(case: str, wrong: str = "") -> dict:
    """What a few steps leave: weights, statistics, losses, and what validating finds."""
    name, values = case.partition(",")[0], CASES[case]
    settings = {"optimizer": "sgd", "batch": 32, **values["settings"]}
    about = {"classifier": name, "epochs": 1, "validation": 0.1005, "snnl_layers": LAYERS[name]}
    config = TrainingConfig.parse({**about, "precision": "float32", "device": "cpu", **values, "settings": settings})
    training = begin(config, NOWHERE)
    for module in training.state.bare.modules():
        if world_size() == 1 and isinstance(module, nn.BatchNorm2d):
            module.__class__ = ChunkedBatchNorm
    with WRONG[wrong](training) if wrong else nullcontext():
        for _ in range(STEPS):
            train_step(training)
    return state_of(training)


def all_trained() -> dict:
    """Every case, by name, and of several processes each wrong way of it, in float64 from end to end.

    There, what the number of processes does to the result stands far above what rounding does, on any processor.
    """
    torch.set_default_dtype(torch.float64)
    with mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
        found = {case: trained(case) for case in CASES}
        if world_size() > 1:
            found |= {f"{case}, {wrong}": trained(case, wrong) for case in ("cnn", "resnet") for wrong in WRONG}
    return found


def state_of(training: ClassifierTraining) -> dict:
    """All tensors of a training."""
    found = loop.validate(training)
    validated = {f"validation.{metric}": torch.tensor(value) for metric, value in found.items()}
    training.settle()
    state, history = training.state, {" ".join(curve).strip(): values for curve, values in training.history.items()}
    return {**state.bare.state_dict(), **state.objective.state_dict(), **history, **validated}


def cell(folder: Path, place: str) -> CellFolder:
    """A training of two processes with norms, entangled layers and validation."""
    about = {"classifier": "resnet", "settings": {"depth": 1}, "alpha": -0.02, "snnl_layers": ("block1", "block3")}
    how = {"epochs": 1, "snapshots": (0,), "precision": "float32", "device": "cpu", "processes": 2}
    cell = train_classifier.cell(train_classifier.Config.parse({**about, **how}), folder)
    local = {"data": str(folder), "download": False, "checkpoint_minutes": 0}
    return CellFolder.create(cell, folder / place, local)


def stop(folder: Path) -> None:
    """Do one cell up to its fifth step, and another whole."""

    def stops(training: ClassifierTraining) -> None:
        if training.state.step == STOP:
            raise KeyboardInterrupt
        train_step(training)

    with mock.patch.object(loop, "train_step", stops), suppress(KeyboardInterrupt):
        work(cell(folder, "broken"))
    work(cell(folder, "whole"))


def go_on(folder: Path) -> None:
    """Do the first one to its end."""
    work(cell(folder, "broken"))


def train(out: Path) -> None:
    """A few steps of several recipes, right and wrong; what they come to goes to a file."""
    found = all_trained()
    if rank() == 0:
        torch.save(found, out)
