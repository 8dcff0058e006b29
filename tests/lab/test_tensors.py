"""Tensors as bytes, and networks that take them."""

import pickle
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load, save

from lab.training.state import TrainingState
from lab.training.tensors import contiguous, fill, load_weights, packed, save_weights, unpacked


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


class Versioned(torch.nn.Linear):
    """A layer that asks which version of it was saved, as some of torchvision's do."""

    _version = 3

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *others):
        assert local_metadata["version"] == 3
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *others)


class OneNetwork(TrainingState):
    def __init__(self):
        self.network = torch.nn.Sequential(Versioned(2, 3), torch.nn.BatchNorm1d(3))

    def networks(self):
        return {"network": self.network}

    def rest(self):
        return {}


def test_layers_that_ask_for_their_version_are_told_it(tmp_path):
    """A .safetensors does not hold it."""
    saved, restored, loaded = OneNetwork(), OneNetwork(), OneNetwork()
    restored.restore(SimpleNamespace(files=saved.files(), step=4))
    save_weights(saved.network, tmp_path / "kept.safetensors")
    load_weights(loaded.network, tmp_path / "kept.safetensors")
    for other in (restored, loaded):
        for name, value in saved.network.state_dict().items():
            assert torch.equal(other.network.state_dict()[name], value)


class Plain(torch.nn.Linear):
    """A network whose state dict is a plain dictionary, as people's own may be; it tells no versions."""

    def state_dict(self, *arguments, **settings):
        return dict(super().state_dict(*arguments, **settings))


def test_networks_that_tell_no_versions_are_filled():
    network, weights = Plain(2, 3), {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}
    fill(network, weights)
    assert torch.equal(network.weight, weights["weight"])
