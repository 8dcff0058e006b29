"""Tensors from files of the user's: points with labels. No file is unpickled beyond its tensors."""

import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from lab.errors import UsageError, WorkbenchError, first_line
from lab.files import unchanged, write_arrays

if TYPE_CHECKING:
    from numpy.lib.npyio import NpzFile

LABELS = "labels"
NUMBERED = "np.unique(names, return_inverse=True)[1] numbers names"
ZIPPED = (b"PK\3\4", b"PK\5\6")
"""How an archive of some files or of none begins; numpy looks for none behind something else."""
EXACT = 2.0**53
"""Below it float64 holds every whole number."""


def read_points(path: Path) -> tuple[Tensor, Tensor]:
    """The arrays `x` (n, ...) and `labels` (n,) of an .npz or .safetensors file, as floating and int64 tensors.

    Raises:
        UsageError: the file's name ends otherwise.
        WorkbenchError: the file cannot be read, an array is missing, or shapes or types do not fit.
    """
    names, arrays = _arrays(path, "the arrays x and labels", {"x", LABELS})
    missing = [name for name in ("x", LABELS) if name not in arrays]
    if missing:
        raise WorkbenchError(f"{path} has no array {' and no '.join(missing)}; it has: {', '.join(names) or 'none'}.")
    return _floating(path, "x", arrays["x"], arrays[LABELS]), _whole(arrays[LABELS], path)


def read_layers(path: Path) -> tuple[dict[str, Tensor], Tensor | None]:
    """The arrays of an .npz or .safetensors file: all (n, ...), floating, by name, but `labels` (n,), int64 or None.

    Raises:
        UsageError: the file's name ends otherwise.
        WorkbenchError: the file cannot be read, there are no layers or rows, or shapes or types do not fit.
    """
    _, arrays = _arrays(path, "an array for each layer, and labels", None)
    labels = arrays.pop(LABELS, None)
    if not arrays:
        raise WorkbenchError(f"{path} has no array of a layer beside labels: name one as you like, such as x.")
    layers = {name: _floating(path, name, x, labels) for name, x in arrays.items()}
    if not len(next(iter(layers.values()))):
        raise WorkbenchError(f"{path} holds no points: its arrays are empty.")
    return layers, None if labels is None else _whole(labels, path)


def read_labelled_layers(path: Path) -> tuple[dict[str, Tensor], Tensor]:
    """As `read_layers`, where there must be labels."""
    layers, labels = read_layers(path)
    if labels is None:
        raise WorkbenchError(f"{path} has no array labels; it has: {', '.join(layers)}.")
    return layers, labels


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as a compressed .npz, whole or not at all; of layers and labels `read_layers` reads it again."""
    write_arrays(path, {name: x.cpu().numpy() for name, x in tensors.items()})


def _arrays(path: Path, expected: str, wanted: Collection[str] | None) -> tuple[list[str], dict[str, Tensor]]:
    """The names of all arrays of a file, and those that are wanted; None for all."""
    kind = path.suffix.lower()
    if kind not in {".npz", ".safetensors"}:
        raise UsageError(f"{path}: expected a file .npz or .safetensors with {expected}.")
    with reading(path, "an archive of arrays"):
        if kind == ".safetensors":
            tensors = read_safetensors(path)
            return list(tensors), tensors
        with archive_of_arrays(path) as found:
            names = [name for name in found.files if wanted is None or name in wanted]
            return found.files, {name: _tensor(name, array_of(found, name)) for name in names}


def _tensor(name: str, array: np.ndarray) -> Tensor:
    if array.dtype.kind not in "biufc":
        raise ValueError(f"{name} must be numbers, not {array.dtype}; {NUMBERED}")
    if not hasattr(torch, array.dtype.name):
        raise ValueError(f"{name} is {array.dtype}, and torch has no numbers of more than 64 bits; save it as float64")
    return torch.from_numpy(np.asarray(array, array.dtype.newbyteorder("="), order="C"))


def _floating(path: Path, name: str, x: Tensor, labels: Tensor | None) -> Tensor:
    """The array `name` in floating numbers, if it has a row for each label: float64 for integers that this holds."""
    if x.ndim < 1 or (labels is not None and (labels.ndim != 1 or len(x) != len(labels))):
        with_labels = "" if labels is None else f" and labels {tuple(labels.shape)}"
        expected = "" if labels is None else " and labels (n,)"
        raise WorkbenchError(f"{path}: {name} is {tuple(x.shape)}{with_labels}; expected {name} (n, ...){expected}.")
    if x.is_complex() or (labels is not None and labels.is_complex()):
        raise WorkbenchError(f"{path}: {name} and labels must be real numbers, not complex ones.")
    if not x.shape[1:].numel():
        raise WorkbenchError(f"{path}: {name} is {tuple(x.shape)}: it has no features.")
    if x.is_floating_point():
        return x
    wide = x.double()
    if (wide.abs() >= EXACT).any():
        raise WorkbenchError(f"{path}: {name} has integers of 2^53 or more, which float64 would round: shift them.")
    return wide


def _whole(labels: Tensor, path: Path) -> Tensor:
    bad = torch.zeros_like(labels, dtype=torch.bool)
    if labels.is_floating_point():
        labels = labels.double()  # of 8 bits none can be rounded
        bad = (labels != labels.round()) | ~(labels.abs() < 2.0**63)
    elif labels.dtype == torch.uint64:
        bad = labels.long() < 0
    if bad.any():
        where = int(bad.nonzero()[0])
        raise WorkbenchError(f"{path}: labels[{where}] = {labels[where].item():g} is no whole number of 64 bits.")
    return labels.long()


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, in memory: those of `load_file` lie in the file, change where it is written
    anew, and end the process where it is cut off; an error of any kind where it cannot be read."""
    return {name: tensor.clone() for name, tensor in load_file(path).items()}


@contextmanager
def archive_of_arrays(path: Path) -> Iterator["NpzFile"]:
    """An .npz to be read in the block, without unpickling.

    Raises:
        WorkbenchError: it cannot be read, or the block raised an error.
    """
    with reading(path, "an archive of arrays"):
        with path.open("rb") as file:
            if file.read(4) not in ZIPPED or not zipfile.is_zipfile(file):  # numpy would take it for pickled objects
                raise ValueError("it is no zip archive")
        with np.load(path, allow_pickle=False) as found:
            yield found


def array_of(archive: "NpzFile", name: str) -> np.ndarray:
    """An array of an archive; ValueError where it is of objects, or is none, of which numpy gives the bytes."""
    try:
        found = archive[name]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        raise ValueError(f"{name} holds Python objects, and none are unpickled: save numbers; {NUMBERED}") from error
    if not isinstance(found, np.ndarray):
        raise ValueError(f"{name} is no array")
    return found


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Tell in one line that a file cannot be read as what it should be, whatever error says so.

    Raises:
        WorkbenchError: the block raised an error, or the file changed meanwhile.
    """
    try:
        with unchanged(path):
            yield
    except WorkbenchError:
        raise
    except Exception as error:  # damaged files raise errors of every kind
        raise WorkbenchError(f"{path} cannot be read as {what}: {first_line(error)}") from error
