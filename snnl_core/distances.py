"""Pairwise distances in full precision, and what every entry point demands of points and labels."""

import math
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from operator import index
from typing import Any, Literal, get_args

import torch
from torch import Tensor

Distance = Literal["sqeuclidean", "cosine"]

PIECE = 1 << 20
"""Differences held at a time."""


def check_points(x: Tensor, labels: Tensor, fewest: int = 2) -> tuple[Tensor, Tensor]:
    """Points as (n, d) in at least float32, and labels (n,) in int64 on the same device.

    Raises:
        TypeError: x is not floating, the labels are not integers, or either is no tensor.
        ValueError: shapes do not match, there are fewer than `fewest` points, or a label is 2^63 or more.
    """
    check_tensor("x", x)
    if not x.is_floating_point():
        raise TypeError(f"x must be floating, not {x.dtype}; convert it, e.g. x.double().")
    check_integers("labels", labels)
    if labels.ndim != 1 or x.ndim < 1 or len(x) != len(labels):
        raise ValueError(f"x is {tuple(x.shape)} and labels {tuple(labels.shape)}; labels must be (n,) for x (n, ...).")
    if len(x) < fewest:
        needed = "a neighbour needs at least two points" if fewest > 1 else "each process needs a point"
        raise ValueError(f"n = {len(x)}: {needed}.")
    flat = x.flatten(1) if x.ndim > 1 else x[:, None]
    return flat if flat.dtype == torch.float64 else flat.float(), labels.to(x.device, torch.int64)


def check_tensor(name: str, values: object, kind: str = "tensor") -> None:
    """Raise TypeError, naming it and the kind that it must be, unless it is a tensor with a number in each place."""
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} must be a {kind}, not {type(values).__name__}; {_remedy(values)}.")
    if values.layout != torch.strided or values.is_nested:
        layout = "nested" if values.is_nested else values.layout
        raise TypeError(f"{name} must be dense, not {layout}; convert it, e.g. with to_dense().")
    if values.is_quantized:
        raise TypeError(f"{name} must not be quantized, as {values.dtype} is; convert it, e.g. with dequantize().")
    if values.is_meta:
        raise TypeError(f"{name} is on the meta device, where tensors have no numbers.")
    if hasattr(values, "full_tensor"):  # not by its class: importing that takes long
        raise TypeError(
            f"{name} is a DTensor: give its to_local() where processes share a batch, or its full_tensor()."
        )


def _remedy(values: object) -> str:
    """How to make a tensor of what is none: of tensors in a container, strings, columns of pandas, or numbers."""
    held = values.values() if isinstance(values, Mapping) else values if isinstance(values, list | tuple) else ()
    if any(isinstance(each, Tensor) for each in held):
        return "take one of those in it, or join them"
    if getattr(values, "ndim", 1) == 1 and isinstance(values, Iterable) and isinstance(next(iter(values), None), str):
        return "number its strings, torch.as_tensor(numpy.unique(strings, return_inverse=True)[1])"
    return f"make it one with torch.as_tensor{' of its to_numpy()' if hasattr(values, 'to_numpy') else ''}"


def check_mapping(features: object) -> None:
    """Raise TypeError unless features are a mapping."""
    if not isinstance(features, Mapping):
        raise TypeError(f"features must be a mapping from layers to tensors, not {type(features).__name__}.")


def check_keys(name: str, state: object, keys: tuple[str, ...]) -> None:
    """Raise TypeError or ValueError, naming it, unless it is a mapping that has these keys and no others."""
    if not isinstance(state, Mapping):
        raise TypeError(f"the {name} must be a mapping, as state_dict gives, not {type(state).__name__}.")
    if set(state) != set(keys):
        found = ", ".join(map(str, state)) or "none"
        raise ValueError(f"the keys are {found}; expected {', '.join(keys)}, as in a {name} that state_dict gives.")


def check_integers(name: str, values: Tensor) -> None:
    """Raise TypeError, naming them, unless the values are a tensor of integers; ValueError if int64 has not all."""
    check_tensor(name, values)
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise TypeError(f"{name} must be integers, not {values.dtype}; convert them, e.g. {name}.long().")
    if values.dtype == torch.uint64 and bool((values.long() < 0).any()):
        raise ValueError(f"{name} must be below 2^63: number them anew, numpy.unique({name}, return_inverse=True)[1].")


def check_count(name: str, count: object) -> int:
    """The whole number as a plain one; raise TypeError, naming it, unless it is one."""
    try:
        return index(count)  # type: ignore[arg-type]
    except TypeError as error:
        raise TypeError(f"{name} must be a whole number, not {count!r}.") from error


