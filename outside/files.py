"""Tensors from files of the user's: points with labels, and weights. No file is unpickled beyond its tensors."""

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from lab.errors import UsageError, WorkbenchError, first_line

WRAPPERS = ("state_dict", "model")
"""Under which names training scripts keep a network's weights beside other things."""


def read_points(path: Path) -> tuple[Tensor, Tensor]:
    """The arrays `x` (n, ...) and `labels` (n,) of an .npz or .safetensors file, as floating and int64 tensors.

    Raises:
        UsageError: the file's name ends otherwise.
        WorkbenchError: the file cannot be read, an array is missing, or shapes or types do not fit.
    """
    if path.suffix not in {".npz", ".safetensors"}:
        raise UsageError(f"{path}: expected a file .npz or .safetensors with the arrays x and labels.")
    with _reading(path, "an archive of arrays"):
        names, arrays = _load_npz(path) if path.suffix == ".npz" else _load_safetensors(path)
    missing = [name for name in ("x", "labels") if name not in arrays]
    if missing:
        raise WorkbenchError(f"{path} has no array {' and no '.join(missing)}; it has: {', '.join(names) or 'none'}.")
    x, labels = arrays["x"], arrays["labels"]
    if labels.ndim != 1 or x.ndim < 1 or len(x) != len(labels):
        shapes = f"x is {tuple(x.shape)} and labels {tuple(labels.shape)}"
        raise WorkbenchError(f"{path}: {shapes}; expected x (n, ...) and labels (n,).")
    if x.is_complex() or labels.is_complex():
        raise WorkbenchError(f"{path}: x and labels must be real numbers, not complex ones.")
    return x if x.is_floating_point() else x.float(), _whole(labels, path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a state dict that torch saved; nothing else is unpickled.

    Raises:
        WorkbenchError: the file cannot be read, or holds more than tensors.
    """
    with _reading(path, "weights"):
        if path.suffix == ".safetensors":
            return load_file(path)
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise WorkbenchError(f"{path} is no plain state dict: save model.state_dict() alone.") from error
    for key in WRAPPERS:
        found = found[key] if isinstance(found, Mapping) and isinstance(found.get(key), Mapping) else found
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise WorkbenchError(f"{path} is no plain state dict: save model.state_dict() alone.")
    return {str(key).removeprefix("module."): value for key, value in found.items()}  # `module.`: of DataParallel


def _load_npz(path: Path) -> tuple[list[str], dict[str, Tensor]]:
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("it is no zip archive")
    with np.load(path, allow_pickle=False) as found:
        return found.files, {name: _tensor(name, found[name]) for name in ("x", "labels") if name in found.files}


def _tensor(name: str, array: np.ndarray) -> Tensor:
    if array.dtype.kind not in "biufc":
        raise ValueError(
            f"{name} must be numbers, not {array.dtype}; np.unique(names, return_inverse=True)[1] numbers names"
        )
    return torch.from_numpy(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))


def _load_safetensors(path: Path) -> tuple[list[str], dict[str, Tensor]]:
    found = load_file(path)
    return list(found), found


def _whole(labels: Tensor, path: Path) -> Tensor:
    if labels.is_floating_point():
        broken = (labels != labels.round()) | ~labels.isfinite()
        if broken.any():
            where = int(broken.nonzero()[0])
            raise WorkbenchError(f"{path}: labels[{where}] = {labels[where]:g} is no whole number.")
    return labels.long()


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:  # damaged files raise errors of every kind
        raise WorkbenchError(f"{path} cannot be read as {what}: {first_line(error)}") from error
