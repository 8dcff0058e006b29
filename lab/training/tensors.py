"""Tensors as bytes, and a network's weights as a file."""

import io
import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from lab.cells.proofs import check
from lab.errors import WorkbenchError, first_line
from lab.files import atomic_write, from_json

ABOUT = "about"
"""What the entry of a weights file's metadata is called that tells of the network."""
TRAIN_AGAIN = "remove the cell's folder and train it again"


def packed(value: Any) -> bytes:
    """Tensors in dictionaries and lists, in order, as bytes."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def unpacked(data: bytes) -> Any:
    """What `packed` packed, on the CPU, whichever GPU it lay on; nothing else is run or made."""
    return torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")


def contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict as safetensors takes it: every tensor in plain memory order."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def parameters_of(network: nn.Module) -> int:
    """How many parameters a network has."""
    return sum(parameter.numel() for parameter in network.parameters())


def fill(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a network all tensors of its state dict, whose modules are of the versions that this network's are.

    Some of torch's and torchvision's modules ask which version they were saved with, and a .safetensors does not say
    (findings/safetensors-loses-the-version-that-mnasnet-asks-for.sh).

    Raises:
        RuntimeError: they are not the network's.
    """
    state: Any = OrderedDict(weights)
    state._metadata = getattr(network.state_dict(), "_metadata", None)  # a plain dictionary has none
    network.load_state_dict(state)


def save_weights(network: nn.Module, path: Path, about: dict[str, Any] | None = None) -> None:
    """Write a network's weights and buffers, whole or not at all; its folder is made if it is not there.

    `about`, JSON-ready, goes into the file's metadata, so that the file alone tells what network it is of.
    """
    path.parent.mkdir(exist_ok=True)
    metadata = None if about is None else {ABOUT: json.dumps(about, sort_keys=True)}
    atomic_write(path, save(contiguous(network.state_dict()), metadata))


def weights_about(path: Path) -> dict[str, Any] | None:
    """What a file of weights says of its network; None if it says nothing.

    Raises:
        WorkbenchError: it is no such file.
    """
    try:
        with safe_open(path, "pt") as file:
            said = (file.metadata() or {}).get(ABOUT)
        return None if said is None else from_json(said)
    except (OSError, SafetensorError, ValueError) as error:
        raise WorkbenchError(f"{path} is damaged, or no .safetensors of weights: {first_line(error)}") from error


def load_weights(network: nn.Module, path: Path, known: str | None = None, advice: str = TRAIN_AGAIN) -> None:
    """Give a network what `save_weights` wrote; `known` is the hash of it, and `advice` what to do if it does not fit.

    Raises:
        WorkbenchError: the file is damaged or another's, does not fit, or holds numbers that are not finite.
    """
    try:
        data = path.read_bytes()
        check(path, data, known)
        fill(network, load(data))
    except (OSError, SafetensorError, RuntimeError) as error:
        problem = f"{path} is damaged or of another network ({first_line(error)})"
        raise WorkbenchError(f"{problem}: {advice}.") from error
    for name, value in network.state_dict().items():
        if not value.isfinite().all():
            problem = f"{path} holds weights that are not finite ({name})"
            raise WorkbenchError(f"{problem}: the training has diverged; train again with a smaller learning rate.")
