"""Weights of a file for a network: found in whatever training scripts save, under whichever names wrappers give them.

Scripts keep a network's tensors under a key, beside an optimizer and other things, and wrappers put words into their
names: `module` (DataParallel, AveragedModel), `_orig_mod` (torch.compile), or an attribute of theirs, as `model`. So a
file is read as tensors with dotted names, and the part of it is taken whose names are the network's.
"""

import pickle
import warnings
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lab.errors import NO_MEMORY, WorkbenchError, first_few, out_of_memory
from lab.training.tensors import fill
from outside.files import read_safetensors, reading

WRAPPERS = {"module", "_orig_mod"}
"""The words that wrappers of torch put anywhere into names."""
AVERAGED, COUNTER = "n_averaged", "num_batches_tracked"
"""The last words of names of tensors that count, for AveragedModel and BatchNorm, and decide no output."""
PLAIN = "plain"
"""A tensor that can be copied to another."""


def weights_for(network: nn.Module, path: Path) -> dict[str, Tensor]:
    """The tensors of a file by the network's names, as far as they have them; whether all fit is not looked at.

    The file is a .safetensors, or what torch saved, of which nothing but tensors is unpickled.

    Raises:
        WorkbenchError: the file cannot be read, holds no tensors, or holds the network several times.
    """
    own, found = network.state_dict(), read_weights(path)
    weights = {name: value for name, value in found.items() if name in own or _last(name) != AVERAGED}
    if weights.keys() == own.keys():
        return weights
    plain = {_plain(name): name for name in own}
    parts = _parts(weights)
    fitting = [part for part in parts if _deciding(part) == _deciding(plain)]
    if any(not _same(weights, fitting[0], part) for part in fitting[1:]):
        found_as = ", ".join(sorted({part[next(iter(plain))][0] for part in fitting}))
        raise WorkbenchError(f"{path} holds the network several times ({found_as}): save one of them alone.")
    part = fitting[0] if fitting else max(parts, key=lambda part: len(part.keys() & plain.keys()))
    if not part.keys() & plain.keys():
        return weights
    for given in (part.get(name, []) for name in plain):
        if len(given) > 1:
            raise WorkbenchError(f"{path} holds both {' and '.join(sorted(given))}: save one of them alone.")
    return {plain.get(name, name): weights[given] for name, (given, *_) in part.items()}


def fit_weights(network: nn.Module, weights: Mapping[str, Tensor], problem: str) -> None:
    """Load weights into a network.

    Raises:
        WorkbenchError: they are not all of its tensors and no others, or some have numbers that the network's dtype
            has not, which torch casts in silence (findings/torch-strict-loading-casts-in-silence.sh); the message
            begins with `problem`.
    """
    own = network.state_dict()
    shared = [(key, weights[key], value) for key, value in own.items() if key in weights]
    faults = {
        "missing": [key for key in own if key not in weights and _last(key) != COUNTER],
        "unknown": [key for key in weights if key not in own],
        "of another shape": [
            f"{key} {tuple(given.shape)} instead of {tuple(value.shape)}"
            for key, given, value in shared
            if given.shape != value.shape
        ],
        "of another kind": [f"{key}, {_kind(given)}" for key, given, value in shared if _kind(given) != _kind(value)],
        "of numbers that it cannot hold": [
            f"{key}, {given.dtype} for {value.dtype}"
            for key, given, value in shared
            if _kind(given) == _kind(value) == PLAIN and given.shape == value.shape and not _holds(value.dtype, given)
        ],
    }
    told = [f"{len(names)} {fault} ({first_few(names)})" for fault, names in faults.items() if names]
    if told:
        raise WorkbenchError(f"{problem}: of its tensors, {', '.join(told)}.")
    fill(network, {**own, **weights})


def read_weights(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file .safetensors, or that torch saved, by its dotted name; nothing else is unpickled.

    Raises:
        WorkbenchError: the file cannot be read, or holds no tensors.
    """
    with reading(path, "weights"):
        if path.suffix.lower() == ".safetensors":
            return read_safetensors(path)
        path.open("rb").close()  # what may not be read is told as such
        try:
            safe = torch.serialization.safe_globals([Namespace])  # which scripts save beside weights; it runs nothing
            with safe, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of scripts and sparse tensors, which are told of otherwise
                found = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise WorkbenchError(f"{path} is no plain state dict: save model.state_dict() alone.") from error
        except (RuntimeError, EOFError, OSError) as error:  # which speaks of torch's own code
            if out_of_memory(error):
                raise WorkbenchError(NO_MEMORY) from error
            kinds = "a .safetensors is read, or a state dict that torch.save wrote"
            raise WorkbenchError(f"{path} is no file of weights, or a damaged one: {kinds}.") from error
        tensors = dict(_flat(found)) if isinstance(found, Mapping) else {}
    if not tensors:
        raise WorkbenchError(f"{path} is no plain state dict: save model.state_dict() alone.")
    return tensors


def _flat(found: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Tensor]]:
    for key, value in found.items():
        if isinstance(value, Tensor):
            yield f"{above}{key}", value
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")


def _parts(names: Iterable[str]) -> list[dict[str, list[str]]]:
    """For the whole, and for each beginning of names, what comes after it: plain, with the names in the file."""
    parts: dict[tuple[str, ...], dict[str, list[str]]] = {(): {}}
    for name in names:
        words = tuple(name.split("."))
        for i in range(len(words)):
            parts.setdefault(words[:i], {}).setdefault(_plain(".".join(words[i:])), []).append(name)
    return list(parts.values())


def _plain(name: str) -> str:
    """A name without the words of wrappers; its last word is a tensor's."""
    *above, last = name.split(".")
    return ".".join([*(word for word in above if word not in WRAPPERS), last])


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _kind(tensor: Tensor) -> str:
    """What of a tensor keeps it from being copied to one that is otherwise."""
    kinds = {
        "complex": tensor.is_complex(),
        "sparse": tensor.layout != torch.strided,
        "quantized": tensor.is_quantized,
        "without values": tensor.is_meta,
    }
    return " and ".join(kind for kind, there in kinds.items() if there) or PLAIN


def _holds(dtype: torch.dtype, values: Tensor) -> bool:
    """Whether numbers are the same in a dtype, but for rounding to floating ones."""
    held = values.to(dtype)
    if dtype.is_floating_point:
        return torch.equal(held.isfinite(), values.isfinite())
    return torch.equal(held.to(values.dtype), values)


def _deciding(names: Iterable[str]) -> set[str]:
    return {name for name in names if _last(name) != COUNTER}


def _same(weights: Mapping[str, Tensor], one: Mapping[str, list[str]], other: Mapping[str, list[str]]) -> bool:
    return all(torch.equal(weights[one[name][0]], weights[other[name][0]]) for name in _deciding(one))
