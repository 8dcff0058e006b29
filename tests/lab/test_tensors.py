"""Tensors as bytes."""

import pickle

import pytest
import torch
from safetensors.torch import load, save

from lab.training.tensors import contiguous, packed, unpacked


def test_what_was_packed_is_unpacked():
    value = {"b": [torch.arange(3), 1.5], "a": {"x": torch.zeros(2, 0)}}
    found = unpacked(packed(value))
    assert list(found) == ["b", "a"] and found["b"][1] == 1.5
    assert found["b"][0].equal(value["b"][0]) and found["a"]["x"].shape == (2, 0)
    assert packed(value) == packed(value)


def test_nothing_is_run_in_unpacking():
    class Harm:
        def __reduce__(self):
            return pytest.fail, ("it was run",)

    with pytest.raises(pickle.UnpicklingError, match="weights_only"):
        unpacked(packed(Harm()))


def test_every_memory_order_is_saved_as_it_reads():
    x = torch.arange(24.0).view(1, 2, 3, 4).to(memory_format=torch.channels_last).requires_grad_()
    assert load(save(contiguous({"x": x})))["x"].equal(x)