def check_generator(generator: object) -> None:
    """Raise TypeError or ValueError unless it is a generator of the CPU, or None."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator, not {generator!r}.")
    if generator is not None and generator.device.type != "cpu":
        raise ValueError(f"generator must be one of the CPU, not of {generator.device}.")


def check_distance(distance: str) -> None:
    """Raise ValueError, naming those that are known, unless the distance is one of them."""
    if distance not in get_args(Distance):
        raise ValueError(f"unknown distance {distance!r}; known: {', '.join(get_args(Distance))}.")


def check_finite(points: Tensor) -> None:
    """Raise ValueError, naming the first bad row of the points (n, d), unless all are finite."""
    if not points.numel() or all(end.isfinite() for end in points.aminmax()):  # fast, and nearly always enough
        return
    bad = (~points.isfinite().all(1)).nonzero().flatten()
    if len(bad):
        raise ValueError(f"row {int(bad[0])} of x is not finite; {len(bad)} of {len(points)} rows are not.")


def prepare(x: Tensor, distance: Distance) -> Tensor:
    """Points whose squared Euclidean distances are the wanted ones.

    For the cosine distance, 1 - cos = |a - b|^2 / 2 on the unit sphere. A point at the origin stays there, unmoved.

    Raises:
        ValueError: the distance is unknown.
    """
    check_distance(distance)
    return x if distance == "sqeuclidean" else _unit(x) * 0.5**0.5


def _unit(x: Tensor) -> Tensor:
    """Points at length 1, however long or short they were; 0, with a gradient of 0, where they are 0."""
    if not x.shape[1]:
        return x
    largest = x.detach().abs().amax(1, keepdim=True)  # so that no square overflows or vanishes
    return torch.nn.functional.normalize(x / largest.masked_fill(largest == 0, math.inf), dim=1)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Matrix products as precise as their numbers, whatever autocast or TF32 the caller has switched on."""
    _INSIDE.enter()
    try:
        autocast = torch.is_autocast_enabled(device.type)  # most often not, and entering it takes its time
        with torch.autocast(device.type, enabled=False) if autocast else nullcontext():
            yield
    finally:
        _INSIDE.leave()


def _precise() -> list[tuple[Any, str, Any]]:
    """Where the precision of products is set: owner, name, and what to set; older versions of torch have no place."""
    owners = torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)
    return [(owner, "fp32_precision", "ieee") for owner in owners] if hasattr(owners[1], "fp32_precision") else []


PRECISE = _precise()


class _Inside:
    """Who computes in full precision: each of several threads sets it, and the last one restores what was."""

    def __init__(self) -> None:
        self.lock, self._count, self._before, self._matmul = threading.RLock(), 0, list[Any](), "highest"
        if hasattr(os, "register_at_fork"):  # a fork has no other threads, one of which may have had the lock
            both = self.lock.release
            os.register_at_fork(before=self.lock.acquire, after_in_parent=both, after_in_child=both)

    def enter(self) -> None:
        with self.lock:
            before = [getattr(owner, name) for owner, name, _ in PRECISE]
            for owner, name, precise in PRECISE:
                setattr(owner, name, precise)
            # The older switch, which allow_tf32 moves, is to say the same: where the two differ, torch raises.
            matmul = torch.get_float32_matmul_precision()
            if matmul != "highest":
                torch.set_float32_matmul_precision("highest")
            if not self._count:
                self._before, self._matmul = before, matmul
            self._count += 1

    def leave(self) -> None:
        with self.lock:
            self._count -= 1
            if not self._count:
                if self._matmul != "highest":
                    torch.set_float32_matmul_precision(self._matmul)
                for (owner, name, _), value in zip(PRECISE, self._before, strict=True):
                    setattr(owner, name, value)


_INSIDE = _Inside()


def apart(x: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Squared distances (p,) of pairs of points x (n, d), by the positions of one (p,) and of the other (p,)."""
    size = max(1, PIECE // max(1, x.shape[1]))
    pieces = zip(one.split(size), other.split(size), strict=True)
    return torch.cat([(x[left] - x[right]).square_().sum(1) for left, right in pieces])


def across(x: Tensor, codes: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Squared distances (p,) of those of so many random pairs of points (n, d) that are of two classes (n,)."""
    shape = (2, count if len(x) else 0)
    pairs = torch.randint(max(1, len(x)), shape, generator=generator, device="cpu").to(x.device)
    one, other = pairs[:, codes[pairs[0]] != codes[pairs[1]]]
    return apart(x, one, other)


def median(distances: Tensor) -> float:
    """The median of the distances that are not 0 where most are; 1 where all are, as then any scale will serve."""
    found = float(distances.median()) if len(distances) else 0.0
    if not found:
        distances = distances[distances > 0]
        found = float(distances.median()) if len(distances) else 1.0
    return found
