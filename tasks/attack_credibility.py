"""Attack a classifier and its deep k-nearest neighbours, and measure what they still know and how credible they are.

Attacks that look at the logits reach the neighbours by transfer; `neighbor` is made for them, and PGD comes with it.
Columns: `space` is the attack, `side` its eps, `none` and `0` for the images as they are. Metrics: those of
`evaluation.attacked`, `confidence` (the mean maximum softmax), and how well attacked images are told from the same ones
as they are: `credibility_auroc`, `confidence_auroc`, `distance_auroc` (the mean distance to the neighbours).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

import imagesets
from lab import registry
from lab.cells.cell import Cell
from lab.cells.folder import CellFolder
from tasks import train_classifier
from tasks._attacks import CLEAN, Attacking, passes, told, versions
from tasks._neighbors import Examined, Searched, sizes

if TYPE_CHECKING:
    from torch import Tensor

    from classifiers._credibility import Seen

VERSION = 1
SCORES = {"credibility": "credibility", "confidence": "softmax", "distance": "neighbor-distance"}
"""What attacked images are told by, and which score that is."""


class Config(Attacking, Searched):
    """How many images are attacked, and what neighbours are searched."""

    n: int = Field(ge=2, description="test images that are attacked, the same of every network")


def cell(training: Cell[train_classifier.Config], config: Config, data: Path) -> Cell[Config]:
    """Attack a training cell's network.

    Raises:
        UsageError: there are fewer test images, too few to search or to calibrate with, or an attack is impossible.
    """
    run = training.config
    imagesets.check_n(run.imageset, config.n, ("test",), data)
    bank, _ = sizes(config, run)
    attacks, pixels = config.attacking(), run.spec_of_images.size**2 * run.spec_of_images.channels
    shown = sum(passes(name, settings) * (1 + bank / 500 * (name == "neighbor")) for name, settings in attacks)
    return Cell(
        "attack-credibility",
        f"attacked-{training.label}",
        config,
        {**registry.versions("tasks/attack-credibility"), **versions(attacks)},
        needs=(training,),
        cost=4 + 2e-7 * pixels * config.n * shown,
    )


def run(folder: CellFolder) -> None:
    """Rows of what each attack leaves."""
    from attacks._frame import attacked
    from attacks._target import Target
    from classifiers._features import device_of

    config = folder.settings(Config)
    examined = Examined.of(folder, config, config.n)
    observer, labels, device = examined.observer(config, folder.path), examined.labels, device_of(examined.network)
    target = Target(observer.network, observer.knn, observer.max_features)
    x, about = (examined.images.float() / 255).to(device), {**examined.about, "kind": "attacked"}

    clean, attacks = observer.see(x), config.attacking()
    for row in _rows(clean, clean, labels):
        folder.row(**about, **told(CLEAN, 0.0), **row)
    for done, (name, settings) in enumerate(attacks):
        folder.event("progress", done=done, total=len(attacks), text=f"{name}, eps {settings.eps:g}")
        made = attacked(name, target, x, labels.to(device), settings, seed=examined.run.seed)
        for row in _rows(clean, observer.see(made), labels):
            folder.row(**about, **told(name, settings.eps), **row)


def _rows(clean: "Seen", seen: "Seen", labels: "Tensor") -> Iterator[dict[str, Any]]:
    from evaluation.attacked import Said
    from metrics.detection import auroc

    inside, outside = clean.scores(), seen.scores()
    values = {
        **Said.of(seen).since(Said.of(clean), labels),
        "confidence": float(seen.logits.double().softmax(1).amax(1).mean()),
        **{f"{name}_auroc": auroc(inside[score, ""], outside[score, ""]) for name, score in SCORES.items()},
    }
    for metric, value in values.items():
        yield {"metric": metric, "value": value, "n": len(labels)}
