"""The rows of layers: closed-form cases, and the engine's numbers."""

import math

import pytest
import torch

from metrics.layers import measure
from snnl_core import entanglement

LABELS = torch.arange(60) % 3


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_separated_features_score_0_and_copies_across_classes_1():
    apart = noise(60, 4) + 1000 * LABELS[:, None]
    copies = noise(20, 2, 3)[torch.arange(60) // 3]
    first, second = measure({"apart": apart, "copies": copies}, LABELS)
    assert (first.layer, first.features, first.at_limit, first.n_valid) == ("apart", 4, "cold", 60)
    assert first.score == pytest.approx(0, abs=1e-6)
    assert (second.layer, second.features) == ("copies", 6)
    assert second.score == pytest.approx(1, abs=1e-3)
    assert second.bound == pytest.approx(math.log(59 / 19))


def test_a_row_is_what_the_engine_says():
    x = noise(60, 5) + LABELS[:, None]
    (row,) = measure({"x": x}, LABELS, distance="cosine")
    found = entanglement(x, LABELS, distance="cosine")
    for name in ("score", "loss", "temperature", "bound", "at_limit", "n_valid", "stderr"):
        assert getattr(row, name) == getattr(found, name)


def test_every_layer_has_the_same_anchors():
    x = noise(60, 5)
    first, second = measure({"a": x, "b": x.clone()}, LABELS, anchors=12, seed=3)
    assert first.loss == second.loss and first.n_valid == 12 and first.stderr > 0
    (other,) = measure({"a": x}, LABELS, anchors=12, seed=4)
    assert other.loss != first.loss


def test_a_layer_is_measured_when_it_is_asked_for():
    rows = measure({"good": noise(60, 2), "bad": torch.full((60, 2), math.inf)}, LABELS)
    assert next(rows).layer == "good"
    with pytest.raises(ValueError, match="layer 'bad': row 0 of x is not finite"):
        next(rows)
