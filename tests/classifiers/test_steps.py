"""Parts of the supervised loop by themselves: what a row says of several steps, and what a step draws."""

import math
from types import SimpleNamespace

import pytest
import torch
from making import NOWHERE
from torch.nn.modules.batchnorm import _BatchNorm

import classifiers._loop as loop
from classifiers import resnet
from classifiers._config import TrainingConfig
from classifiers._objective import Objective
from classifiers._state import ClassifierState
from lab.training.frame import make_accelerator


def test_a_row_is_the_median_of_the_temperatures_that_there_are_and_the_sum_of_counts():
    values = torch.tensor([0.5, math.nan, 2.0, 1.0])
    assert loop._summary("temperature", values) == 1
    assert loop._summary("no_repeat", torch.tensor([1.0, 0, 1])) == 2
    assert loop._summary("snnl", torch.tensor([1.0, 2, 6])) == 3


def test_each_process_draws_its_own_dropout(monkeypatch):
    seeds, training = [], SimpleNamespace(state=SimpleNamespace(step=3), config=SimpleNamespace(seed=0, settings=None))

    class Seeded:
        def manual_seed(self, seed):
            seeds.append(seed)
            raise StopIteration

    monkeypatch.setattr(torch, "default_generator", Seeded())
    for rank in (0, 1, 0):
        monkeypatch.setattr(loop, "rank", lambda rank=rank: rank)
        with pytest.raises(StopIteration):
            loop.train_step(training)
    assert seeds[0] == seeds[2] != seeds[1]


def begun(name, **values):
    """A training of a small network on digits."""
    fixed = {"classifier": name, "precision": "float32", "device": "cpu"}
    return loop.begin(TrainingConfig.parse({**fixed, **values}), NOWHERE)


def test_training_and_validation_are_in_the_precision_of_the_training():
    training, seen = begun("cnn", settings={"width": 2}, precision="bf16"), []
    training.state.bare.fc1.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    loop.train_step(training)
    loop.validate(training)
    assert seen == [torch.bfloat16] * 2
    assert {weight.dtype for weight in training.state.bare.parameters()} == {torch.float32}


def test_what_a_step_shows_is_augmented_anew_in_each_step(monkeypatch):
    asked = []
    monkeypatch.setattr(loop, "augmented", lambda images, *how: (asked.append(how), images)[1])
    training = begun("cnn", settings={"width": 2, "augmentation": "shift"}, seed=4)
    for _ in range(2):
        loop.train_step(training)
    assert asked == [("shift", 4, 0), ("shift", 4, 1)]


def test_statistics_of_all_processes_are_in_every_norm():
    run = TrainingConfig.parse({"classifier": "resnet", "settings": {"depth": 1}, "sync_batchnorm": True})
    network = resnet.build(run.settings, run.spec_of_images)
    state = ClassifierState(network, Objective(), run, make_accelerator("cpu"))
    norms = {type(module) for module in state.bare.modules() if isinstance(module, _BatchNorm)}
    assert norms == {torch.nn.SyncBatchNorm}
