"""A generator that was trained, by the folder of its training or by its weights alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from gans._config import TrainingConfig
from gans._labels import shares_of
from gans._snapshots import load_generator
from lab.cells.folder import CellFolder
from lab.errors import UsageError, WorkbenchError, first_line, unknown_name
from lab.files import read_object, unchanged
from lab.training.snapshots import Snapshot, snapshots
from lab.training.tensors import weights_about


@dataclass(frozen=True)
class Trained:
    """A generator and what is known of its training.

    Attributes:
        name: as it was given.
        generator: in evaluation mode, on the CPU.
        run: the settings of its training; of weights alone, those that say what the network is.
        kimg: how long it was trained, in thousands of images; None where that is not known.
        seed: of its training; None where that is not known.
    """

    name: str
    generator: nn.Module
    run: TrainingConfig
    kimg: float | None
    seed: int | None

    @property
    def latent(self) -> int:
        """Dimensions of the noise."""
        return self.run.settings.latent

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, by label; empty where it knows of none."""
        return () if shares_of(self.generator) is None else self.run.spec_of_images.classes

    def label(self, called: str) -> int:
        """The label of a class, by name or by number.

        Raises:
            UsageError: it was told of no classes, or of none of that name.
        """
        if not self.classes:
            raise UsageError(f"{self.name} was told of no classes, so it has none to choose: train with --conditional.")
        if called in self.classes:
            return self.classes.index(called)
        if called.isdecimal() and int(called) < len(self.classes):
            return int(called)
        raise unknown_name("class", called, self.classes)

    @property
    def when(self) -> str:
        """How long it was trained, in words."""
        return "" if self.kimg is None else f" after {self.kimg:g} kimg"


def open_gan(path: Path | str, *, kimg: float | None = None, config: Path | None = None) -> Trained:
    """The generator of a training's folder, its last or the one nearest to `kimg`, or that of a file of weights.

    Args:
        path: the folder, or a .safetensors that a training kept, wherever it lies now.
        kimg: of a folder, which of its generators.
        config: the `config.json` of the training, for weights that do not say themselves what network they are of.

    Raises:
        UsageError: `kimg` is asked of a file, or `config` of a folder.
        WorkbenchError: the folder is no training's or holds no generator; the file is damaged, does not fit, or changes
            while it is read.
    """
    path = Path(path)
    if path.is_file():
        if kimg is not None:
            raise UsageError(f"--kimg chooses among the generators of a folder; {path} is one.")
        with unchanged(path):
            return _of_weights(path, config)
    if config is not None:
        raise UsageError(f"--config is for weights alone; {path} has its own.")
    folder = CellFolder(path)
    if folder.task != "train-gan":
        raise WorkbenchError(f"{path} is not the folder of a GAN's training.")
    run, found = folder.settings(TrainingConfig), snapshots(path, "generator")
    snapshot = found[-1] if kimg is None else min(found, key=lambda one: abs(one.kimg - kimg))
    return Trained(str(path), load_generator(snapshot, run), run, snapshot.kimg, run.seed)


def described(run: TrainingConfig, kimg: float) -> dict[str, Any]:
    """What the weights of a generator say of it, JSON-ready: what does not depend on how long the training goes on."""
    network = run.model_dump(mode="json", include={"gan", "settings", "imageset"})
    return {"config": {**network, "spec": run.spec_of_images.plain()}, "kimg": kimg, "seed": run.seed}


def _of_weights(path: Path, config: Path | None) -> Trained:
    said = weights_about(path) if config is None else _read(config)
    if said is None:
        raise UsageError(f"{path} does not say what network it is of: name its config.json with gan sample --config.")
    settings = said.get("config")
    if not isinstance(settings, dict) or "gan" not in settings:
        raise UsageError(f"{config or path} does not describe a GAN's training.")
    run = TrainingConfig.parse(settings)
    advice = "name another file, or its training's config.json with --config"
    generator = load_generator(Snapshot(path, 0.0, 0), run, advice)
    kimg, seed = said.get("kimg"), said.get("seed", settings.get("seed"))
    if not (isinstance(kimg, int | float | None) and isinstance(seed, int | None)):
        raise UsageError(f"{config or path} does not describe a GAN's training.")
    return Trained(str(path), generator, run, kimg, seed)


def _read(config: Path) -> dict[str, Any]:
    try:
        return read_object(config)
    except (OSError, ValueError) as error:
        raise WorkbenchError(f"{config} cannot be read: {first_line(error)}") from error
