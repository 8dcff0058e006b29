"""Which measures notice a fault that is planted in real images, from which amount on.

Two disjoint draws of held-out images, one of which is spoilt: real against generated. Draws are the same for every
fault and amount, and so is the chance in a fault, so that amounts are paired. A measure notices if its value lies
beyond the critical ones that other draws, of real against real, have set (`tasks.measure_null`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

import imagesets
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.cells.rows import build_table, pick
from lab.errors import UsageError, WorkbenchError
from lab.files import write_arrays
from tasks import _faults as faults
from tasks import _power as power
from tasks import _resampling as resampling
from tasks import _spaces as spaces
from tasks import measure_null

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from evaluation.spaces import Seen

VERSION = 1
DRAWN = "reported"
"""What the draws are for."""


class Config(resampling.Resampling):
    """The fault, and how much of it."""

    fault: faults.Name = Field(description="the fault that is planted")
    amounts: tuple[float, ...] = Field(min_length=1, description="how much of it")


def cell(null: Cell[measure_null.Config], fault: str, space: spaces.Where, data: Path) -> Cell[Config]:
    """Plant a fault in the images of a null, in every usual amount; in the null's space.

    Raises:
        UsageError: the fault is unknown, or needs classes, of which the images have not two.
    """
    faults.check(fault)
    images, n, draws = null.config.imageset, null.config.n, null.config.draws
    if fault in faults.OF_CLASSES and len(null.config.spec_of_images.classes) < 2:
        raise UsageError(f"{images} has no two classes, of which {fault} needs some: name other --faults.")
    amounts = faults.FAULTS[fault].amounts
    own = {"draws": draws, "training": null.config.training, "fault": fault, "amounts": amounts}
    with_training = 2.3 if fault == faults.OF_TRAINING else 1
    return Cell(
        "measure-fault",
        f"fault-{fault}-{imagesets.label(images)}-{n}",
        Config.parse({**resampling.settings_of(images, n, space, data), **own}),
        spaces.versions("measure-fault"),
        imagesets.fingerprint(images, data),
        needs=(null, *spaces.needs_of(space)),
        cost=resampling.cost(n, with_training * draws * len(amounts)) + 5,
    )


def run(folder: CellFolder) -> None:
    """Rows of `kind` `power` and `mean` of every measure, `group` the fault, `setting` its amount; and `draws`.

    An amount that leaves too few images to draw from is left out, aloud.
    """
    config, (null, *classifier) = folder.settings(Config), folder.needs
    with_training = config.fault == faults.OF_TRAINING
    stage = resampling.Stage.of(config, folder, classifier[0] if classifier else None, trained=with_training)
    critical = _critical(null.rows())
    about = {**config.about, **stage.place, "group": config.fault}
    folder.row(kind="draws", metric="draws", value=config.draws, **about)
    every: dict[str, Any] = {}
    for done, amount in enumerate(config.amounts):
        if reason := _too_few(stage, config, amount):
            folder.warn(reason)
            continue
        found = []
        for seed in range(config.draws):
            at, total = done * config.draws + seed, len(config.amounts) * config.draws
            folder.event("progress", done=at, total=total, text=f"{config.fault} {amount:g}, {seed} of {config.draws}")
            real, others = stage.order(seed, DRAWN)
            found.append(stage.compare(real, spoilt(stage, others, config.fault, amount, seed)))
        measured = resampling.in_all(found)
        for (side, metric), values in measured.items():
            if (side, metric) in critical:
                what = {**about, "side": side, "metric": metric, "setting": f"{amount:g}"}
                share = float(power.alarms(values, critical[side, metric]).mean())
                folder.row(kind="power", value=share, **what)
                folder.row(kind="mean", value=sum(values) / len(values), **what)
        every |= {f"{amount:g}/{name}": values for name, values in resampling.named(measured).items()}
    write_arrays(folder.path / resampling.VALUES, every)


def spoilt(stage: resampling.Stage, others: "Tensor", fault: str, amount: float, seed: int) -> "Seen":
    """n images of those at some positions (m,), in random order, with a fault.

    Raises:
        WorkbenchError: of the classes that are to be drawn there are too few.
    """
    from evaluation.spaces import Seen
    from lab.training.draws import random_generator

    if fault in faults.OF_CLASSES:
        return resampling.rows_of(stage.seen, others[_of_classes(stage, others, fault, amount, seed)])
    n, generator = stage.config.n, random_generator(seed, "fault", fault)
    picked = others[:n]
    if fault == faults.OF_TRAINING:
        return _with_copies(stage, picked, faults.copies(n, amount), generator)
    if fault in {"shrunk", "widened"}:
        seen = resampling.rows_of(stage.seen, picked)
        factor = 1 - amount if fault == "shrunk" else 1 + amount
        return Seen(faults.respread(seen.features, stage.seen.features.mean(0), factor), seen.predicted)
    images = stage.images.pixels(picked)
    made = faults.blurred(images, amount) if fault == "blur" else faults.noisy(images, amount, generator)
    return stage.space.see(made)


def _too_few(stage: resampling.Stage, config: Config, amount: float) -> str:
    """Why an amount cannot be planted in every draw, where the classes that it leaves have too few images."""
    if config.fault in faults.OF_CLASSES:
        for seed in range(config.draws):
            try:
                _of_classes(stage, stage.order(seed, DRAWN)[1], config.fault, amount, seed)
            except WorkbenchError as error:
                return f"{error} This amount is left out."
    return ""


def _of_classes(stage: resampling.Stage, others: "Tensor", fault: str, amount: float, seed: int) -> "Tensor":
    from lab.training.draws import random_generator

    generator = random_generator(seed, "fault", fault)
    labels, classes = stage.images.classes(others), len(stage.config.spec_of_images.classes)
    weights = faults.class_weights(fault, amount, classes, generator)
    kept = faults.thinned(labels, weights, generator)
    if len(kept) < stage.config.n:
        raise WorkbenchError(
            f"{fault} {amount:g} leaves {len(kept)} of {len(others)} images of {stage.config.imageset}, of which "
            f"{stage.config.n} are needed: give a smaller --n."
        )
    return kept[: stage.config.n]


def _with_copies(stage: resampling.Stage, picked: "Tensor", copied: int, generator: "Generator") -> "Seen":
    import torch

    from evaluation.spaces import Seen

    assert stage.trained is not None
    chosen = torch.randperm(len(stage.trained.features), generator=generator, device="cpu")[:copied]
    parts = resampling.rows_of(stage.trained, chosen), resampling.rows_of(stage.seen, picked[copied:])
    predicted = [part.predicted for part in parts if part.predicted is not None]
    return Seen(torch.cat([part.features for part in parts]), torch.cat(predicted) if predicted else None)


def _critical(rows: list[dict[str, Any]]) -> dict[power.Key, tuple[float, float]]:
    """The critical values of each measure, from the rows of a null."""
    found = pick(build_table(rows), kind="critical")
    ends = {key: one.set_index("setting")["value"] for key, one in found.groupby(["side", "metric"])}
    return {
        key: (float(one.get("low", -float("inf"))), float(one.get("high", float("inf")))) for key, one in ends.items()
    }
