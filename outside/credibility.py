"""Deep k-nearest neighbours of features that were not made here: from files of points by layer, with labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lab.errors import Say, WorkbenchError, telling
from lab.processes import part
from lab.training.draws import random_generator
from metrics import validity
from outside.faiss import faiss_index
from outside.files import read_labelled_layers, read_layers, write_tensors
from outside.same import check_same
from snnl_core import DeepKNN, DeepKNNPrediction
from snnl_core.conformal import Mode
from snnl_core.distances import Distance
from snnl_core.distributed import gather
from snnl_core.layers import check_layers, fingerprints


@dataclass(frozen=True)
class Credibility:
    """What a file's nearest training points say of it.

    Attributes:
        knn: fitted and calibrated.
        found: what it predicts of the n points.
        labels: their true ones (n,), or None where they are not known.
        sizes: how many points were fitted, and how many calibrated with.
    """

    knn: DeepKNN
    found: DeepKNNPrediction
    labels: Tensor | None
    sizes: tuple[int, int]

    @property
    def summary(self) -> dict[str, float | int]:
        """Accuracy where labels are known, mean credibility and confidence, and n."""
        means = {"credibility": self.found.credibility, "confidence": self.found.confidence}
        if self.labels is not None:
            means = {"accuracy": (self.found.labels == self.labels).double(), **means}
        return {**{name: float(values.mean()) for name, values in means.items()}, "n": len(self.found.labels)}

    @property
    def validity(self) -> list[dict[str, float | int]]:
        """P(p-value of the true label <= level), by level; none where labels are not known.

        `low` and `high` are the 95 % band of exact p-values (`metrics.validity`); none for class-conditional ones.
        """
        if self.labels is None:
            return []
        true = (self.found.classes == self.labels[:, None]).double().argmax(1)
        rows = validity.measure(self.found.p_values.gather(1, true[:, None])[:, 0], self.sizes[1])
        names = ["level", "value"] if self.knn.class_conditional else ["level", "value", "low", "high"]
        return [{name: float(row[name]) for name in names} for row in rows]

    @property
    def inputs(self) -> list[dict[str, float | int]]:
        """A row for each point: its number, prediction, true label where it is known, credibility and confidence."""
        columns = {"prediction": self.found.labels, "label": self.labels}
        columns |= {"credibility": self.found.credibility, "confidence": self.found.confidence}
        known = {name: values.tolist() for name, values in columns.items() if values is not None}
        rows = enumerate(zip(*known.values(), strict=True))
        return [{"input": i, **dict(zip(known, row, strict=True))} for i, row in rows]

    def plain(self) -> dict[str, Any]:
        """As JSON-ready values."""
        settings = {name: getattr(self.knn, name) for name in ("k", "distance", "mode", "class_conditional", "layers")}
        n_train, n_calibration = self.sizes
        about = {**settings, "n_train": n_train, "n_calibration": n_calibration, **self.summary}
        about |= {"recall": self.knn.recall} if self.knn.recall else {}
        return {**about, "validity": self.validity, "inputs": self.inputs}

    def save(self, path: Path) -> None:
        """Write the whole prediction as an .npz: its fields, and `neighbors/LAYER` and `distances/LAYER`."""
        arrays: dict[str, Tensor] = {}
        for name, value in vars(self.found).items():
            parts = value.items() if isinstance(value, dict) else ()
            arrays |= {f"{name}/{layer}": part for layer, part in parts} or {name: value}
        write_tensors(path, arrays)


def measure_credibility(
    train: Path,
    calibrate: Path,
    test: Path,
    *,
    k: int = 75,
    distance: Distance = "cosine",
    mode: Mode = "valid",
    class_conditional: bool = False,
    allow_overlap: bool = False,
    index: str | None = None,
    seed: int = 0,
    sharded: bool = False,
    say: Say = lambda text: None,
) -> Credibility:
    """What Deep k-nearest neighbours say of the points of a file (`outside.files.read_layers`).

    Args:
        train: the points among which neighbours are searched.
        calibrate: held-out ones, with the same layers.
        test: those to be looked at; their labels may be missing.
        k: neighbours in each layer.
        distance: `cosine`, or `sqeuclidean`.
        mode: the p-values' formula.
        class_conditional: compare with calibration points of the label's own class.
        allow_overlap: calibrate even with points that are among the fitted ones.
        index: of faiss (`outside.faiss`), that finds neighbours approximately; None for exact ones.
        seed: draws what `smoothed` p-values need.
        sharded: each of several processes, which call this at the same time, keeps its part of the points of each file;
            what is predicted, every one gets of all.
        say: is told, in lines, what is about to be measured, and what to beware of.

    Raises:
        UsageError: a file's name ends otherwise than .npz or .safetensors.
        WorkbenchError: a file cannot be read, or its arrays do not fit, or do not fit those of `train`.
    """
    knn = DeepKNN(k, distance, mode, class_conditional, index=faiss_index(index) if index else None, sharded=sharded)
    (fitted, of_fitted), (held_out, of_held_out) = read_labelled_layers(train), read_labelled_layers(calibrate)
    layers, labels = read_layers(test)
    if sharded:
        for path, read in ((train, fitted), (calibrate, held_out), (test, layers)):
            check_same(str(path), *(part for layer in read.items() for part in layer))
        check_same("the labels of these files", of_fitted, of_held_out, labels)
    sizes = len(of_fitted), len(of_held_out)
    say(f"{len(of_fitted)} points of {train} are fitted, {len(of_held_out)} of {calibrate} calibrate.")
    say(f"{', '.join(map(describe, fitted.items()))}; k = {k} in each layer, {distance} distance, {mode} p-values.")
    if sharded:
        fitted, held_out, layers = ({name: _own(x) for name, x in one.items()} for one in (fitted, held_out, layers))
        of_fitted, of_held_out = _own(of_fitted), _own(of_held_out)
    with telling(train, say):
        knn.fit(fitted, of_fitted)
    with telling(calibrate, say):
        knn.calibrate(held_out, of_held_out, allow_overlap=allow_overlap)
    if knn.recall:
        shares = ", ".join(f"{share:.3f} in {name}" for name, share in knn.recall.items())
        say(f"{index} finds these shares of the k nearest neighbours of points of {calibrate}: {shares}.")
    unknown = [] if labels is None else sorted(set(labels.tolist()) - set(knn.classes.tolist()))
    if unknown:
        raise WorkbenchError(f"{test}: labels {unknown} were not fitted; known: {knn.classes.tolist()}.")
    with telling(test, say):
        found = knn.predict(layers, generator=random_generator(seed, "smoothed"))
    own = _prints(layers, distance, sharded)
    for path, others in ((train, fitted), (calibrate, held_out)):
        old = int(torch.isin(own, _prints(others, distance, sharded)).sum())
        if old:
            known = f"{old} of {len(own)} points are among those of {path}"
            say(f"Warning: {test}: {known}: p-values hold for new ones alone.")
    return Credibility(knn, _gathered(found) if sharded else found, labels, sizes)


def _prints(layers: Mapping[str, Tensor], distance: Distance, sharded: bool) -> Tensor:
    """A number for each point of a file, in all processes together, that equal points share (n,)."""
    found = fingerprints(check_layers(layers, distance))
    return gather(found) if sharded else found


def _own(x: Tensor) -> Tensor:
    """This process's part of (n, ...), without the others', which are let go."""
    return x[part(len(x))].clone()


def _gathered(found: DeepKNNPrediction) -> DeepKNNPrediction:
    """What all processes have predicted, in their order."""
    whole: dict[str, Any] = {"classes": found.classes}
    for name, value in vars(found).items():
        if isinstance(value, dict):
            whole[name] = {layer: gather(part) for layer, part in value.items()}
        elif name != "classes":
            whole[name] = gather(value)
    return DeepKNNPrediction(**whole)


def describe(layer: tuple[str, Tensor]) -> str:
    """A layer's name and its number of features."""
    name, x = layer
    return f"{name} ({x[0].numel()})"
