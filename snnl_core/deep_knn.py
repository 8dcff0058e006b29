"""Deep k-nearest neighbours: does the training set, as the hidden layers see it, support this label?

For an input, the k nearest training points are found in every layer. The nonconformity of a label is the number of
these neighbours, over all layers, that have another label, and its p-value tells how many points of a held-out
calibration set are at least as nonconforming under their true labels (Papernot and McDaniel 2018, arXiv 1803.04765).
"""

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

import torch
from torch import Tensor

from snnl_core.approximate import SAMPLED, Build, Index, indexed, share_found, warn_of_low
from snnl_core.bank import Rows
from snnl_core.compiling import uncompiled
from snnl_core.conformal import Calibration, Mode, check_mode, uniform
from snnl_core.distances import Distance, check_count, check_distance, check_generator, check_keys
from snnl_core.layers import (
    Layers,
    check_labels,
    check_layers,
    check_logits,
    count,
    fingerprints,
    refuse_overlap,
    warn_of_fitted,
    warn_of_zeros,
)
from snnl_core.parts import Alone, Checked, InParts
from snnl_core.prediction import DeepKNNPrediction


class DeepKNN:
    """Fit on training features, calibrate on held-out ones, predict.

    The p-values are valid for inputs that are exchangeable with the calibration points, if these took no part in the
    training of the network, in its early stopping, in `fit`, or in any choice of layers or k.

    Attributes:
        layers: the fitted layers' names.
        classes: the fitted labels, ascending (classes,).
        recall: with an index, the share of the k nearest neighbours that it finds, by layer, on up to 200 calibration
            rows; empty where neighbours are exact, or nothing was calibrated.
    """

    def __init__(
        self,
        k: int = 75,
        distance: Distance = "cosine",
        mode: Mode = "valid",
        class_conditional: bool = False,
        *,
        index: Build | None = None,
        sharded: bool = False,
    ) -> None:
        """An empty one.

        Args:
            k: neighbours in each layer, at least 1.
            distance: `cosine` for 1 - cos, where a row of zeros is at 0 from others and at 1 from all else; or
                `sqeuclidean`.
            mode: the p-values' formula, see `conformal`: `valid`, `smoothed` or `paper`. It may be changed at any time.
            class_conditional: compare with calibration points of the label's own class (Mondrian): valid within each
                class, from fewer points.
            index: makes of a layer's fitted rows what proposes their neighbours, which may miss some
                (`snnl_core.approximate`); None for exact ones. It is no part of the state.
            sharded: every process holds a part of the rows, maybe none, and calls the same methods at the same time;
                each gets what one process would get from all of them, for its own rows. The settings must be the
                same in all, and what one process refuses, all refuse.

        Raises:
            TypeError: k is no whole number.
            ValueError: k < 1, or the distance or the mode is unknown.
        """
        k = check_count("k", k)
        if k < 1:
            raise ValueError(f"k = {k}: at least one neighbour is needed.")
        check_distance(distance)
        check_mode(mode)
        self._k, self._distance, self.mode, self.class_conditional = k, distance, mode, class_conditional
        self._parts = InParts() if sharded else Alone()
        self._build, self._indexes, self.recall = index, dict[str, Index](), dict[str, float]()
        self._bank: Layers = {}
        self._labels = self._codes = self.classes = torch.empty(0, dtype=torch.int64, device="cpu")
        self._calibration: Calibration | None = None

    def __repr__(self) -> str:
        """One line: the settings, and of how many rows."""
        calibrated = 0 if self._calibration is None else len(self._calibration.scores)
        return (
            f"DeepKNN(k={self.k}, distance={self.distance!r}, mode={self.mode!r}, layers={self.layers}, "
            f"fitted={len(self._labels)}, calibrated={calibrated})"
        )

    @property
    def k(self) -> int:
        """Neighbours in each layer; it stays, as what was calibrated hangs on it."""
        return self._k

    @property
    def distance(self) -> Distance:
        """What layers are compared by; it stays, too."""
        return self._distance

    @property
    def layers(self) -> list[str]:
        """The fitted layers' names; none before `fit`."""
        return list(self._bank)

    @uncompiled
    @torch.no_grad()
    def fit(self, features: Mapping[str, Tensor], labels: Tensor) -> "DeepKNN":
        """Take the rows among which neighbours are searched; what was calibrated is forgotten.

        Args:
            features: floating tensors (n, ...) by layer, flattened; not copied, so that they can be memory maps, and
                must not be written to. They may lie on another device than what is predicted; from one without float64
                they are copied to the processor, where predictions lie then.
            labels: (n,), any integers.

        Raises:
            TypeError: a layer is not floating, or the labels are not integers.
            ValueError: shapes do not match, a row is not finite (layer and row are named), or n < k.
        """
        return self._fit(lambda: self._rows(features, labels))

    def _rows(self, features: Mapping[str, Tensor], labels: Tensor) -> Checked:
        layers = check_layers(features, self.distance)
        return layers, check_labels(labels, count(layers)).clone()

    def _fit(self, check: Callable[[], Checked]) -> "DeepKNN":
        """Take the rows that a check gives, or refuse what it refuses."""
        build = self._build
        bank, own = self._parts.check(check, k=self.k, distance=self.distance, index=build is not None)
        everyone = self._parts.gather(own).cpu()
        if len(everyone) < self.k:
            raise ValueError(f"k = {self.k} neighbours of {len(everyone)} fitted rows: give more rows or a smaller k.")
        layers = {name: rows.x for name, rows in bank.items()}
        self._indexes = self._parts.agree(lambda: indexed(build, layers, self.distance)) if build else {}
        self._bank, self._labels, self._calibration, self.recall = bank, own, None, {}
        self.classes, self._codes = everyone.unique(return_inverse=True)
        directed = torch.tensor([[int((~rows.zero()).sum()) for rows in bank.values()]], device="cpu")
        counts = self._parts.gather(directed).sum(0).tolist()
        # Warnings come last, here and below: where one is made an error, no other process waits.
        warn_of_fitted(len(everyone), len(self.classes), dict(zip(bank, counts, strict=True)), self.k)
        return self

    @uncompiled
    @torch.no_grad()
    def calibrate(self, features: Mapping[str, Tensor], labels: Tensor, *, allow_overlap: bool = False) -> "DeepKNN":
        """Take the rows whose nonconformity under their true labels p-values compare with.

        It warns where the set is so small that no p-value can reach 0.05, and of classes that it lacks: with
        `class_conditional` their p-values are 1 (U where smoothed), as nothing speaks against them, and they are never
        predicted.

        Args:
            features: (m, ...) by layer, as in `fit`; held out from everything.
            labels: (m,), fitted ones.
            allow_overlap: take rows that equal a fitted one in all layers. Such a row is its own nearest neighbour,
                which makes the set look too conforming and the p-values too small.

        Raises:
            TypeError, ValueError: see `fit`; nothing is fitted, the layers are not the fitted ones, a label was not
                fitted, there is no row, or rows are among the fitted ones.
        """

        def check() -> Checked:
            self._need_fit()
            layers = check_layers(features, self.distance, self._sizes)
            return layers, self._code(check_labels(labels, count(layers)))

        layers, codes = self._parts.check(check, allow_overlap=allow_overlap)
        codes = codes.cpu()
        if not self._parts.place(len(codes))[0]:
            raise ValueError("there is no row to calibrate with.")
        if not allow_overlap:
            fitted = self._parts.gather(fingerprints(self._bank))
            self._parts.agree(lambda: refuse_overlap(layers, fitted))
        nonconformity, _, distances = self._nonconformity(layers)
        scores = self._parts.gather(nonconformity.cpu().gather(1, codes[:, None])[:, 0])
        found = Calibration(scores, self._parts.gather(codes), len(self.classes))
        measured = layers if self._build else {}
        recall = {name: self._found(name, rows, distances[name]) for name, rows in measured.items()}
        self._calibration, self.recall = found, recall
        warn_of_zeros(layers)
        found.warn(self.classes, class_conditional=self.class_conditional)
        warn_of_low(recall)
        return self

    @uncompiled
    @torch.no_grad()
    def predict(
        self, features: Mapping[str, Tensor], logits: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> DeepKNNPrediction:
        """Labels and their p-values.

        Args:
            features: (n, ...) by layer, as in `fit`.
            logits: the network's own (n, classes), in the order of `classes`. They decide between labels that
                neighbours support equally, and change no p-value.
            generator: of the CPU, draws U for `smoothed` p-values; default torch's own.

        Raises:
            TypeError, ValueError: see `fit`; nothing is fitted or calibrated, the layers are not the fitted ones, the
                logits do not fit, or the generator is none of the CPU.
        """

        def check() -> Checked:
            self._need_calibration()
            check_mode(self.mode)
            layers = check_layers(features, self.distance, self._sizes)
            check_generator(generator)
            if logits is not None:
                check_logits(logits, (count(layers), len(self.classes)))
            return layers, next(iter(layers.values())).zero()

        conditional = self.class_conditional
        layers, _ = self._parts.check(check, mode=self.mode, class_conditional=conditional)
        nonconformity, neighbors, distances = self._nonconformity(layers)
        device, calibration = nonconformity.device, self._need_calibration()
        chance = self._uniform(count(layers), generator).to(device) if self.mode == "smoothed" else None
        p_values = calibration.p_values(nonconformity, self.mode, class_conditional=conditional, uniform=chance)
        known = (calibration.counts > 0).to(device) | (not conditional)
        warn_of_zeros(layers)
        return DeepKNNPrediction.of(
            p_values, nonconformity, neighbors, distances, self.classes, logits=logits, known=known
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that was fitted and calibrated: tensors, not copied, and plain values.

        In several processes, each has its own part.
        """
        self._need_fit()
        features = {name: rows.x for name, rows in self._bank.items()}
        found = self._calibration
        calibration = None if found is None else {"scores": found.scores, "codes": found.codes}
        settings = {"k": self.k, "distance": self.distance}
        return {**settings, "features": features, "labels": self._labels, "calibration": calibration}

    @uncompiled
    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what `state_dict` gave; mode and class_conditional stay as they are here. A refusal changes nothing.

        Raises:
            TypeError: the state or its calibration is no mapping, or holds what is no tensor of the right kind.
            ValueError: a key is missing or unknown, it was made with another k or distance, or a calibration's scores
                and labels do not match, are of no row, or are no numbers of neighbours and of fitted labels.
        """

        def check() -> Checked:
            check_keys("state", state, ("k", "distance", "features", "labels", "calibration"))
            check_count("k", state["k"])
            for name, own in (("k", self.k), ("distance", self.distance)):
                if state[name] != own:
                    raise ValueError(f"the state was made with {name} = {state[name]!r}; here it is {own!r}.")
            return self._rows(state["features"], state["labels"])

        found = copy(self)._fit(check)
        calibrated = state["calibration"] is not None

        def check_calibration() -> Checked:
            if calibrated:
                most = len(found.layers) * self.k
                found._calibration = Calibration.of(state["calibration"], len(found.classes), most)
            return found._bank, found._labels

        self._parts.check(check_calibration, **{"whether they are calibrated": calibrated})
        vars(self).update(vars(found))

    @property
    def _sizes(self) -> dict[str, int]:
        return {name: rows.x.shape[1] for name, rows in self._bank.items()}

    def _need_fit(self) -> None:
        if not self._bank:
            raise ValueError("nothing is fitted: call fit first.")

    def _need_calibration(self) -> Calibration:
        self._need_fit()
        if self._calibration is None:
            raise ValueError("there are no calibration scores: call calibrate first.")
        return self._calibration

    def _code(self, labels: Tensor) -> Tensor:
        """Labels as numbers of their classes (n,)."""
        classes = self.classes.to(labels.device)
        unknown = labels[~torch.isin(labels, classes)].unique()
        if len(unknown):
            raise ValueError(f"labels {unknown.tolist()} were not fitted; known: {classes.tolist()}.")
        return torch.searchsorted(classes, labels)

    def _nonconformity(self, layers: Layers) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """The nonconformity of every label (n, classes), and neighbours and distances (n, k) by layer."""
        neighbors, distances = {}, {}
        counts = torch.zeros(count(layers), len(self.classes), dtype=torch.int64, device=_device(layers))
        for name, rows in layers.items():
            index = self._indexes.get(name)
            distances[name], neighbors[name] = self._parts.search(rows, self._bank[name], self.k, index)
            codes = self._codes.to(neighbors[name].device)[neighbors[name]].to(counts.device)
            counts.scatter_add_(1, codes, torch.ones_like(codes))
        return len(layers) * self.k - counts, neighbors, distances

    def _found(self, name: str, rows: Rows, distances: Tensor) -> float:
        """The share of neighbours that were found in a layer at distances (m, k), on some of the rows (m, d)."""
        some = slice(None, None, -(-self._parts.place(len(rows))[0] // SAMPLED))
        exact = self._parts.search(rows[some], self._bank[name], self.k)[0]
        return float(self._parts.gather(share_found(distances[some], exact)).mean())

    def _uniform(self, n: int, generator: torch.Generator | None) -> Tensor:
        total, start = self._parts.place(n)
        return self._parts.same(uniform(total, generator))[start : start + n]


def _device(layers: Layers) -> torch.device:
    return next(iter(layers.values())).x.device
