"""The cells about classifiers: train one, and evaluate it once on held-out images.

The functions that make cells import no torch; those that do the work import it inside.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lab import imageset, registry
from lab.cells import Cell, recorded_cell
from lab.compute import Compute
from lab.errors import UsageError, unknown_name
from lab.folder import CellFolder

CODE_VERSION = 1
TRAIN = "classifiers._train:run"
SPLITS = ("test", "train", "validation")


def training_cell(
    classifier: str,
    images: str,
    *,
    seed: int,
    epochs: int,
    compute: Compute,
    settings: dict[str, Any] | None = None,
    alpha: float = 0.0,
    layers: Sequence[str] | None = None,
    temperature: str | float = "minimize",
    distance: str = "sqeuclidean",
    validation: float = 0.1,
    snapshots: Sequence[int] = (),
) -> Cell:
    """Train `classifier` on the train split of `images`, with equation (3) where alpha is not 0.

    Args:
        classifier: the network's name.
        images: the image set's name.
        seed: of weights, batches, augmentation and the choice of validation images: the same for every alpha.
        epochs: how often every image is shown, 1 or more.
        compute: device, processes, arithmetic.
        settings: of the network and its recipe, where they are not at their defaults.
        alpha: weight of the SNNL; below 0 it entangles the classes in hidden layers, above 0 it disentangles them.
        layers: hidden layers whose SNNL is taken; None for all.
        temperature: `minimize`, `learn`, or a number above 0.
        distance: `sqeuclidean` or `cosine`.
        validation: share of the train split that is kept apart to validate on, in [0, 1).
        snapshots: epochs after which the weights are kept, besides the last; 0 for those that it starts from.

    Raises:
        UsageError: an unknown name, an impossible setting, or images that it cannot be trained on.
    """
    recipe = registry.config_class("classifiers", classifier).parse(settings or {})
    plain, spec = recipe.plain(), imageset.spec(images)
    registry.resolve("classifiers._images:check_classes")(spec)
    _check_length(epochs, snapshots)
    kept = _check_validation(validation, plain["batch"], spec.n["train"])
    compute.check_batch(plain["batch"])
    objective = _objective(recipe, alpha, layers, temperature, distance)
    config = {
        "classifier": classifier, "settings": plain, "imageset": images, "seed": seed, "epochs": epochs,
        "validation": float(validation), **objective, "snapshots": sorted({*snapshots} - {epochs}),
        **compute.resolved(), **imageset.recorded(images),
    }  # fmt: skip
    modules = [f"classifiers.{classifier.replace('-', '_')}", "classifiers._train"]
    parts = {
        "images": imageset.fingerprint(images),
        **registry.code_versions(*modules, *(["snnl_core"] if objective["alpha"] else [])),
    }
    label = f"classifier-{classifier}-{imageset.label(images)}-a{objective['alpha']:g}-s{seed}"
    cost = _training_cost(kept * epochs, spec, bool(objective["alpha"]))
    return Cell(TRAIN, label, config, parts, processes=compute.processes, cost=cost)


def evaluating_cell(training: Cell, splits: Sequence[str] = ("test",), images: str | None = None) -> Cell:
    """Evaluate the last weights of a training cell on splits of its image set: `test`, `train` or `validation`.

    `train` is what was trained on, without what was kept apart to validate on. Of another image set, `images`, which
    must be of as many classes, only the test split is taken.

    Raises:
        UsageError: there is no such split, nothing in it, or the network does not take such images.
    """
    own = training.config["imageset"]
    built, spec = imageset.spec_of(training.config), imageset.spec(images or own)
    for split in splits:
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        if split == "test" and "test" not in spec.splits:
            raise UsageError(f"{images or own} has no test split: there is nothing to evaluate on.")
        if split == "validation" and not round(
            imageset.spec_of(training.config).n["train"] * training.config["validation"]
        ):
            raise UsageError("No images were kept apart to validate on: train with --validation above 0.")
    config: dict[str, Any] = {"splits": list(splits)}
    parts = registry.code_versions("studies._classifier_cells", "metrics.calibration")
    if images not in (None, own):
        _check_other(built, spec, str(images), splits)
        config |= {"imageset": images, **imageset.recorded(str(images))}
        parts["images"] = imageset.fingerprint(str(images))
    run = "studies._classifier_cells:evaluate"
    return Cell(run, f"evaluate-{training.label}", config, parts, (training,), cost=2 + 5e-4 * sum(spec.n.values()))


def evaluating_folder(
    training: Path,
    splits: Sequence[str],
    local: dict[str, Any],
    images: str | None = None,
    *,
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """The folder of the cell that evaluates the training of another folder, beside it.

    A user's own `images`, folder:PATH or zip:PATH, are decoded to what the network takes.

    Raises:
        UsageError: that is no classifier's, or as `evaluating_cell`.
        WorkbenchError: it holds no weights.
    """
    folder = CellFolder(training)
    if folder.run != TRAIN:
        raise UsageError(f"{training} is not the folder of a classifier in training.")
    registry.resolve("classifiers._snapshots:snapshots")(training)
    if not splits:
        raise UsageError("splits: at least 1 is needed.")
    if images:
        built = imageset.spec_of(folder.config)
        size, channels = (built.size, built.channels) if images.startswith(imageset.SOURCES) else (None, None)
        images = imageset.settle(images, Path(local["data"]), size=size, channels=channels, say=say)
    cell = evaluating_cell(recorded_cell(folder.record), splits, images)
    return CellFolder.create(cell, training.resolve().parent, local).path


def evaluate(cell: CellFolder) -> None:
    """Rows of `metrics.calibration` for the last weights of a training; float32 arithmetic."""
    import torch

    from lab.draws import carve
    from lab.training import evaluation_device
    from metrics.calibration import measure

    cell.keep_rows([])
    training = cell.needs[0]
    config = training.config
    snapshot = registry.resolve("classifiers._snapshots:snapshots")(training.path)[-1]
    device = evaluation_device(config["device"])
    network = registry.resolve("classifiers._snapshots:load_classifier")(snapshot, config).to(device)
    for done, split in enumerate(cell.config["splits"]):
        cell.event("progress", done=done, total=len(cell.config["splits"]), text=f"on {split}")
        source = "test" if split == "test" else "train"
        shown = cell.config.get("imageset", config["imageset"])
        images = imageset.load(shown, source, root=cell.data_root, download=cell.download)
        picked = torch.arange(len(images))
        if source == "train":
            picked = carve(len(images), config["validation"], config["seed"])[split == "validation"]
        logits = registry.resolve("classifiers._snapshots:logits_of")(network, images.pixels(picked), device)
        about = {
            "kind": "classifier", "model": config["classifier"], "imageset": shown, "seed": config["seed"],
            "kimg": snapshot.kimg, "step": snapshot.step, "split": split,
            "setting": registry.resolve("classifiers._setting:setting")(config),
        }  # fmt: skip
        for row in measure(logits, images.classes(picked)):
            cell.row(**about, **row)


def _check_other(built: imageset.Spec, shown: imageset.Spec, images: str, splits: Sequence[str]) -> None:
    """Raise UsageError unless a network takes the images of another set, of which only the test split is asked for."""
    registry.resolve("classifiers._images:check_shown")(built, shown, images)
    if len(built.classes) != len(shown.classes):
        raise UsageError(f"The network tells {len(built.classes)} classes apart; {images} has {len(shown.classes)}.")
    if set(splits) != {"test"}:
        raise UsageError(f"Of {images}, which it was not trained on, only the test split can be evaluated.")


def _check_length(epochs: int, snapshots: Sequence[int]) -> None:
    if epochs < 1:
        raise UsageError(f"epochs: at least 1 is needed (got {epochs}).")
    for epoch in snapshots:
        if not 0 <= epoch <= epochs:
            raise UsageError(f"snapshots: epoch {epoch} is not in 0 to {epochs}.")


def _check_validation(share: float, batch: int, n: int) -> int:
    """How many of n images are left to train on; a share above 0 keeps one apart at least."""
    if not 0 <= share < 1:
        raise UsageError(f"validation: a share in [0, 1) is needed (got {share:g}).")
    if share and not round(share * n):
        raise UsageError(
            f"validation: a share of {share:g} of {n} images keeps none apart: give a larger one, or 0 for none."
        )
    left = n - round(share * n)
    if left < batch:
        raise UsageError(f"batch: {batch} is more than the {left} images there are to train on.")
    return left


def _objective(
    recipe: Any, alpha: float, layers: Sequence[str] | None, temperature: str | float, distance: str
) -> dict[str, Any]:
    """The settings of equation (3) as a config has them: without the SNNL, the others say nothing."""
    if not math.isfinite(alpha):
        raise UsageError(f"alpha: a finite number is needed (got {alpha}).")
    if isinstance(temperature, str) and temperature not in ("minimize", "learn"):
        raise UsageError(f"temperature: minimize, learn or a number above 0 is needed (got {temperature!r}).")
    if not isinstance(temperature, str) and not 0 < temperature < math.inf:
        raise UsageError(f"temperature: minimize, learn or a number above 0 is needed (got {temperature:g}).")
    if distance not in ("sqeuclidean", "cosine"):
        raise unknown_name("distance", distance, ("sqeuclidean", "cosine"))
    if layers is not None and not layers:
        raise UsageError("layers: at least 1 is needed, or none named for all of them.")
    known = recipe.hidden_layers
    chosen = layers if known is None else registry.resolve("classifiers._setting:chosen_layers")(layers, known)
    if not alpha:
        return {"alpha": 0.0, "layers": []}
    temperature = temperature if isinstance(temperature, str) else float(temperature)
    listed = None if chosen is None else list(chosen)
    return {"alpha": float(alpha), "layers": listed, "temperature": temperature, "distance": distance}


def _training_cost(shown: int, spec: imageset.Spec, with_snnl: bool) -> float:
    """A guess in seconds on one core."""
    return shown / 1000 * 0.2 * (spec.size / 16) ** 2 * (1.5 if with_snnl else 1.0) + 3
