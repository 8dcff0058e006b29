"""Features of a network by layer, as Deep k-nearest neighbours takes them: checked, flattened, told apart."""

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

from snnl_core.bank import Rows
from snnl_core.distances import Distance, check_integers, check_mapping, check_tensor

Layers = dict[str, Rows]
PIECE = 1 << 20
"""Values whose bits are looked at at a time."""


def check_layers(features: Mapping[str, Tensor], distance: Distance, sizes: Mapping[str, int] | None = None) -> Layers:
    """Layers (n, ...) as rows (n, d), not copied where memory allows.

    Args:
        features: by name, at least one, all of the same n.
        distance: what they will be compared by.
        sizes: the layers and the d that are expected; None for any.

    Raises:
        TypeError: it is no mapping, or a layer is no floating tensor.
        ValueError: layers are missing or too many, their sizes differ from the expected ones, or a row is not finite.
    """
    check_mapping(features)
    if not features or (sizes is not None and features.keys() != sizes.keys()):
        wanted = "at least one" if sizes is None else _names(sizes)
        raise ValueError(f"the layers are {_names(features)}; expected {wanted}.")
    names = list(features if sizes is None else sizes)
    flat = {name: _flat(name, features[name]) for name in names}
    counts = {name: len(layer) for name, layer in flat.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"the layers differ in their number of rows: {counts}.")
    for name, layer in flat.items():
        if sizes is not None and layer.shape[1] != sizes[name]:
            raise ValueError(f"layer {name!r} has {layer.shape[1]} features a row; the fitted ones have {sizes[name]}.")
    return {name: _rows(name, layer, distance) for name, layer in flat.items()}


def check_labels(labels: Tensor, n: int) -> Tensor:
    """Labels (n,) in int64.

    Raises:
        TypeError: they are no integers.
        ValueError: there are not n.
    """
    check_integers("labels", labels)
    if labels.shape != (n,):
        raise ValueError(f"labels are {tuple(labels.shape)} and there are {n} rows of features: one each is needed.")
    return labels.detach().to(torch.int64)


def check_logits(logits: Tensor, shape: tuple[int, int]) -> None:
    """Raise TypeError or ValueError unless logits are floating, of this shape, and numbers."""
    check_tensor("logits", logits)
    if not logits.is_floating_point():
        raise TypeError(f"logits must be floating, not {logits.dtype}.")
    if logits.shape != shape:
        raise ValueError(f"logits are {tuple(logits.shape)}; expected {shape}, rows and classes.")
    bad = logits.isnan().any(1).nonzero().flatten()
    if len(bad):
        raise ValueError(f"row {int(bad[0])} of the logits is not a number; {len(bad)} of {len(logits)} rows are not.")


def refuse_overlap(layers: Layers, fitted: Tensor) -> None:
    """Raise ValueError if a row equals a fitted one in all layers, by the fingerprints of those (n,)."""
    same = torch.isin(fingerprints(layers), fitted).nonzero().flatten()
    if len(same):
        raise ValueError(
            f"row {int(same[0])} equals a fitted row in all layers; {len(same)} of {count(layers)} rows do. "
            "Calibrate on rows that were not fitted, or pass allow_overlap=True."
        )


def count(layers: Layers) -> int:
    """How many rows the layers have."""
    return len(next(iter(layers.values())))


def warn_of_zeros(layers: Layers) -> None:
    """Warn of rows that have no direction: under the cosine distance their neighbours say nothing."""
    for name, rows in layers.items():
        zeros = int(rows.zero().sum())
        if zeros:
            warnings.warn(
                f"layer {name!r}: {zeros} of {len(rows)} rows are zero and have no direction. Their neighbours there "
                "are the fitted rows that are zero, and then the first ones, as all are equally far.",
                stacklevel=5,
            )


def warn_of_fitted(rows: int, classes: int, directed: Mapping[str, int], k: int) -> None:
    """Warn where there are k fitted rows and no more, or one class, or in a layer fewer than k with a direction."""
    if rows == k:
        told = "all inputs have the same neighbours, and their p-values tell nothing of them"
        warnings.warn(f"k = {k} is every fitted row: {told}. Give more rows or a smaller k.", stacklevel=6)
    if classes == 1:
        warnings.warn("all fitted rows are of one class: every input conforms to it.", stacklevel=6)
    for name, some in directed.items():
        if some < k:
            warnings.warn(
                f"layer {name!r}: {some} of {rows} fitted rows have a direction, fewer than k = {k}: the other "
                "neighbours of every row are the first rows of zeros, as all are equally far.",
                stacklevel=6,
            )


MIX = 0x9E3779B97F4A7C15 - (1 << 64)
"""An odd number without a pattern in its bits (2^64 over the golden ratio), as int64."""


def fingerprints(layers: Layers) -> Tensor:
    """A number (n,) in int64, on the CPU, that equal rows share, and others only by a chance of less than 2^-40.

    Rows are equal if all their values in all layers are, to float32, in whatever dtype. The values' bits, in pairs, are
    mixed before they are multiplied by random factors and summed: those of signs and whole numbers end in zeros, which
    stay there in products.
    """
    total = torch.zeros(count(layers), dtype=torch.int64, device="cpu")
    generator = torch.Generator().manual_seed(0)
    for name in sorted(layers, key=str):  # numbers and words do not compare
        x = layers[name].x
        low, high = torch.iinfo(torch.int64).min, torch.iinfo(torch.int64).max
        factors = torch.randint(low, high, (-(-x.shape[1] // 2),), generator=generator, device="cpu").to(x.device) | 1
        size = max(1, PIECE // x.shape[1])
        for start in range(0, len(x), size):
            values = x[start : start + size].float() + 0.0  # which makes one of the two zeros
            pairs = torch.nn.functional.pad(values, (0, x.shape[1] % 2)).view(torch.int64)
            mixed = (pairs ^ (pairs >> 32)) * MIX
            total[start : start + size] += ((mixed ^ (mixed >> 29)) * factors).sum(1).cpu()
    return total


def _flat(name: str, layer: Tensor) -> Tensor:
    check_tensor(f"layer {name!r}", layer, "floating tensor")
    if not layer.is_floating_point():
        raise TypeError(f"layer {name!r} must be a floating tensor, not {layer.dtype}; convert it, e.g. with double().")
    flat = layer.detach().flatten(1) if layer.ndim > 1 else layer.detach().reshape(-1, 1)
    if not flat.shape[1]:
        raise ValueError(f"layer {name!r} is {tuple(layer.shape)}: it has no features.")
    return flat


def _rows(name: str, layer: Tensor, distance: Distance) -> Rows:
    try:
        return Rows.of(layer, distance)
    except (TypeError, ValueError) as error:
        raise type(error)(f"layer {name!r}: {error}") from error


def _names(layers: Mapping[str, object]) -> str:
    return ", ".join(map(repr, layers)) or "none"
