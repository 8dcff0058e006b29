"""The cells about GANs: train one, measure its snapshots against real images, embed them, and the references.

The functions that make cells import no torch; those that do the work import it inside.
"""

import itertools
import math
from typing import TYPE_CHECKING, Any

from lab import imageset, registry
from lab.cells import Cell
from lab.compute import Compute
from lab.errors import UsageError
from lab.folder import CellFolder

if TYPE_CHECKING:
    from torch import Tensor

CODE_VERSION = 1
REFERENCE_DRAWS = 8
"""Random draws of real against real, and of noise against real."""
EMBEDDED = 300
"""Points of each kind in an embedding, at most."""
EARLY = 0.1
"""The early picture of an embedding is the snapshot nearest to this share of the training."""


def schedule(kimg: float, points: int) -> tuple[float, ...]:
    """`points` times from 0 to `kimg` at which a generator is kept, denser early (quadratic)."""
    return tuple(round(kimg * (i / (points - 1)) ** 2, 3) for i in range(points))


def growing_schedule(kimg: float, first: float) -> tuple[float, ...]:
    """0, `first`, and 4, 9, 16, ... times that below `kimg`, and `kimg`: a longer run keeps what a shorter one does."""
    times = (round(first * i**2, 3) for i in itertools.count())
    return (*itertools.takewhile(lambda time: time < kimg < math.inf, times), kimg)


def training_cell(
    gan: str,
    images: str,
    *,
    seed: int,
    kimg: float,
    snapshots: tuple[float, ...],
    compute: Compute,
    settings: dict[str, Any] | None = None,
) -> Cell:
    """Train `gan` on the train split of `images`.

    Raises:
        UsageError: an unknown name or an impossible setting.
    """
    recipe = registry.config_class("gans", gan).parse(settings or {})
    _check_length(kimg, recipe.plain())
    compute.check_batch(recipe.plain()["batch"])
    config = {
        "gan": gan, "settings": recipe.plain(), "imageset": images, "seed": seed, "kimg": kimg,
        "snapshots": list(snapshots), **compute.resolved(), **imageset.recorded(images),
    }  # fmt: skip
    module = f"gans.{gan.replace('-', '_')}"
    parts: dict[str, str | int] = {
        "images": imageset.fingerprint(images),
        **registry.code_versions(module, "gans._train", "gans._networks"),
    }
    label = f"gan-{gan}-{imageset.label(images)}-s{seed}"
    cost = _training_cost(gan, images, kimg, recipe.plain())
    return Cell("gans._train:run", label, config, parts, processes=compute.processes, cost=cost)


def measuring_cell(training: Cell, n: int) -> Cell:
    """Measure every snapshot of a training cell against n held-out and n training images."""
    config = {"n": n, "seed": training.config["seed"], "splits": ["test", "train"]}
    parts = registry.code_versions("studies._gan_cells", "metrics.real_generated", "snnl_core")
    cost = len(training.config["snapshots"]) * 0.4 * (n / 500) ** 2 + 2
    return Cell("studies._gan_cells:measure", f"measure-{training.label}", config, parts, (training,), cost=cost)


def embedding_cell(training: Cell) -> Cell:
    """Embed real images and a training cell's early and late ones in the plane, by t-SNE."""
    parts = registry.code_versions("studies._gan_cells")
    config = {"points": EMBEDDED, "early": EARLY, "seed": training.config["seed"]}
    return Cell("studies._gan_cells:embed", f"embed-{training.label}", config, parts, (training,), cost=10)


def reference_cell(images: str, n: int) -> Cell:
    """Measure real against real (held-out against training images) and noise against held-out, n a side."""
    config = {"imageset": images, "n": n, "draws": REFERENCE_DRAWS, **imageset.recorded(images)}
    versions = registry.code_versions("studies._gan_cells", "metrics.real_generated", "snnl_core")
    parts = {"images": imageset.fingerprint(images), **versions}
    return Cell("studies._gan_cells:measure_references", f"references-{imageset.label(images)}", config, parts, cost=8)


def check_sample_size(images: str, n: int) -> None:
    """Raise UsageError unless both splits hold n images."""
    available = min(imageset.spec(images).n[split] for split in ("test", "train"))
    if n > available:
        raise UsageError(f"{images} has {available} images in its smaller split; --n {n} is more than that.")


