"""From where on each measure says that two sets of images differ, by draws of real against real, and how often it errs.

One set of draws gives the critical values (`tasks._power`), others the rate of false alarms, so that this is not
flattered. The measures' own time is taken, too.
"""

import time
from collections.abc import Callable
from pathlib import Path

from pydantic import Field

import imagesets
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from lab.files import write_arrays
from tasks import _power as power
from tasks import _resampling as resampling
from tasks import _spaces as spaces

VERSION = 1
TIMED = 3
"""How often each family is timed; the shortest time counts."""


class Config(resampling.Resampling):
    """How many draws set the critical values, beside those that are reported on."""

    null_draws: int = Field(79, ge=power.FEWEST, description="draws that set the critical values")


def cell(
    images: str, n: int, space: spaces.Where, draws: int, null_draws: int, training: int, data: Path
) -> Cell[Config]:
    """The critical values for n images a side in a space as for `tasks.evaluate_gan`.

    Raises:
        UsageError: there are too few images.
    """
    own = {"draws": draws, "null_draws": null_draws, "training": training}
    return Cell(
        "measure-null",
        f"null-{imagesets.label(images)}-{n}",
        Config.parse({**resampling.settings_of(images, n, space, data), **own}),
        spaces.versions("measure-null"),
        imagesets.fingerprint(images, data),
        needs=spaces.needs_of(space),
        cost=resampling.cost(n, 2.3 * (draws + null_draws)) + 10,
    )


def run(folder: CellFolder) -> None:
    """Rows of `kind` `critical` (`setting` low or high), `draws`, `cost`; and of `group` `none` `power` and `mean`.

    Where nothing is planted, the power is the rate of false alarms.
    """
    config, needs = folder.settings(Config), folder.needs
    stage = resampling.Stage.of(config, folder, needs[0] if needs else None, trained=True)
    purposes = {"null": config.null_draws, "reported": config.draws}
    found: dict[str, list[dict[power.Key, float]]] = {purpose: [] for purpose in purposes}
    total = sum(purposes.values())
    for purpose, draws in purposes.items():
        for seed in range(draws):
            done = sum(map(len, found.values()))
            folder.event("progress", done=done, total=total, text=f"{done} of {total} draws")
            real, others = stage.order(seed, purpose)
            found[purpose].append(stage.compare(real, resampling.rows_of(stage.seen, others[: config.n])))
    about = {**config.about, **stage.place}
    null, reported = (resampling.in_all(found[purpose]) for purpose in purposes)
    folder.row(kind="draws", group="none", metric="draws", value=config.draws, **about)
    for (side, metric), values in reported.items():
        if (side, metric) not in null:
            continue
        critical = power.critical_values(null[side, metric], power.ALL[side, metric])
        what = {**about, "side": side, "metric": metric}
        for setting, value in zip(("low", "high"), critical, strict=True):
            if abs(value) < float("inf"):
                folder.row(kind="critical", setting=setting, value=value, **what)
        share = float(power.alarms(values, critical).mean())
        folder.row(kind="power", group="none", setting="0", value=share, **what)
        folder.row(kind="mean", group="none", setting="0", value=sum(values) / len(values), **what)
    for family, seconds in _times(stage).items():
        folder.row(kind="cost", metric="seconds", group=family, value=seconds, **about)
    every = {f"null/{name}": values for name, values in resampling.named(null).items()}
    write_arrays(folder.path / resampling.VALUES, every | resampling.named(reported))


def _times(stage: resampling.Stage) -> dict[str, float]:
    """The processor's seconds that each family of measures takes by itself, searches included."""
    from metrics import diversity, frechet, histogram, kernel, manifolds, sliced
    from metrics._sets import LeftOutError
    from metrics.memorization import training_neighbors
    from metrics.neighborhoods import Neighborhoods
    from metrics.real_generated import entangle, joined

    picked = stage.order(0, "null")
    one, other = (resampling.rows_of(stage.seen, part[: stage.config.n]) for part in picked)
    real, generated = one.features, other.features
    known, choices = stage.known, stage.space.predictions(one, other)

    def nearest() -> object:
        near = Neighborhoods.of(real, generated)
        return near.within_real, near.to_generated, near.to_real

    families: dict[str, Callable[[], object]] = {
        "entanglement": lambda: entangle(*joined(real, generated)),
        "nearest neighbour": nearest,
        "Frechet": lambda: frechet.measure(real, generated),
        "kernel": lambda: kernel.measure(real, generated),
        "sliced": lambda: sliced.measure(real, generated),
        "manifolds": lambda: manifolds.measure(Neighborhoods.of(real, generated)),
        "diversity": lambda: diversity.measure(Neighborhoods.of(real, generated)),
    }
    if choices is not None:
        families["classes"] = lambda: histogram.measure(choices.real, choices.generated, choices.classes)
    if known is not None:
        families["training"] = lambda: training_neighbors(generated, known)
    found = {}
    for name, family in families.items():
        try:
            found[name] = min(_seconds(family) for _ in range(TIMED))
        except LeftOutError:  # too few points, or too many features
            continue
    return found


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
