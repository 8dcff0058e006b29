"""Weights of a file for a network, whatever wraps them there."""

from argparse import Namespace
from functools import reduce
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from lab.errors import WorkbenchError
from outside.weights import fit_weights, weights_for


class Net(nn.Module):
    """A part of it is called as wrappers call what they hold."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)
        self.module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4))


def network(seed=0):
    torch.manual_seed(seed)
    return Net()


def plain(seed=1):
    return network(seed).state_dict()


def named(prefix):
    return lambda state: {f"{prefix}.{name}": value for name, value in state.items()}


def under(key, **beside):
    return lambda state: {**beside, key: state}


def averaged(state):
    return {"n_averaged": torch.tensor(3), **named("module")(state)}


def compiled_parts(state):
    return {
        name.replace("stem.", "stem._orig_mod.").replace("module.", "module.module."): x for name, x in state.items()
    }


def with_an_optimizer(state):
    net = network(1)
    adam = torch.optim.Adam(net.parameters())
    sum(parameter.sum() for parameter in net.parameters()).backward()
    adam.step()
    return {"epoch": 3, "args": Namespace(lr=0.1), "optimizer": adam.state_dict(), "model": state, "best": 0.5}


WRAPS = {
    "plain": [],
    "compiled": [named("_orig_mod")],
    "parallel": [named("module")],
    "compiled, parallel": [named("_orig_mod"), named("module")],
    "parallel, compiled": [named("module"), named("_orig_mod")],
    "averaged": [averaged],
    "averaged of compiled": [named("_orig_mod"), averaged],
    "compiled parts": [compiled_parts],
    "an attribute of another module": [named("model")],
    **{
        key: [under(key)] for key in ("model_state_dict", "state_dict", "model", "ema", "model_ema", "net", "generator")
    },
    "deep": [named("module"), under("model"), under("state_dict")],
    "averaged under a key": [averaged, under("ema", decay=0.9)],
    "beside an optimizer": [with_an_optimizer],
    "without counters": [lambda state: {k: x for k, x in state.items() if "num_batches" not in k}, named("module")],
}


def flat(state, above=""):
    """What a .safetensors, which has no dictionaries within, can hold of it."""
    found = {}
    for key, value in state.items():
        if isinstance(value, torch.Tensor):
            found[f"{above}{key}"] = value.clone()
        elif isinstance(value, dict):
            found |= flat(value, f"{above}{key}.")
    return found


def save(state, path):
    save_file(flat(state), path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("wraps", WRAPS.values(), ids=WRAPS)
def test_wrapped_weights_load_as_plain_ones_do(tmp_path, wraps, ending):
    path = save(reduce(lambda state, wrap: wrap(state), wraps, plain()), tmp_path / f"a.{ending}")
    net = network()
    fit_weights(net, weights_for(net, path), "no")
    assert all(torch.equal(value, plain()[name]) for name, value in net.state_dict().items())


def test_what_torch_wraps_by_itself_loads(tmp_path):
    net = network(1)
    path = save({"ema": AveragedModel(torch.compile(AveragedModel(net))).state_dict()}, tmp_path / "a.pth")
    fresh = network()
    fit_weights(fresh, weights_for(fresh, path), "no")
    assert all(torch.equal(value, plain()[name]) for name, value in fresh.state_dict().items())


def test_an_average_that_is_the_network_itself_keeps_its_counter(tmp_path):
    mean, fresh = AveragedModel(network(1)), AveragedModel(network())
    mean.n_averaged += 7
    fit_weights(fresh, weights_for(fresh, save(mean.state_dict(), tmp_path / "a.pth")), "no")
    assert fresh.n_averaged == 7 and torch.equal(fresh.module.stem.weight, mean.module.stem.weight)


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize(
    "state, names",
    [
        ({"model": plain(1), "ema": plain(2)}, {"model.stem.weight", "ema.stem.weight"}),
        ({"a": {"b": plain(1)}, "module": plain(2)}, {"a.b.stem.weight", "module.stem.weight"}),
        ({**plain(1), **named("_orig_mod")(plain(2))}, {"stem.weight", "_orig_mod.stem.weight"}),
        ({**named("_orig_mod")(plain(2)), **plain(1)}, {"stem.weight", "_orig_mod.stem.weight"}),
        ({**named("model.module")(plain(2)), **named("model._orig_mod")(plain(1))}, {"model.module.stem.weight"}),
    ],
)
def test_what_may_be_meant_twice_is_refused_by_names(tmp_path, ending, state, names):
    with pytest.raises(WorkbenchError, match=r"a.\w+ holds (the network several times|both) .*: save one") as refused:
        weights_for(network(), save(state, tmp_path / f"a.{ending}"))
    assert all(name in str(refused.value) for name in names) and "\n" not in str(refused.value)


def test_the_same_weights_twice_are_no_choice(tmp_path):
    path = save({"model": plain(1), "ema": plain(1)}, tmp_path / "a.pth")
    assert torch.equal(weights_for(network(), path)["stem.weight"], plain(1)["stem.weight"])


@pytest.mark.parametrize("wrap", [lambda state: state, under("model", epoch=3), named("module")])
def test_what_does_not_fit_is_told_in_the_networks_names(tmp_path, wrap):
    state = {name: value for name, value in plain().items() if name != "norm.bias"}
    state |= {"module.2.bias": torch.zeros(5), "extra": torch.zeros(1)}
    net, path = network(), save(wrap(state), tmp_path / "a.pth")
    words = (
        r"1 missing \(norm.bias\), 1 unknown \(extra\), 1 of another shape \(module.2.bias \(5,\) instead of \(4,\)\)"
    )
    with pytest.raises(WorkbenchError, match=f"^no: of its tensors, {words}"):
        fit_weights(net, weights_for(net, path), "no")


@pytest.mark.parametrize(
    "kind, of",
    [("complex", lambda x: x + 0j), ("sparse", torch.Tensor.to_sparse), ("without values", lambda x: x.to("meta"))],
)
def test_tensors_that_cannot_be_the_networks_are_of_another_kind(tmp_path, kind, of):
    net, path = network(), save({**plain(), "norm.bias": of(plain()["norm.bias"])}, tmp_path / "a.pth")
    before = net.norm.bias.clone()
    with pytest.raises(WorkbenchError, match=rf"^no: of its tensors, 1 of another kind \(norm.bias, {kind}\)\.$"):
        fit_weights(net, weights_for(net, path), "no")
    assert torch.equal(net.norm.bias, before)


@pytest.mark.parametrize("number, dtype", [(1e6, torch.float16), (0.9, torch.int64), (300, torch.uint8)])
def test_numbers_that_the_networks_dtype_has_not_are_refused(tmp_path, number, dtype):
    net = network()
    net.register_buffer("more", torch.zeros(2, dtype=dtype))
    state = {**net.state_dict(), "more": torch.tensor([1, number])}
    with pytest.raises(WorkbenchError, match=r"^no: of its tensors, 1 of numbers that it cannot hold \(more, torch\."):
        fit_weights(net, weights_for(net, save(state, tmp_path / "a.pth")), "no")
    assert net.more.tolist() == [0, 0]
    state["more"] = torch.tensor([1, 2.0 if dtype != torch.float16 else 0.1], dtype=torch.float64)
    fit_weights(net, weights_for(net, save(state, tmp_path / "a.pth")), "no")
    assert net.more.tolist() == state["more"].to(dtype).tolist()


def test_endings_are_taken_in_any_case(tmp_path):
    save_file(plain(), tmp_path / "A.SafeTensors")
    assert torch.equal(weights_for(network(), tmp_path / "A.SafeTensors")["stem.weight"], plain()["stem.weight"])


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_script_is_no_file_of_weights_and_nothing_else_is_said(tmp_path, recwarn):
    torch.jit.trace(nn.ReLU(), torch.zeros(2)).save(tmp_path / "net.pt")
    recwarn.clear()
    with pytest.raises(WorkbenchError, match=r"net\.pt is no file of weights, or a damaged one"):
        weights_for(network(), tmp_path / "net.pt")
    assert not recwarn.list


def test_nothing_but_tensors_is_unpickled(tmp_path):
    for number, content in enumerate([nn.Linear(2, 2), [1, 2], {"epoch": 3}, torch.zeros(3), {"model": network()}]):
        torch.save(content, tmp_path / f"{number}.pth")
        with pytest.raises(WorkbenchError, match=r"no plain state dict: save model.state_dict\(\) alone"):
            weights_for(network(), tmp_path / f"{number}.pth")
    (tmp_path / "text.pth").write_text("some text")
    with pytest.raises(WorkbenchError, match=r"text\.pth"):
        weights_for(network(), tmp_path / "text.pth")


def test_a_file_that_torch_cannot_read_is_told_what_is_read(tmp_path):
    """Whether it is an archive of something else, was cut off, or is empty."""
    torch.save(network().state_dict(), tmp_path / "whole.pth")
    np.savez(tmp_path / "a.npz", x=np.zeros(2))
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:-300])
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in ("a.npz", "cut.pth", "empty.pth"):
        with pytest.raises(WorkbenchError, match=rf"{name} is no file of weights, or a damaged one: a \.safetensors"):
            weights_for(network(), tmp_path / name)


def test_too_little_memory_is_no_fault_of_the_file(tmp_path, monkeypatch):
    torch.save(network().state_dict(), tmp_path / "whole.pth")
    monkeypatch.setattr(torch, "load", Mock(side_effect=RuntimeError("DefaultCPUAllocator: can't allocate memory")))
    with pytest.raises(WorkbenchError, match="not enough memory"):
        weights_for(network(), tmp_path / "whole.pth")
