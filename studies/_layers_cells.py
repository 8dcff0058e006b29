"""The cell that measures every layer of a classifier at the snapshots of its training."""

from typing import TYPE_CHECKING

from lab import imageset, registry
from lab.cells import Cell
from lab.errors import UsageError
from lab.folder import CellFolder

if TYPE_CHECKING:
    from torch import Tensor, nn

CODE_VERSION = 1
MAX_FEATURES = 4096
"""Larger maps are averaged to at most so many numbers an image, as `snnl measure layers` does."""
BATCH = 250


def schedule(epochs: int, points: int) -> tuple[int, ...]:
    """The epochs that are measured, at most `points`: 0, and from 1 to `epochs`, denser early (quadratic)."""
    times = (round(epochs * (i / (points - 1)) ** 2) for i in range(1, points))
    return tuple(sorted({0, *(max(1, time) for time in times)}))


def measuring_cell(training: Cell, n: int) -> Cell:
    """Measure every layer of a training cell's snapshots on n held-out images, the same for all trainings."""
    parts = registry.code_versions("studies._layers_cells", "metrics.layers", "snnl_core")
    config = {"n": n, "max_features": MAX_FEATURES}
    pixels = imageset.spec(training.config["imageset"]).size ** 2
    cost = (len(training.config["snapshots"]) + 1) * 3.0 * (n / 1000) ** 2 * min(1.0, pixels / 256) + 2
    return Cell("studies._layers_cells:measure", f"layers-{training.label}", config, parts, (training,), cost=cost)


def check_sample_size(images: str, n: int) -> None:
    """Raise UsageError unless the test split holds n images."""
    available = imageset.spec(images).n.get("test", 0)
    if n > available:
        raise UsageError(f"{images} has {available} images in its test split; --n {n} is more than that.")


def measure(cell: CellFolder) -> None:
    """Rows of every layer at every snapshot, and of the pixels; `class_pairs.npz` keeps the class-pair matrices.

    `class_pairs` (times, layers, classes, classes): the mean softmax mass of a class's images on each class, at the
    layer's best temperature, NaN for classes of which no image was drawn; `layers` and `epochs` name its first two
    axes. Networks are in evaluation mode, float32.
    """
    import numpy as np

    from lab.draws import subset
    from lab.files import replacing
    from lab.training import evaluation_device
    from metrics.layers import entanglements

    cell.keep_rows([])
    training = cell.needs[0]
    config, n = training.config, cell.config["n"]
    held_out = imageset.load(config["imageset"], "test", root=cell.data_root, download=cell.download)
    picked = subset(len(held_out), n, 0, "measured", "test")
    x, labels = held_out.batch(picked), held_out.classes(picked)
    about = {
        "model": config["classifier"], "imageset": config["imageset"], "seed": config["seed"], "split": "test", "n": n,
        "setting": registry.resolve("classifiers._setting:setting")(config),
    }  # fmt: skip
    snapshots = registry.resolve("classifiers._snapshots:snapshots")(training.path)
    load = registry.resolve("classifiers._snapshots:load_classifier")
    classes, device = len(imageset.spec_of(config).classes), evaluation_device(config["device"])
    names: list[str] = []
    pairs = []
    for done, snapshot in enumerate(snapshots):
        cell.event("progress", done=done, total=len(snapshots), text=f"{done} of {len(snapshots)} snapshots")
        layers = features_of(load(snapshot, config).to(device), x, cell.config["max_features"])
        names, matrices = list(layers), []
        for name, found in entanglements({"pixels": x, **layers} if not done else layers, labels):
            values = {
                "entanglement": found.score, "entanglement_loss": found.loss, "entanglement_bound": found.bound,
                "inverse_temperature": 1 / found.temperature,
            }  # fmt: skip
            for metric, value in values.items():
                when = {"kimg": snapshot.kimg, "step": snapshot.step}
                kind = "reference" if name == "pixels" else "layers"
                cell.row(kind=kind, space=name, metric=metric, value=value, **about, **when)
            if name != "pixels":
                matrix = np.full((classes, classes), np.nan, np.float32)
                drawn = found.classes.numpy()
                matrix[np.ix_(drawn, drawn)] = found.class_pairs.numpy()
                matrices.append(matrix)
        pairs.append(np.stack(matrices))
    with replacing(cell.path / "class_pairs.npz") as aside, aside.open("wb") as file:
        np.savez_compressed(file, class_pairs=np.stack(pairs), layers=names, epochs=[s.epoch for s in snapshots])


def features_of(network: "nn.Module", x: "Tensor", max_features: int) -> "dict[str, Tensor]":
    """The hidden layers' features of images (n, c, h, w) in [-1, 1], in order, and the logits: each (n, d), on the CPU.

    Maps of more than `max_features` numbers an image are averaged (`snnl_core.pooling`).
    """
    import torch

    from snnl_core.pooling import pool_maps

    device = next(network.parameters()).device
    parts: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for images in x.split(BATCH):
            logits, features = network(images.to(device).to(memory_format=torch.channels_last))
            for name, feature in {**features, "logits": logits}.items():
                parts.setdefault(name, []).append(pool_maps(feature, max_features).float().cpu())
    return {name: torch.cat(part) for name, part in parts.items()}
