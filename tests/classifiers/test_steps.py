"""Parts of the supervised loop by themselves: what a row says of several steps, and what a step draws."""

import math
from types import SimpleNamespace

import pytest
import torch

import classifiers._loop as loop


def test_a_row_is_the_median_of_the_temperatures_that_there_are_and_the_sum_of_counts():
    values = torch.tensor([0.5, math.nan, 2.0, 1.0])
    assert loop._summary("temperature", values) == 1
    assert loop._summary("no_repeat", torch.tensor([1.0, 0, 1])) == 2
    assert loop._summary("snnl", torch.tensor([1.0, 2, 6])) == 3


def test_each_process_draws_its_own_dropout(monkeypatch):
    seeds, training = [], SimpleNamespace(state=SimpleNamespace(step=3), config=SimpleNamespace(seed=0, settings=None))

    def seeded(seed):
        seeds.append(seed)
        raise StopIteration

    monkeypatch.setattr(torch, "manual_seed", seeded)
    for rank in (0, 1, 0):
        monkeypatch.setattr(loop, "rank", lambda rank=rank: rank)
        with pytest.raises(StopIteration):
            loop.train_step(training)
    assert seeds[0] == seeds[2] != seeds[1]
