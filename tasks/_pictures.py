"""The small files that figures on credibility are drawn from: curves, a map of a hidden layer, and exemplars."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.files import write_arrays
from tasks._plane import plane

if TYPE_CHECKING:
    from torch import Tensor

    from classifiers._credibility import Seen
    from imagesets import ImageSet
    from tasks._credibility import Scores, View

CURVES, MAP, EXEMPLARS = "curves.npz", "map.npz", "exemplars.npz"
"""What is kept."""
BINS = 20
"""Of a histogram on [0, 1]."""
POINTS = 200
"""Of a curve at most."""
MAPPED = 50
"""Images of each set in the map of a layer before the last at most; in that of the last there are twice as many."""
DRAWN = ("neighbor-distance", "credibility", "softmax")
"""The scores whose ROC curves are drawn."""
LEVELS = tuple(k / 100 for k in range(101))
"""Where the distribution of p-values is drawn, made by division as they are: a ramp of torch's differs in last bits."""
SHOWN, NEIGHBORS = 3, 4
"""Exemplars of a kind, and their nearest neighbours in each layer."""


def keep_curves(
    folder: Path,
    views: Mapping[str, "View"],
    seen: Mapping[str, "Seen"],
    scores: Mapping[str, "Scores"],
    labels: "Tensor",
) -> None:
    """`curves.npz`, where `` names the test images and others are foreign sets:

    - `credibility/SET`, `softmax/SET`: counts (20,) on [0, 1];
    - `reliability/VIEW`: mean confidence, accuracy and count of each bin (bins, 3); `risk/VIEW`: coverage and risk;
    - `roc/SCORE/SET`: false and true positive rates, the foreign ones positive;
    - `p_values`: levels, and the share of p-values of true labels at most each.
    """
    import torch

    from metrics.detection import roc_curve
    from metrics.reliability import reliability_table
    from metrics.selection import risk_coverage_curve
    from metrics.validity import empirical_distribution

    kept: dict[str, Any] = {}
    for name, one in seen.items():
        shares = {"credibility": one.found.credibility, "softmax": one.logits.softmax(1).amax(1)}
        for space, values in shares.items():
            kept[f"{space}/{name}"] = torch.histc(values.double(), BINS, 0, 1)
    found = seen[""].found
    confidences = {name: (view.confidence, view.choice == labels) for name, view in views.items()}
    confidences["credibility"] = found.credibility, found.labels == labels
    for name, (confidence, right) in confidences.items():
        table, risk = reliability_table(confidence, right), risk_coverage_curve(confidence, right)
        kept[f"reliability/{name}"] = torch.stack([table.confidence, table.accuracy, table.count.double()], 1)
        kept[f"risk/{name}"] = _thinned(torch.stack([risk.coverage, risk.risk], 1))
    for name in scores:
        for score in DRAWN if name else ():
            curve = roc_curve(scores[""][score, ""], scores[name][score, ""])
            kept[f"roc/{score}/{name}"] = _thinned(torch.stack([curve.fpr, curve.tpr], 1))
    own = found.p_values.gather(1, labels[:, None])[:, 0]
    kept["p_values"] = torch.stack(
        [torch.tensor(LEVELS, dtype=torch.float64, device="cpu"), empirical_distribution(own, LEVELS)], 1
    )
    write_arrays(folder / CURVES, {name: values.numpy().astype("float32") for name, values in kept.items()})


def keep_map(folder: Path, seen: Mapping[str, "Seen"], seed: int) -> None:
    """`map.npz`: hidden layers by t-SNE, of the first images of each set.

    `layers`, their names; `coordinates` (m, 2) of the last one and `group` (m,), the foreign set or empty; of another
    one `coordinates/LAYER` and `group/LAYER`. Earlier versions kept the last one alone, and no names.
    """
    import numpy as np

    layers = list(seen[""].first)
    kept: dict[str, Any] = {"layers": layers}
    for layer in layers:
        last = layer == layers[-1]
        drawn = {name: one.first[layer][: None if last else MAPPED].numpy() for name, one in seen.items()}
        together, end = np.concatenate(list(drawn.values())), "" if last else f"/{layer}"
        kept[f"coordinates{end}"] = plane(together, min(30, (len(together) - 1) // 3), seed)
        kept[f"group{end}"] = np.repeat(list(drawn), [len(one) for one in drawn.values()])
    write_arrays(folder / MAP, kept)


def keep_exemplars(
    folder: Path,
    shown: Mapping[str, "Tensor"],
    seen: Mapping[str, "Seen"],
    labels: "Tensor",
    source: "ImageSet",
    bank: "Tensor",
) -> None:
    """`exemplars.npz`: the test images of most and of least credibility, and the most credible of each foreign set.

    By exemplar (m, ...): `images` uint8, `group` the foreign set or empty, `label` (-1 for foreign ones), `predicted`,
    `credibility`, `index` among the images shown; `neighbors` (m, layers, 4) are positions in the train split,
    `neighbor_images` and `neighbor_labels` theirs; `layers` their names.
    """
    import numpy as np
    import torch

    found: dict[str, list[Any]] = {}
    for name, one in seen.items():
        order = _by_credibility(one)
        picked = order[:SHOWN] if name else torch.cat([order[:SHOWN], order[-SHOWN:]])
        near = torch.stack([places[picked, :NEIGHBORS] for places in one.found.neighbors.values()], 1)
        places = bank[near]
        values = {
            "images": shown[name][picked],
            "index": picked,
            "label": labels[picked] if not name else torch.full_like(picked, -1),
            "predicted": one.found.labels[picked],
            "credibility": one.found.credibility[picked],
            "neighbors": places,
            "neighbor_images": source.pixels(places.flatten()).unflatten(0, places.shape),
            "neighbor_labels": source.classes(places),
        }
        for key, value in values.items():
            found.setdefault(key, []).append(value)
        found.setdefault("group", []).append(np.repeat([name], len(picked)))
    layers = list(seen[""].found.neighbors)
    arrays = {key: np.concatenate(parts) for key, parts in found.items()}
    write_arrays(folder / EXEMPLARS, {"layers": layers, **arrays})


def _by_credibility(seen: "Seen") -> "Tensor":
    """Positions from the most credible to the least; of equals the one with the nearer neighbours first."""
    nearest = seen.scores()["neighbor-distance", ""].argsort(stable=True)
    return nearest[seen.found.credibility[nearest].argsort(descending=True, stable=True)]


def _thinned(points: "Tensor") -> "Tensor":
    """At most 200 of some points (t, 2), the first and the last among them."""
    import torch

    return points[torch.linspace(0, len(points) - 1, min(POINTS, len(points)), device=points.device).round().long()]
