"""Attack a classifier, and see which other classifiers fall to the same images.

All classifiers were trained on the same image set. The first is the source: attacks know it alone. What they make is
shown to the source itself and to the targets; what becomes of targets of a kind is averaged. How many of the source's
gradients vanish, and how much their signs tell of the class, is measured at the images as they are.

Columns: `setting` is that of the source, `group` that of the targets, empty for the source itself; `space` the attack,
`side` its eps, `none` and `0` for the images as they are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

import imagesets
from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.errors import UsageError
from lab.files import write_arrays
from lab.training.snapshots import snapshots
from tasks import train_classifier
from tasks._attacks import CLEAN, Attacking, passes, told, versions
from tasks._images import draw
from tasks._plane import plane

if TYPE_CHECKING:
    from torch import Tensor

    from attacks._target import Target

VERSION = 1
MAP = "gradients.npz"
"""A t-SNE map of the signs of gradients, `coordinates` (n, 2), with the images' `label` (n,)."""
PERPLEXITY = 30.0
NEIGHBOURS = "The attack neighbor is made for the neighbours of one network: see study calibration --attacks neighbor."


class Config(Attacking):
    """How many images are attacked, and what is kept."""

    n: int = Field(ge=2, description="test images that are attacked, the same of every source")
    pictures: bool = Field(False, description="keep a t-SNE map of the signs of gradients")


def cell(
    source: Cell[train_classifier.Config], targets: Sequence[Cell[train_classifier.Config]], config: Config, data: Path
) -> Cell[Config]:
    """Attack the network of one training cell, and show what comes out to those of others.

    Raises:
        UsageError: there are fewer test images, or an attack is unknown, impossible, or none on a network by itself.
    """
    run = source.config
    imagesets.check_n(run.imageset, config.n, ("test",), data)
    attacks = config.attacking()
    if "neighbor" in config.attacks:
        raise UsageError(NEIGHBOURS)
    pixels = run.spec_of_images.size**2 * run.spec_of_images.channels
    shown = sum(passes(name, settings) for name, settings in attacks) + len(attacks) * len(targets)
    return Cell(
        "transfer-attacks",
        f"transfer-{source.label}",
        config,
        {**registry.versions("tasks/transfer-attacks"), **versions(attacks)},
        needs=(source, *targets),
        cost=2 + (5 if config.pictures else 0) + 2e-7 * pixels * config.n * shown,
    )


def run(folder: CellFolder) -> None:
    """Rows of what attacks leave and of gradients, and `gradients.npz` where it is asked for."""
    import torch

    from attacks._frame import attacked
    from lab.training.frame import evaluation_device

    source, *_ = needs = folder.needs
    config, runs = folder.settings(Config), [need.settings(train_classifier.Config) for need in needs]
    device = evaluation_device(source)
    images, labels = draw(folder, runs[0].imageset, "test", config.n, 0)
    assert labels is not None, "a classifier was trained on them"
    x, labels = (images.float() / 255).to(device), labels.to(device)
    targets = [_target(need, run, device) for need, run in zip(needs, runs, strict=True)]
    about = {**runs[0].about, **snapshots(source.path, "classifier")[-1].when, "split": "test"}

    for metric, value in _gradients(folder, config, targets[0], x, labels, runs[0].seed).items():
        folder.row(**about, kind="gradient", metric=metric, value=value, n=config.n)
    groups = ["", *(run.setting for run in runs[1:])]
    clean = torch.stack([_right(target, x, labels) for target in targets])
    attacks = config.attacking()
    _tell(folder, about, told(CLEAN, 0.0), groups, clean, clean)
    for done, (name, settings) in enumerate(attacks):
        folder.event("progress", done=done, total=len(attacks), text=f"{name}, eps {settings.eps:g}")
        made = attacked(name, targets[0], x, labels, settings, seed=runs[0].seed)
        left = torch.stack([_right(target, made, labels) for target in targets])
        _tell(folder, about, told(name, settings.eps), groups, clean, left)


def _target(training: CellFolder, run: train_classifier.Config, device: str) -> "Target":
    from attacks._target import Target
    from classifiers._snapshots import load_classifier

    return Target(load_classifier(snapshots(training.path, "classifier")[-1], run).to(device))


def _right(target: "Target", x: "Tensor", labels: "Tensor") -> "Tensor":
    """Whether a network, in evaluation mode, has images x (n, c, h, w) in [0, 1] right, bool (n,)."""
    import torch

    from attacks._frame import BATCH

    with torch.no_grad():
        return torch.cat([target.logits(part).argmax(1) for part in x.split(BATCH)]) == labels


def _tell(
    folder: CellFolder,
    about: Mapping[str, object],
    attack: Mapping[str, str],
    groups: Sequence[str],
    clean: "Tensor",
    left: "Tensor",
) -> None:
    """Rows of what networks had right (networks, n), the source first, and have right after an attack.

    `success` is the share of images that targets had right and now have wrong; `transferred` the same of those alone
    that now fool the source. Either is null where there are no such images.
    """
    fooled = clean & ~left
    for group in dict.fromkeys(groups):
        own = [i for i, one in enumerate(groups) if one == group]
        found = {"accuracy": left[own], "success": fooled[own][clean[own]]}
        if group:
            found["transferred"] = fooled[own][clean[own] & fooled[0]]
        for metric, which in found.items():
            value = float(which.double().mean())
            folder.row(**about, **attack, kind="attack", group=group, metric=metric, value=value, n=left.shape[1])


def _gradients(
    folder: CellFolder, config: Config, target: "Target", x: "Tensor", labels: "Tensor", seed: int
) -> dict[str, float]:
    """Shares of gradients that vanish, and how entangled the classes are in the signs of gradients."""
    from attacks._gradients import gradients, vanishing
    from snnl_core import entanglement

    found = gradients(target, x, labels)
    signs = found.sign().flatten(1).cpu()
    if config.pictures:
        coordinates = plane(signs.numpy(), min(PERPLEXITY, (config.n - 1) / 3), seed)
        write_arrays(folder.path / MAP, {"coordinates": coordinates, "label": labels.cpu()})
    return {**vanishing(found), "entanglement": entanglement(signs, labels.cpu()).score}