def measure(cell: CellFolder) -> None:
    """Rows of `metrics.real_generated` for every snapshot, against each split."""
    from metrics.real_generated import measure as compare

    cell.keep_rows([])
    training = cell.needs[0]
    config, n = training.config, cell.config["n"]
    snapshots = registry.resolve("gans._snapshots:snapshots")(training.path)
    real = {split: _draw(cell, config["imageset"], split, n, cell.config["seed"]) for split in cell.config["splits"]}
    for done, snapshot in enumerate(snapshots):
        cell.event("progress", done=done, total=len(snapshots), text=f"{done} of {len(snapshots)} snapshots")
        generated = _generated(training, snapshot, n)
        for split, (images, labels) in real.items():
            about = {
                "kind": "gan", "model": config["gan"], "imageset": config["imageset"], "seed": config["seed"],
                "kimg": snapshot.kimg, "step": snapshot.step, "split": split, "space": "pixels",
            }  # fmt: skip
            for row in compare(images, generated, labels):
                cell.row(**about, **row)


def measure_references(cell: CellFolder) -> None:
    """The same rows for real against real and for noise, several random draws of each."""
    import torch

    from lab.draws import random_generator
    from metrics.real_generated import measure as compare

    cell.keep_rows([])
    config = cell.config
    for draw in range(config["draws"]):
        cell.event("progress", done=draw, total=config["draws"], text=f"{draw} of {config['draws']} draws")
        real, labels = _draw(cell, config["imageset"], "test", config["n"], draw)
        others = {
            "real": _draw(cell, config["imageset"], "train", config["n"], draw)[0],
            "noise": torch.randint(0, 256, real.shape, generator=random_generator(draw, "noise"), dtype=torch.uint8),
        }
        for model, other in others.items():
            for row in compare(real, other, labels):
                cell.row(
                    kind="reference", model=model, imageset=config["imageset"], seed=draw, split="test",
                    space="pixels", **row,
                )  # fmt: skip


def embed(cell: CellFolder) -> None:
    """Write `embedding.npz`: one t-SNE map of real, early and late images (coordinates, kind, kimg)."""
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    from lab.files import replacing

    training = cell.needs[0]
    snapshots = registry.resolve("gans._snapshots:snapshots")(training.path)
    early = min(snapshots, key=lambda s: abs(s.kimg - cell.config["early"] * snapshots[-1].kimg))
    points = min(cell.config["points"], imageset.spec_of(training.config).n["test"])
    real, _ = _draw(cell, training.config["imageset"], "test", points, cell.config["seed"])
    cell.event("progress", done=0, total=1, text=f"t-SNE of {3 * points} points")
    groups = [real, _generated(training, early, points), _generated(training, snapshots[-1], points)]
    flat = np.concatenate([group.flatten(1).numpy() for group in groups]).astype(np.float32) / 255
    reduced = PCA(min(50, *flat.shape), random_state=0).fit_transform(flat)
    coordinates = TSNE(perplexity=min(30, points), init="pca", random_state=0).fit_transform(reduced)
    kind = np.repeat(["real", "early", "late"], points)
    with replacing(cell.path / "embedding.npz") as aside, aside.open("wb") as file:
        np.savez_compressed(
            file, coordinates=coordinates.astype(np.float32), kind=kind, kimg=[early.kimg, snapshots[-1].kimg]
        )


def _draw(cell: CellFolder, images: str, split: str, n: int, seed: int) -> tuple["Tensor", "Tensor | None"]:
    """n random images of a split (uint8) and their labels, drawn by seed."""
    from lab.draws import subset

    found = imageset.load(images, split, root=cell.data_root, download=cell.download)
    picked = subset(len(found), n, seed, "measured", split)
    return found.images[picked], None if found.labels is None else found.labels[picked]


def _generated(training: CellFolder, snapshot: Any, n: int) -> "Tensor":
    """n images (uint8) of a training cell's snapshot, from the same latents for every snapshot."""
    from lab.draws import derive_seed

    config = training.config
    load = registry.resolve("gans._snapshots:load_generator")
    generate = registry.resolve("gans._snapshots:generate")
    generator = load(snapshot, config)
    images: Tensor = generate(generator, n, config["settings"]["latent"], derive_seed(config["seed"], "measured"))
    return images


def _check_length(kimg: float, recipe: dict[str, Any]) -> None:
    if not math.isfinite(kimg):
        raise UsageError(f"kimg: a finite number is needed (got {kimg}).")
    a_step = recipe["batch"] * recipe["critic_steps"]
    if round(kimg * 1000 / a_step) < 1:
        raise UsageError(f"kimg: {kimg:g} is less than one generator step, which takes {a_step} images.")


def _training_cost(gan: str, images: str, kimg: float, recipe: dict[str, Any]) -> float:
    """A guess in seconds on one core: 0.16 s a kimg for DCGAN at 16 x 16 and width 32, twice that with a penalty."""
    pixels = (imageset.spec(images).size / 16) ** 2
    return kimg * 0.16 * pixels * (recipe["width"] / 32) ** 1.3 * (1.5 if "penalty" in recipe else 1.0) + 3
