"""The rows that tell of predictions, of p-values, of credibility, and of foreign images told apart.

Columns: `space` names whose probabilities or which score, `group` the foreign set or the level, `layer` the layer of a
score that is one layer's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from classifiers._credibility import Seen
    from snnl_core import DeepKNN

NETWORK, DKNN = "softmax", "dknn"
"""Whose probabilities rows are of."""
SCALED = {NETWORK: "softmax-scaled", DKNN: "dknn-scaled"}
"""What they are called once their temperature was fitted."""

Row = dict[str, Any]
Scores = Mapping[tuple[str, str], "Tensor"]


@dataclass(frozen=True)
class View:
    """Probabilities (n, classes) and the classes chosen (n,), which for the neighbours are not those of most votes."""

    probabilities: "Tensor"
    choice: "Tensor"

    @property
    def confidence(self) -> "Tensor":
        """The probability of each choice (n,)."""
        return self.probabilities.gather(1, self.choice[:, None])[:, 0]


def views(seen: "Seen", scaling: "Seen", labels: "Tensor") -> dict[str, View]:
    """What network and neighbours say of images, with and without temperatures fitted on others and their labels."""
    found = {}
    said = {NETWORK: (seen.logits.double(), scaling.logits), DKNN: (seen.log_votes(), scaling.log_votes())}
    for name, (logits, held_out) in said.items():
        choice = seen.found.labels if name == DKNN else logits.argmax(1)
        found[name] = View(logits.softmax(1), choice)
        found[SCALED[name]] = View((logits / best_temperature(held_out, labels)).softmax(1), choice)
    return found


def best_temperature(logits: "Tensor", labels: "Tensor") -> float:
    """What logits are divided by to be calibrated; 1 where all labels have the highest, so that none is the best."""
    from metrics.temperature_scaling import temperature_of

    chosen = logits.gather(1, labels[:, None])[:, 0]
    return 1.0 if bool((chosen == logits.amax(1)).all()) else temperature_of(logits, labels)


def prediction_rows(views: Mapping[str, View], seen: "Seen", labels: "Tensor") -> Iterator[Row]:
    """Accuracy, NLL, Brier score and calibration errors of each view, and AURC of each confidence.

    Credibility is a p-value, no probability of being right: of it there is no more than its AURC.
    """
    from metrics import calibration
    from metrics.reliability import calibration_error
    from metrics.selection import aurc

    for name, view in views.items():
        right = view.choice == labels
        values = {
            "accuracy": float(right.double().mean()),
            "nll": calibration.nll(view.probabilities, labels),
            "brier": calibration.brier_score(view.probabilities, labels),
            "ece": calibration_error(view.confidence, right),
            "ece_equal_mass": calibration_error(view.confidence, right, binning="equal_mass"),
            "aurc": aurc(view.confidence, right),
        }
        for metric, value in values.items():
            yield {"kind": "prediction", "space": name, "metric": metric, "value": value, "n": len(labels)}
    right, distance = seen.found.labels == labels, seen.scores()["neighbor-distance", ""]
    for name, confidence in {"credibility": seen.found.credibility, "neighbor-distance": -distance}.items():
        value = aurc(confidence, right)
        yield {"kind": "prediction", "space": name, "metric": "aurc", "value": value, "n": len(labels)}


def validity_rows(knn: "DeepKNN", seen: "Seen", labels: "Tensor", generator: "Generator") -> Iterator[Row]:
    """The share of p-values of true labels at most each level, by formula (`space`), with its ends (`side`).

    Of kind `validity` with the calibration images, of one split, with the band of exact p-values; of kind `resampled`
    the mean over random splits of calibration and test images into such, with its interval.
    """
    import torch

    from metrics import validity
    from snnl_core.conformal import Calibration, uniform

    kept = knn.state_dict()["calibration"]
    calibration = Calibration(kept["scores"].cpu(), kept["codes"].cpu(), len(knn.classes))
    own = seen.found.nonconformity.gather(1, labels[:, None])
    size = len(calibration.scores)
    for mode in ("valid", "smoothed", "paper"):
        p_values = calibration.p_values(own, mode, uniform=uniform(len(own), generator))[:, 0]
        found = {"validity": validity.measure(p_values, size)}
        if mode != "paper":
            pooled = torch.cat([calibration.scores, own[:, 0]])
            found["resampled"] = validity.resampled(pooled, size, mode, generator)
        for kind, rows in found.items():
            for row in rows:
                about = {"kind": kind, "space": mode, "group": f"{float(row['level']):g}", "n": row["n"]}
                for side, end in (("share", "value"), ("low", "low"), ("high", "high")):
                    yield {**about, "side": side, "metric": row["metric"], "value": row[end]}


def credibility_rows(seen: Mapping[str, "Seen"]) -> Iterator[Row]:
    """Mean credibility, and mean maximum softmax, on the test images (group empty) and on each foreign set."""
    for name, one in seen.items():
        values = {"credibility": one.found.credibility, "softmax": one.logits.double().softmax(1).amax(1)}
        for space, value in values.items():
            about = {"kind": "credibility", "group": name, "space": space, "metric": "mean"}
            yield {**about, "value": float(value.mean()), "n": len(value)}


def foreign_rows(scores: Mapping[str, Scores]) -> Iterator[Row]:
    """How well each score tells each foreign set from the test images, which are as many."""
    from metrics import detection

    inside = scores[""]
    for name, outside in scores.items():
        for (score, layer), values in outside.items() if name else ():
            for row in detection.measure(inside[score, layer], values):
                about = {"kind": "foreign", "group": name, "space": score, "layer": layer}
                yield {**about, "metric": row["metric"], "value": row["value"], "n": row["n_in"]}
