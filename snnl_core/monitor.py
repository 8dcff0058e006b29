"""Watching entanglement from any training loop: a random sample of what passes by, bounded in memory, by layer."""

import threading
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from snnl_core.compiling import uncompiled
from snnl_core.distances import Distance, check_count, check_distance, check_integers, check_mapping, check_tensor
from snnl_core.entanglement import entanglement
from snnl_core.measurement import Entanglement
from snnl_core.pooling import MAX_FEATURES, pool_maps


class EntanglementMonitor:
    """Keeps a uniformly random sample of the features that it is shown, and measures how entangled each layer is.

    Every sample seen since the start or the last `reset` is kept with the same probability (reservoir sampling,
    Vitter 1985, algorithm R). All layers keep the same samples, so they can be compared. What is kept lies on the
    CPU, in the dtype of the first features, without the autograd graph: `size * d` numbers a layer. In several
    processes, each has a monitor of its own part of the data; several threads may share one.

    Attributes:
        seen: how many samples were shown.
    """

    def __init__(
        self,
        size: int = 2000,
        *,
        distance: Distance = "sqeuclidean",
        max_features: int | None = MAX_FEATURES,
        seed: int = 0,
    ) -> None:
        """An empty monitor.

        Args:
            size: how many samples to keep, at least 2.
            distance: `sqeuclidean`, or `cosine` for 1 - cos, as in `entanglement`.
            max_features: maps (n, channels, h, w) with more numbers a sample are averaged to the largest square
                grid that fits; None keeps them whole.
            seed: decides which samples are kept.

        Raises:
            TypeError: size, max_features or seed is no whole number.
            ValueError: size < 2 or max_features < 1, seed has more than 64 bits, or the distance is unknown.
        """
        size, seed = check_count("size", size), check_count("seed", seed)
        max_features = None if max_features is None else check_count("max_features", max_features)
        if size < 2 or (max_features is not None and max_features < 1):
            raise ValueError(f"size = {size}, max_features = {max_features}: at least 2 and 1 are needed.")
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"seed = {seed}: it must fit in 64 bits.")
        check_distance(distance)
        self._size, self.distance, self.max_features, self.seed = size, distance, max_features, seed
        self._lock = threading.Lock()
        self.reset()

    def __getstate__(self) -> dict[str, Any]:
        """All but the lock, which is no part of a copy."""
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take those."""
        vars(self).update(state, _lock=threading.Lock())

    def __repr__(self) -> str:
        """One line: what is kept, of how many."""
        return f"EntanglementMonitor(size={self.size}, layers={[*self._points]}, seen={self.seen})"

    @property
    def size(self) -> int:
        """How many samples to keep; it stays, as room is made for them at once."""
        return self._size

    def reset(self) -> None:
        """Forget everything; what comes is sampled anew, from the same seed."""
        with self._lock:
            self.seen = 0
            self._generator = torch.Generator().manual_seed(self.seed)
            self._labels = self._store(torch.int64)
            self._points: dict[str, Tensor] = {}

    def __len__(self) -> int:
        """How many samples are kept."""
        return min(self.seen, self.size)

    @uncompiled
    @torch.no_grad()
    def update(self, features: Mapping[str, Tensor], labels: Tensor) -> None:
        """Show the features of one batch; nothing changes if they are refused.

        Args:
            features: floating tensors (b, ...) by layer, on any device; the same layers each time.
            labels: class of each sample (b,), any integers.

        Raises:
            TypeError: features are no mapping, a layer is not floating, or the labels are not integers.
            ValueError: lengths do not match, a label is 2^63 or more, or the layers or their sizes are not those of
                the first update.
        """
        _check_labels(labels)
        check_mapping(features)
        points = {name: self._flat(name, layer, len(labels)) for name, layer in features.items()}
        with self._lock:
            self._take(points, labels)

    def _take(self, points: dict[str, Tensor], labels: Tensor) -> None:
        """Take a batch's layers (b, d) and labels (b,) into the sample."""
        known = self._points or {name: self._store(flat.dtype, flat.shape[1]) for name, flat in points.items()}
        _check_layers(points, known)
        slots, items = self._draw(len(labels))
        classes = labels[items.to(labels.device)].cpu().long()
        rows = {name: flat[items.to(flat.device)].to(known[name]) for name, flat in points.items()}
        # From here on nothing is asked of another device, or of memory that may not be there.
        self._labels[slots] = classes
        for name, new in rows.items():
            known[name][slots] = new
        self._points = known
        self.seen += len(labels)

    @uncompiled
    def compute(self) -> dict[str, Entanglement]:
        """The entanglement of each layer's sample, in the order of the layers; other threads' updates wait for it.

        Raises:
            ValueError: fewer than two samples are kept, or a layer holds a row that is not finite.
        """
        with self._lock:
            if len(self) < 2:
                raise ValueError(f"{len(self)} samples are kept, and a neighbour needs at least two: update first.")
            return {name: self._measure(name, points[: len(self)]) for name, points in self._points.items()}

    @torch.inference_mode(False)  # what is made in that mode could not be written to outside it
    def _store(self, dtype: torch.dtype, *shape: int) -> Tensor:
        return torch.zeros(self.size, *shape, dtype=dtype, device="cpu")

    def _measure(self, name: str, points: Tensor) -> Entanglement:
        try:
            return entanglement(points, self._labels[: len(self)], distance=self.distance)
        except ValueError as error:
            raise ValueError(f"layer {name!r}: {error}") from error

    def _flat(self, name: str, layer: Tensor, n: int) -> Tensor:
        check_tensor(f"layer {name!r}", layer)
        if not layer.is_floating_point():
            raise TypeError(f"layer {name!r} must be floating, not {layer.dtype}; convert it, e.g. with double().")
        if layer.ndim < 1 or len(layer) != n:
            raise ValueError(f"layer {name!r} is {tuple(layer.shape)} and there are {n} labels: one each is needed.")
        return pool_maps(layer.detach(), self.max_features)

    def _draw(self, n: int) -> tuple[Tensor, Tensor]:
        """The slots that change, and which of the n new samples each gets: the last of those that drew it."""
        order = torch.arange(self.seen, self.seen + n, device="cpu")
        chance = torch.rand(n, generator=self._generator, dtype=torch.float64, device="cpu")
        drawn = (chance * (order + 1)).long()
        slot = torch.where(order < self.size, order, drawn)
        inside = slot < self.size
        number = order - self.seen
        last = order.new_full((self.size,), -1).scatter_reduce(0, slot[inside], number[inside], "amax")
        slots = (last >= 0).nonzero().flatten()
        return slots, last[slots]


def _check_labels(labels: Tensor) -> None:
    check_integers("labels", labels)
    if labels.ndim != 1:
        raise ValueError(f"labels must be (b,), not {tuple(labels.shape)}.")


def _check_layers(points: Mapping[str, Tensor], known: Mapping[str, Tensor]) -> None:
    if not points or points.keys() != known.keys():
        raise ValueError(
            f"the layers are {', '.join(map(str, points)) or 'none'}; "
            f"expected {', '.join(map(str, known)) or 'at least one'}."
        )
    for name, flat in points.items():
        if flat.shape[1] != known[name].shape[1]:
            sizes = f"{flat.shape[1]} features a sample and had {known[name].shape[1]}"
            raise ValueError(f"layer {name!r} has {sizes}; reset the monitor to change it.")
        kept = known[name].dtype
        if flat.dtype != kept and flat.numel() and not torch.equal(flat.to(kept).isfinite(), flat.isfinite()):
            raise ValueError(
                f"layer {name!r} was {kept} first, which cannot hold these {flat.dtype}; reset the monitor."
            )
